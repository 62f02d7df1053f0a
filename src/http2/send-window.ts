// The window that a service gives a whole connection (RFC 9113 section 5.2). Streams that the service does
// not read can use it up, and then all others wait for them. Node reports this window, but not those of
// streams; a stream that gave Node less than the initial window of a stream still has some of its own, so it
// waits for the connection alone. While the window stays shut, further requests go to another session.
//
// | deadlines.write | a stream whose own window may be shut | one that waits for such a stream; once no such stream   |
// |                 |                                       | is left, the service owes it a window                   |

import type { ClientHttp2Session } from 'node:http2'
import type { Carrier } from '../endpoint/endpoint.ts'

/** The sending side of a stream. */
export interface Sending {
  /** Bytes of its request that wait here. */
  readonly queued: number
  /** Bytes of its request that Node has got. */
  readonly given: number
}

/** A window that is shut for so long, while no piece of a request is taken: the service does not open it. */
const STUCK_MS = 1000

export class SendWindow implements Carrier {
  readonly isHeld = false
  readonly #session: Pick<ClientHttp2Session, 'state' | 'remoteSettings'>
  readonly #now: () => number
  /** Since when streams whose own windows may be shut have shut this window, as sweeps see it. */
  #shutAt: number | null = null
  /** When a sweep last saw it open, or a piece taken. */
  #openAt: number
  #isTaken = false
  /** Every further request would wait for a window that the service does not open. */
  isStuck = false

  constructor(session: Pick<ClientHttp2Session, 'state' | 'remoteSettings'>, now: () => number) {
    this.#session = session
    this.#now = now
    this.#openAt = now()
  }

  /** A piece of a request went into frames. */
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

  /** `stream` waits through another stream's fault. */
  excuses(stream: Sending): boolean {
    return this.#shutAt !== null && !this.#mayBeShut(stream)
  }

  lastDrainAt(): number {
    return this.#shutAt ?? this.#now()
  }
}
