// The window that a service gives a whole connection (RFC 9113 section 5.2). Streams of which it reads nothing can use it up, and all the others wait for
// them. Node tells this window, and not those of streams; but one that was given to Node less than the service allows each stream from the
// beginning has some of its own left, so it waits for the connection alone.
//
// | deadlines.write | a stream whose own window may be shut | one that waits behind such a stream: once none is left, the service owes it a window |

import type { ClientHttp2Session } from 'node:http2'
import type { Carrier } from '../endpoint/endpoint.ts'

/** A stream, as far as it sends. */
export interface Sending {
  /** Bytes of its request that wait here. */
  readonly queued: number
  /** Bytes of its request that were given to Node. */
  readonly given: number
}

export class SendWindow implements Carrier {
  readonly isHeld = false
  readonly #session: Pick<ClientHttp2Session, 'state' | 'remoteSettings'>
  readonly #now: () => number
  /** Since when streams whose own windows may be shut have shut it, as sweeps see it. */
  #shutAt: number | null = null

  constructor(session: Pick<ClientHttp2Session, 'state' | 'remoteSettings'>, now: () => number) {
    this.#session = session
    this.#now = now
  }

  sweep(streams: Iterable<Sending>, now: number): void {
    this.#shutAt = this.#isShutBy(streams) ? (this.#shutAt ?? now) : null
  }

  #isShutBy(streams: Iterable<Sending>): boolean {
    if (this.#session.state.remoteWindowSize !== 0) return false
    for (const stream of streams) if (stream.queued > 0 && this.#mayBeShut(stream)) return true
    return false
  }

  #mayBeShut({ given }: Sending): boolean {
    return given >= (this.#session.remoteSettings.initialWindowSize ?? 0)
  }

  /** What `stream` waits for is another's fault. */
  excuses(stream: Sending): boolean {
    return this.#shutAt !== null && !this.#mayBeShut(stream)
  }

  lastDrainAt(): number {
    return this.#shutAt ?? this.#now()
  }
}
