// Whether a peer waits for something that an end of the pair now would take away: bytes, or an answer.
//
// Of opaque bytes TCP shows only the order: if the last ones went to the upstream, they may be a question
// without its answer so far (a query of nine seconds looks as idle as a connection of a pool). A conversation
// with messages announces its end in words (a Close frame), so there only a truncated message counts.

import type { Dialogue } from './dialogue.ts'
import type { Half } from './half.ts'

/**
 * `accepted`: only what the parting still delivers, if its peer takes it. `more`: also what nobody will
 * deliver: unread bytes, an answer that is not there yet.
 */
export type Owed = 'nothing' | 'accepted' | 'more'

/** `lastWord`: the half that read last; null before either side has sent anything. */
export function owed(
  toUpstream: Half,
  toClient: Half,
  lastWord: Half | null,
  dialogue: Dialogue | null,
): Owed {
  const halves = [toUpstream, toClient]
  // The last answer has told the client to send no more: a limit that keeps us from reading takes nothing
  // away.
  const isParting = dialogue?.isAtRest === true && (dialogue.afterAnswer ?? null) !== null
  if (!isParting && halves.some((half) => half.isDelayed && !half.hasEnded)) return 'more'
  if (halves.some(({ sink }) => (sink.assembling ?? 0) > 0)) return 'more'
  // Bytes that wait only for a stream's carrier are queued, not `unacked`: they are on their way.
  const waiting = halves.filter(({ sink }) => Math.min(sink.queued, sink.unacked) > 0)
  if (waiting.some((half) => half.isBackpressured && !half.hasEnded)) return 'more'
  if (isMoreToCome(toUpstream, toClient, lastWord, dialogue)) return 'more'
  if (waiting.length > 0) return 'accepted'
  // A side that has said all waits for what the other still sends, and perhaps that is nothing.
  const isHalfClosed = dialogue?.isAtRest === undefined && toUpstream.hasEnded !== toClient.hasEnded
  return isHalfClosed ? 'accepted' : 'nothing'
}

function isMoreToCome(
  toUpstream: Half,
  toClient: Half,
  lastWord: Half | null,
  dialogue: Dialogue | null,
): boolean {
  // An end between two messages takes nothing away, in whatever order both sides end.
  if (dialogue?.isAtRest !== undefined) return !dialogue.isAtRest
  // The answer has come to its end.
  if (toClient.hasEnded) return false
  if (dialogue === null) return toUpstream.hasEnded || lastWord === toUpstream
  return toUpstream.hasEnded || dialogue.isOwing(toClient)
}

/**
 * Since when a message that is not complete holds its bytes; null where that is nobody's fault: one that
 * stops because its reader is slow waits for that reader, who has a figure of its own.
 */
export function stoppedSince(half: Half, dialogue: Dialogue | null): number | null {
  return half.isBackpressured ? null : (dialogue?.owingSince?.(half) ?? null)
}
