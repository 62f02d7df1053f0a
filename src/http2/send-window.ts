// The window that a service gives a whole connection (RFC 9113 section 5.2). Streams of which it reads nothing can use it up, and all the others wait for
// them. Node tells this window, and not those of streams; but one that was given to Node less than the service allows each stream from the
// beginning has some of its own left, so it waits for the connection alone. Further requests go to another session where the window stays shut.
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

/** A window that stays shut for so long, with no piece of a request taken, is one that the service does not open. */
const STUCK_MS = 1000

export class SendWindow implements Carrier {
  readonly isHeld = false
  readonly #session: Pick<ClientHttp2Session, 'state' | 'remoteSettings'>
  readonly #now: () => number
  /** Since when streams whose own windows may be shut have shut it, as sweeps see it. */
  #shutAt: number | null = null
  /** When it was last seen open, or to be taken from. */
  #openAt: number
  #isTaken = false
  /** Whatever is sent on it waits for a window that the service does not open. */
  isStuck = false

  constructor(session: Pick<ClientHttp2Session, 'state' | 'remoteSettings'>, now: () => number) {
    this.#session = session
    this.#now = now
    this.#openAt = now()
  }

  /** A piece of a request is in frames. */
  onTaken(): void {
    this.#isTaken = true
  }

  sweep(streams: Iterable<Sending>, now: number): void {
    const isShut = this.#session.state.remoteWindowSize === 0
    this.#shutAt = isShut && this.#isShutBy(streams) ? (this.#shutAt ?? now) : null
    if (!isShut || this.#isTaken) this.#openAt = now
    this.#isTaken = false
    this.isStuck = now - this.#openAt >= STUCK_MS
  }

  #isShutBy(streams: Iterable<Sending>): boolean {
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
