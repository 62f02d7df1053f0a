// What a connection of plain HTTP waits for, in words, between two requests and at its end; in between its Exchange knows.

import type { Close } from '../core/close.ts'
import { earliest } from '../core/wait.ts'
import type { NextDeadline, Wait } from '../core/wait.ts'

export interface HttpWait {
  state: 'idle' | 'busy' | 'closing' | 'closed' | 'given away'
  /** What the exchange in progress waits for. */
  exchange: Wait | null
  end: Close | null
  /** Milliseconds of the Clock: when the last answer was done, when the next head began (null before), and two bounds. */
  idleSince: number
  headSince: number | null
  closesBy: number
  expiresAt: number
}

export function describeHttp(wait: HttpWait, options: { handshakeMs: number; keepAliveMs: number }): Wait {
  const { state, exchange, end, idleSince, headSince, closesBy, expiresAt } = wait
  if (end !== null) return { state, waitsFor: 'the client to take leave', next: earliest([{ key: 'deadlines.close', reason: end.reason, side: end.side, at: closesBy }]) }
  const lifetime: NextDeadline = { key: 'deadlines.lifetime', reason: 'lifetime_timeout', side: 'sidegate', at: expiresAt }
  if (exchange !== null) return { ...exchange, next: earliest([exchange.next, lifetime]) }
  const own: NextDeadline = headSince === null
    ? { key: 'http.keepAlive', reason: 'eof', side: 'sidegate', at: idleSince + options.keepAliveMs }
    : { key: 'deadlines.handshake', reason: 'handshake_timeout', side: 'client', at: headSince + options.handshakeMs }
  return { state, waitsFor: headSince === null ? 'the next request' : 'the rest of the head of a request', next: earliest([own, lifetime]) }
}
