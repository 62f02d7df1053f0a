// The steps of an opening: the questions that it puts to its protocol.

import type { Close, PeerSide } from '../core/close.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { PairOptions } from '../pair/pair.ts'
import type { Opening } from './opening.ts'

/** The endpoints and options of a pair, for a protocol that needs more than the sockets. */
export interface PairEnds {
  options: PairOptions
  wrap(client: Endpoint, upstream: Endpoint): { client: Endpoint; upstream: Endpoint }
}

/** A protocol's part in the opening. */
export interface OpeningSteps {
  /** The client sent bytes, valid until this returns. Bytes for later go to `opening.keep`. */
  onClientBytes(opening: Opening, bytes: Buffer, length: number): void
  /** The client sent FIN. */
  onClientEnd(opening: Opening): void
  onDialled(opening: Opening, upstream: Endpoint): void
  onUpstreamBytes(opening: Opening, bytes: Buffer, length: number): void
  /** Bytes of incomplete heads that wait to go to that side. */
  heldBytes?(side: PeerSide): number
  /** The answer to the client for this end; null where the protocol has none. */
  answer(close: Close): Buffer | null
}
