// The manner of parting from a peer: that of the reason's row, adjusted by what the peer was sent and what it
// is owed. The one place of that decision, for pairs, openings and exchanges alike.
//
// What was accepted for a peer is delivered, unless that peer stalls, or an operator or an overload cannot
// wait. A truncated stream is never passed off as a complete one: RST stays RST, after those bytes.

import { isForced, reasonRow, websocketCode } from './close.ts'
import type { Close, Manner, PeerSide } from './close.ts'

/**
 * The goodbye to a peer. `awaited`: we wait for its answer before FIN, for a second. `said`: FIN may follow
 * at once. `blocked`: there is something to say, but not here (inside a frame). `nothing`: this protocol has
 * no word for this end. For request and answer: `answered`: the peer has an answer with the reason, which is
 * flushed whatever the table says, and so is the GOAWAY of `left`. `cut`: only RST would show that something
 * is missing. `done`: nothing that this peer still sends matters. `nobody`: this side is a part of the gate.
 */
export type Farewell =
  | 'awaited'
  | 'said'
  | 'blocked'
  | 'nothing'
  | 'answered'
  | 'left'
  | 'cut'
  | 'done'
  | 'nobody'

/**
 * The manner for the peer on the side `to`, which got `farewell`. `isWhole`: it has been handed all it was to
 * get, the other's FIN included.
 */
export function mannerFor(close: Close, to: PeerSide, farewell: Farewell, isWhole = false): Manner {
  const { manner } = reasonRow(close.reason)
  if (farewell === 'answered' || farewell === 'left') return 'flush'
  if (farewell === 'done' || farewell === 'nobody') return 'drop'
  if (isForced(close)) return 'reset'
  const isInnocent = close.side !== to
  if (farewell === 'cut') return isInnocent ? 'deliver' : 'reset'
  // A peer that got a Close frame and is not at fault ends with FIN: the Close code shows the failure as
  // plainly as an RST. Slow is not stalled: a slow consumer may still take what its socket holds, and read
  // the reason.
  const isHeard = farewell === 'awaited' || farewell === 'said'
  if (isHeard && (isInnocent || close.reason === 'slow_consumer')) return 'flush'
  if (!isInnocent) return manner
  if (manner === 'flush' || manner === 'drop') return 'flush'
  // This peer has been handed everything, FIN included: the other side's RST must not take it back.
  return close.reason === 'reset' && isWhole ? 'flush' : 'deliver'
}

const byManner: Record<Manner, string> = {
  flush: 'FIN behind what was accepted',
  drop: 'FIN, and what waited was dropped',
  deliver: 'RST behind what was accepted',
  reset: 'RST',
}

/** The manner in words, for the peer on the side `to`; null where nobody is there. */
export function describeManner(
  close: Close,
  to: PeerSide,
  farewell: Farewell,
  manner: Manner,
): string | null {
  if (farewell === 'nobody') return null
  if (farewell === 'left') return 'GOAWAY, then FIN'
  if (farewell === 'answered') return 'an answer that says why, then FIN'
  const code = farewell === 'awaited' || farewell === 'said' ? websocketCode(close, to) : null
  return code === null ? byManner[manner] : `Close ${code}, then ${byManner[manner]}`
}
