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
  /** Milliseconds from the accept in which the preface and the SETTINGS of a client must be there. */
  readonly handshakeMs: number
  /** For a client that does not open its window, as of any write. */
  readonly writeMs: number
  readonly ping: PingRules & { to: 'client' | 'upstream' | 'both' }
}

export interface Http2Options {
  /** Of the connection, and of each stream. */
  pair: PairOptions
  deadlines: Live<Http2Deadlines>
  /** Of one connection, at a time. */
  maxStreams: number
  /** Bytes of the head of a request. */
  maxHeaderBytes: number
  /** Milliseconds for which a client may keep its connection without a stream. */
  keepAliveMs: number
}

export interface Http2Context extends ServeContext {
  registry: Registry
  /** Why clients are to leave; null while they may stay. */
  leaving: () => 'drain' | 'reloaded' | null
  /** The service of streams, with what is theirs of limits. */
  streams: StreamServers
}

export interface StreamServers {
  servePlain: (connection: Connection, client: Endpoint, first: FirstRequest) => void
  serveUpgrade: (connection: Connection, client: Endpoint, request: RequestHead, early: Buffer) => void
  /** As `onClosed` of a context, for one that nobody has served. */
  onRefused: (connection: Connection) => void
}
