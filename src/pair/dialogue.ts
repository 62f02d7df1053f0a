// The part of a protocol in the relay: it looks at the bytes on their way, and can speak to a peer in its language.
// tcp adds nothing and has none. The relay itself, its bounds and its deadlines exist once, in the pair.

import type { Close } from '../core/close.ts'
import type { Farewell } from '../core/manner.ts'
import type { Wait } from '../core/wait.ts'
import type { Half } from './half.ts'

/** When something moved in one direction, as the sweep saw it; milliseconds of the Clock. */
export interface Moved {
  /** Data came from the source, or a slow sink took some, or a rate limit held it back. */
  readonly activeAt: number
  /** Data came from the source, or it was not read. */
  readonly dataAt: number
}

export interface Dialogue {
  /**
   * Looks at what a half read and forwards what may go on (`half.forward`). May close the pair, or leave the rest with
   * `half.meter`, which has it relayed again in its turn.
   */
  relay(half: Half, bytes: Buffer, length: number): void
  /** A source sent FIN: null if it may, and it is passed on; `kept` if it may, and the other side does not hear of it; else why the pair ends. */
  onSourceEnd(half: Half): Close | null | 'kept'
  /** The upstream is gone (`error`: not by an end of its own); true if the pair goes on without it. */
  onUpstreamClosed?(error: NodeJS.ErrnoException | null): boolean
  /** The pair ends with `close`, from here on: what it waits for elsewhere is given up. */
  onClosing?(close: Close): void
  /** Says goodbye to the peer that `half` sends to. */
  farewell(half: Half, close: Close): Farewell
  /** Adds to why the pair ends what this protocol knows of it. */
  explain?(close: Close): Close
  /** True: an end that can wait comes inside a frame. The pair is closed with it again as soon as it can be told, or after a while. */
  postpone?(close: Close): boolean
  /**
   * True: this end is the client's doing, and what the upstream still answers to what was accepted before is relayed on, ahead of
   * the farewell to the client, until `hasHeardOut` or until the time is over.
   */
  hearOut?(close: Close): boolean
  readonly hasHeardOut?: boolean
  /** How it has ended, where it was ended in the protocol's own words (a Close frame): a FIN or RST that follows is no other end. */
  concluded?(how: string): Close | null
  /** Bytes of the last word for the peer that `half` sends to: no loss if nobody reads it. */
  lastWord?(half: Half): number
  /** After a farewell: looks at what the peer still sends; true once it has answered, with its last word. Nothing is forwarded any more. */
  isAnswered(half: Half, bytes: Buffer, length: number): boolean
  /** The source of `half` has begun something that it owes the rest of: a message, a body. */
  isOwing(half: Half): boolean
  /** Since when it does, milliseconds of the Clock: what is held of it is freed only by its end. Null where nothing is owed. */
  owingSince?(half: Half): number | null
  /** Looks at its own deadlines; milliseconds of the Clock. Returns why the pair ends, or null. */
  sweep(now: number): Close | null
  /** Judges its own waits in place of `idle` and `halfClose`, which are for conversations without messages. */
  judge?(toUpstream: Moved, toClient: Moved, now: number, idleScale: number): Close | null
  /** Bytes of the client that wait in the dialogue for their turn. */
  readonly held?: number
  /** Nobody waits for anything: what has messages, between two of them. */
  readonly isAtRest?: boolean
  /** The wait of the protocol itself, on request; null where that is only for data. */
  describe?(): Omit<Wait, 'state'> | null
}
