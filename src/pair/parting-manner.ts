// How a pair parts from one of its peers: in the manner of the close's row, but for what that peer was told and what it was owed.
// A stream that was cut is never passed off as a whole one: without a word, and short of its end, a peer gets no more than the row says.

import { reasonRow } from '../core/close.ts'
import type { Close, Manner } from '../core/close.ts'
import type { Farewell } from './dialogue.ts'
import type { Half } from './half.ts'

/** For the peer that `half` sends to, and that was told `farewell`. */
export function partingManner(half: Half, close: Close, farewell: Farewell): Manner {
  const { manner } = reasonRow(close.reason)
  if (farewell === 'answered') return 'flush'
  if (farewell === 'cut') return 'reset'
  if (farewell === 'done') return 'drop'
  const isInnocent = close.side !== half.sink.side && close.side !== 'sidegate'
  // Who was told why, and is not at fault, may take leave properly: 1011 is as plain as an RST.
  if ((farewell === 'awaited' || farewell === 'said') && isInnocent) return 'flush'
  // Slow is not stalled: it may still take what its socket holds, and read why. RST follows after `closeMs`.
  if (farewell === 'said' && close.reason === 'slow_consumer') return 'flush'
  // A close frame cannot stand inside a frame, and without one FIN would be all that is said.
  if (farewell === 'blocked' && manner === 'flush') return 'drop'
  // All that this peer was to get has come, FIN included: another's RST must not take it back.
  if (manner === 'reset' && close.reason === 'reset' && isInnocent && half.hasEnded) return 'flush'
  return manner
}
