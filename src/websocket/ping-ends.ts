// The ends that pings bring about: for a missing answer, and for a peer that breaks on an unexpected ping.

import { makeClose, type Close, type PeerSide, type Reason } from '../core/close.ts'
import type { Pinger } from './pinger.ts'

/** Ends that a peer brings about, so perhaps because of a ping. */
const comesOfThePeer: ReadonlySet<Reason> = new Set([
  'eof',
  'aborted',
  'reset',
  'protocol_error',
  'message_too_big',
])

export function unanswered(verdict: 'gone' | 'stalled', side: PeerSide, misses: number): Close {
  return verdict === 'gone'
    ? makeClose(
        'ping_timeout',
        side,
        'relay',
        `${misses === 1 ? 'left a ping unanswered' : `answered none of ${misses} pings`} and moved nothing else (websocket.ping)`,
      )
    : makeClose(
        'write_timeout',
        side,
        'relay',
        'its host acknowledged nothing, not even a ping (deadlines.write)',
      )
}

/**
 * Marks the end of a peer that broke on a ping of ours, unlike one that ended by itself; `at` is the moment
 * of its end.
 */
export function blamePing(close: Close, pinger: Pinger, at: number): Close {
  if (!comesOfThePeer.has(close.reason) || !pinger.hasJustAsked(at)) return close
  const before = close.detail === undefined ? '' : `${close.detail}, `
  return { ...close, detail: `${before}within a second of a ping of ours (websocket.ping.to)` }
}
