// The options of plain HTTP.

import type { ClientGate } from '../admission/client-gate.ts'
import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { ServeContext } from '../opening/opening.ts'
import type { PairOptions } from '../pair/pair.ts'
import type { ReachOptions } from '../upstream/reach.ts'
import type { Exchange } from './exchange.ts'
import type { ForwardingOptions } from './forwarding.ts'
import type { RequestHead } from './head.ts'
import type { WaitOptions } from './waits.ts'

export interface HttpOptions extends ForwardingOptions, WaitOptions {
  reach: ReachOptions
  pair: PairOptions
  /** Bytes of a head, the client's and the upstream's. */
  maxHeaderBytes: number
  maxBodyBytes: number
  /** Whose heads and chunks are read as loosely as HAProxy and nginx read them, where they still mean one thing only. */
  lenient: 'off' | 'upstream' | 'both'
  /** A client that ends its half has left, and its request ends with it. */
  abortsOnHalfClose: boolean
}

export interface HttpContext extends ServeContext {
  /** An exchange is over; `status` is what the client got, null if nothing; `end` is why that is no whole answer of the upstream, null if it is. */
  onExchange: (connection: Connection, exchange: Exchange, status: number | null, end: Close | null) => void
  /** Asked about each request of a peer that names its clients. */
  clients: Pick<ClientGate, 'whenNamedKnown' | 'admitFor' | 'leave'>
  /** Why clients are to leave with their next answer; null while they may stay. */
  leaving: () => 'drain' | 'reloaded' | null
  /** Takes over a client whose request asks for a WebSocket; `early` is the bytes that came after its head, valid until it returns. */
  serveUpgrade: (connection: Connection, client: Endpoint, request: RequestHead, early: Buffer) => void
}
