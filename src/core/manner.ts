// How a peer is parted from: the manner of the reason's row, but for what that peer was told and what it was owed. The one place
// where that is decided, for pairs, openings and exchanges alike.
//
// What was accepted for a peer is delivered, unless it is that peer that stalls, or an operator or an overload that cannot wait. A stream that
// was cut is never passed off as a whole one: RST stays RST, after those bytes.

import { isForced, reasonRow, websocketCode } from './close.ts'
import type { Close, Manner, PeerSide } from './close.ts'

/**
 * The goodbye to a peer. `awaited`: its answer is waited for before FIN, for a second. `said`: FIN may follow at once. `blocked`:
 * there is something to say, but not here (inside a frame). `nothing`: this protocol has no word for this end. Of messages that follow each
 * other: `answered`: it has an answer that says why, which is flushed whatever the table says. `cut`: only RST would show that something
 * is missing. `done`: nobody waits for what this peer still sends.
 */
export type Farewell = 'awaited' | 'said' | 'blocked' | 'nothing' | 'answered' | 'cut' | 'done'

/** For the peer on the side `to`, which was told `farewell`. `isWhole`: all that it was to get has come, the other's FIN included. */
export function mannerFor(close: Close, to: PeerSide, farewell: Farewell, isWhole = false): Manner {
  const { manner } = reasonRow(close.reason)
  if (farewell === 'answered') return 'flush'
  if (farewell === 'done') return 'drop'
  if (isForced(close)) return 'reset'
  const isInnocent = close.side !== to
  if (farewell === 'cut') return isInnocent ? 'deliver' : 'reset'
  // A peer that was told why takes leave properly: a Close frame is as plain as an RST. Slow is not stalled: a slow consumer may
  // still take what its socket holds, and read why.
  const isTold = farewell === 'awaited' || farewell === 'said'
  if (isTold && (isInnocent || close.reason === 'slow_consumer')) return 'flush'
  if (!isInnocent) return manner
  if (manner === 'flush' || manner === 'drop') return 'flush'
  // All that this peer was to get has come, FIN included: another's RST must not take it back.
  return close.reason === 'reset' && isWhole ? 'flush' : 'deliver'
}

const byManner: Record<Manner, string> = {
  flush: 'FIN behind what was accepted',
  drop: 'FIN, and what waited was dropped',
  deliver: 'RST behind what was accepted',
  reset: 'RST',
}

/** In words, how the peer on the side `to` is parted from. */
export function describeManner(close: Close, to: PeerSide, farewell: Farewell, manner: Manner): string {
  if (farewell === 'answered') return 'an answer that says why, then FIN'
  const code = farewell === 'awaited' || farewell === 'said' ? websocketCode(close, to) : null
  return code === null ? byManner[manner] : `Close ${code}, then ${byManner[manner]}`
}
