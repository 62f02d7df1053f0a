// Whether somebody waits for something that an end of the pair now would take away: bytes, or an answer.
//
// TCP says of opaque bytes only their order: if the last ones went to the upstream, they may be a question that is not answered yet (a
// query of nine seconds looks as idle as a connection of a pool). A conversation with messages is told of its end in words (a Close frame),
// so there only a message that is cut counts.

import type { Dialogue } from './dialogue.ts'
import type { Half } from './half.ts'

/** `lastWord`: the half that read last; null where neither side has said anything. */
export function isOwed(
  toUpstream: Half,
  toClient: Half,
  lastWord: Half | null,
  dialogue: Dialogue | null,
): boolean {
  for (const { sink, isDelayed } of [toUpstream, toClient])
    // What a stream has, and its peer would take, is on its way.
    if (isDelayed || Math.min(sink.queued, sink.unacked) > 0 || (sink.assembling ?? 0) > 0) return true
  // One that leaves between two messages takes nothing along, in whatever order both end.
  if (dialogue?.isAtRest !== undefined) return !dialogue.isAtRest
  // One side has said all it has to say, and the other has not: what it says is what the first waits for.
  if (toUpstream.hasEnded !== toClient.hasEnded) return true
  if (dialogue === null) return lastWord === toUpstream
  return dialogue.isOwing(toClient)
}
