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
  /**
   * The sides whose heads and chunks are read as loosely as HAProxy and nginx read them, where they still
   * have one meaning.
   */
  lenient: 'off' | 'upstream' | 'both'
  /** A client's FIN means that it has left: its request ends. */
  abortsOnHalfClose: boolean
}

export interface HttpContext extends ServeContext {
  /**
   * An exchange is over. `status` is the client's, null if it got no answer; `end` is the reason why the
   * answer is not a complete one of the upstream, null if it is.
   */
  onExchange: (connection: Connection, exchange: Exchange, status: number | null, end: Close | null) => void
  /** Decides about each request of a peer that names its clients. */
  clients: Pick<ClientGate, 'whenNamedKnown' | 'admitFor' | 'leave'>
  /** Why clients are to leave after their next answer; null while they may stay. */
  leaving: () => 'drain' | 'reloaded' | null
  /**
   * Takes over a client whose request asks for a WebSocket; `early` are the bytes after its head, valid until
   * the call returns.
   */
  serveUpgrade: (connection: Connection, client: Endpoint, request: RequestHead, early: Buffer) => void
}
