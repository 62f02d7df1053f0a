// The wait between two requests of a connection: for the next one, up to `http.keepAlive`, and from its first byte on for the rest of
// its head, up to `deadlines.handshake` in total.
//
// It spares who thinks longer than a head may take, and ends who sends a head a byte at a time: that does not extend the wait.

import type { Live } from '../core/live.ts'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'

export interface IdleOptions {
  handshakeMs: number
  keepAliveMs: number
}

/** As they are now. */
export function idleOptionsOf({ deadlines, keepAliveMs }: { deadlines: Live<{ handshakeMs: number }>; keepAliveMs: number }): IdleOptions {
  return { handshakeMs: deadlines.current.handshakeMs, keepAliveMs }
}

export class IdleWait {
  /** Milliseconds of the Clock: when the last answer was done. */
  since: number
  /** When the first bytes of the next request were seen; null before. */
  headSince: number | null = null
  #bytesRead = 0

  constructor(now: number) {
    this.since = now
  }

  /** An answer is done. `bytesRead` is what had come from the client by then. */
  begin(now: number, bytesRead: number): void {
    this.since = now
    this.headSince = null
    this.#bytesRead = bytesRead
  }

  /** For how long nothing has come. */
  quietMs(now: number): number {
    return this.headSince === null ? now - this.since : 0
  }

  /** `scale` shortens the wait for a next request where memory is short. */
  check(now: number, bytesRead: number, { handshakeMs, keepAliveMs }: IdleOptions, scale: number): Close | null {
    if (this.headSince === null && bytesRead !== this.#bytesRead) this.headSince = now
    if (this.headSince !== null) {
      if (now - this.headSince < handshakeMs) return null
      return makeClose('handshake_timeout', 'client', 'handshake', 'deadlines.handshake')
    }
    if (now - this.since < keepAliveMs * scale) return null
    return makeClose('eof', 'sidegate', 'relay', 'no further request (http.keepAlive)')
  }
}
