// A protocol's part in the relay: a dialogue looks at the bytes on their way, and can speak to a peer in its
// language. tcp has none. The relay, its bounds and its deadlines exist once, in the pair.

import type { Close } from '../core/close.ts'
import type { Farewell } from '../core/manner.ts'
import type { Wait } from '../core/wait.ts'
import type { Half } from './half.ts'

/** When something last moved in one direction, as the sweep saw it; milliseconds of the Clock. */
export interface Moved {
  /** Data came from the source, a slow sink took some, or a rate limit held it back. */
  readonly activeAt: number
  /** Data came from the source, or we did not read the source. */
  readonly dataAt: number
}

/** The same of a direction whose sink can be looked at closer. */
export interface Watched extends Moved {
  /**
   * Whether its sink has taken nothing for `ms` since `since`, also of what the kernel holds for it. To be
   * asked in each sweep from a while before on: it is compared by two looks at the least.
   */
  isStill(since: number, ms: number, now: number): boolean
}

export interface Dialogue {
  /**
   * Looks at the bytes that a half read and forwards those that may go on (`half.forward`). May close the
   * pair, or leave the rest with `half.meter`, which has it relayed again in its turn.
   */
  relay(half: Half, bytes: Buffer, length: number): void
  /**
   * A source sent FIN. Returns null if it may, and the FIN is passed on; `kept` if it may, and the other side
   * does not hear of it; else the end of the pair.
   */
  onSourceEnd(half: Half): Close | null | 'kept'
  /** The upstream is gone (`error` is null after an orderly end). True if the pair goes on without it. */
  onUpstreamClosed?(error: NodeJS.ErrnoException | null): boolean
  /** The pair is ending with `close`: the dialogue gives up whatever it waits for elsewhere. */
  onClosing?(close: Close): void
  /** Says goodbye to the peer that `half` sends to. */
  farewell(half: Half, close: Close): Farewell
  /** Adds the protocol's knowledge to the reason of the end. */
  explain?(close: Close): Close
  /**
   * Returns true if an end that can wait comes inside a frame. The dialogue closes the pair with it again
   * once a goodbye is possible, or after a while; until then its peers are judged as before.
   */
  postpone?(close: Close): boolean
  /**
   * Returns true if this end is the client's doing. The upstream's answers to what was accepted before then
   * go on to the client, ahead of its farewell, until `hasHeardOut` or until the time is over.
   */
  hearOut?(close: Close): boolean
  readonly hasHeardOut?: boolean
  /** The end that comes after the answer in flight, and that the answer announces to the client. */
  readonly afterAnswer?: Close | null
  /** The end made by the protocol's own words (a Close frame): a later FIN or RST does not change it. */
  concluded?(how: string): Close | null
  /** Bytes of the last word for the peer that `half` sends to: no loss if the peer does not read them. */
  lastWord?(half: Half): number
  /** After a farewell: reads on, forwards nothing, and returns true once the peer's last word has come. */
  isAnswered?(half: Half, bytes: Buffer, length: number): boolean
  /**
   * How many bytes the client may still owe of a request that needs them no more; null where it owes none.
   * They are read in their turns, at the rate of the limits, and dropped: a client that writes first comes to
   * its answer.
   */
  unwanted?(close: Close): number | null
  /** The source of `half` owes the rest of something that it began: a message, a body. */
  isOwing(half: Half): boolean
  /**
   * Since when the bytes held of the source are of no use to the sink, in milliseconds of the Clock: they
   * wait for the end of their message, or for their turn. Null where none are held.
   */
  owingSince?(half: Half): number | null
  /**
   * The source of `half` has said its last word in the protocol (a Close frame), and is not to speak again.
   */
  hasSaidAll?(half: Half): boolean
  /** Checks the protocol's own deadlines; milliseconds of the Clock. Returns the end of the pair, or null. */
  sweep(now: number): Close | null
  /** Judges the protocol's waits, in place of `idle` and `halfClose` for a stream without messages. */
  judge?(toUpstream: Watched, toClient: Watched, now: number, idleScale: number): Close | null
  /** Bytes of the client that wait in the dialogue for their turn. */
  readonly held?: number
  /** For a protocol with messages: it is between two of them, and nobody waits for anything. */
  readonly isAtRest?: boolean
  /** The protocol's own wait, on request; null where it only waits for data. */
  describe?(): Omit<Wait, 'state'> | null
}
