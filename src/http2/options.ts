// The options of HTTP/2 towards clients.

import type { Connection, Registry } from '../core/connection.ts'
import type { Live } from '../core/live.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { RequestHead } from '../http1/head.ts'
import type { FirstRequest } from '../http1/serve.ts'
import type { ServeContext } from '../opening/opening.ts'
import type { PairOptions } from '../pair/pair.ts'

import type { PingRules } from './session-pings.ts'

export interface Http2Deadlines {
  /** Milliseconds from the accept to the preface and the SETTINGS of a client. */
  readonly handshakeMs: number
  /** For a client that does not open its window, as for any write. */
  readonly writeMs: number
  readonly ping: PingRules & { to: 'client' | 'upstream' | 'both' }
}

export interface Http2Options {
  /** Of the connection, and of each stream. */
  pair: PairOptions
  deadlines: Live<Http2Deadlines>
  /** Streams of one connection at a time. */
  maxStreams: number
  /** Bytes of a request's head. */
  maxHeaderBytes: number
  /** Milliseconds that a client may keep its connection without a stream. */
  keepAliveMs: number
}

export interface Http2Context extends ServeContext {
  registry: Registry
  /** Why clients are to leave; null while they may stay. */
  leaving: () => 'drain' | 'reloaded' | null
  /** The servers of streams, with the limits of a stream. */
  streams: StreamServers
}

export interface StreamServers {
  servePlain: (connection: Connection, client: Endpoint, first: FirstRequest) => void
  serveUpgrade: (connection: Connection, client: Endpoint, request: RequestHead, early: Buffer) => void
  /** `onClosed` of the context, for a stream that no server got. */
  onRefused: (connection: Connection) => void
}
