// Whether a peer waits for something that an end of the pair now would take away: bytes, or an answer.
//
// Of opaque bytes TCP shows only the order: if the last ones went to the upstream, they may be a question
// without its answer so far (a query of nine seconds looks as idle as a connection of a pool). A conversation
// with messages announces its end in words (a Close frame), so there only a truncated message counts.

import type { Dialogue } from './dialogue.ts'
import type { Half } from './half.ts'

/** `lastWord`: the half that read last; null before either side has sent anything. */
export function isOwed(
  toUpstream: Half,
  toClient: Half,
  lastWord: Half | null,
  dialogue: Dialogue | null,
): boolean {
  // The last answer has told the client to send no more: a limit that keeps us from reading takes nothing away.
  const isParting = dialogue?.isAtRest === true && (dialogue.afterAnswer ?? null) !== null
  for (const { sink, isDelayed } of [toUpstream, toClient])
    // Bytes that wait only for a stream's carrier are queued, not `unacked`: they are on their way.
    if ((isDelayed && !isParting) || Math.min(sink.queued, sink.unacked) > 0 || (sink.assembling ?? 0) > 0)
      return true
  // An end between two messages takes nothing away, in whatever order both sides end.
  if (dialogue?.isAtRest !== undefined) return !dialogue.isAtRest
  // One side has ended and the other has not: the first waits for what the other still sends.
  if (toUpstream.hasEnded !== toClient.hasEnded) return true
  if (dialogue === null) return lastWord === toUpstream
  return dialogue.isOwing(toClient)
}
