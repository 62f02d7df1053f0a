// What an upstream that speaks HTTP/2 has in place of connections for each request: streams of a few kept sessions. The gate hands their maker
// in (the room `http2`), so that an upstream knows no protocol.

import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { SocketDialler, Dial } from './dial.ts'

/** Gets one call of either for each `open`, perhaps before that returns, unless it was cancelled. */
export interface StreamSeeker {
  /** `dialMs` is how long the dial took that it waited for; null for a session that stood. */
  onStream(endpoint: Endpoint, dialMs: number | null): void
  onDialFailed(close: Close): void
}

/** A stream that is not there yet. */
export interface AwaitedStream {
  /** Milliseconds of the Clock. */
  readonly expiresAt: number
  cancel(): void
}

/** The sessions at one address, of one thread. */
export interface SessionCounts {
  /** Sessions that take further requests. */
  readonly open: number
  /** Those that take none, and go with their last. */
  readonly leaving: number
  /** Requests under way on all of them. */
  readonly streams: number
}

/** The sessions at one address. */
export interface Streams {
  readonly counts: SessionCounts
  /** A stream for one request of `connection`; null if the seeker has heard already. */
  open(connection: Connection, connectMs: number, seeker: StreamSeeker): AwaitedStream | null
  /** No session is used for another request; each goes with its last stream. */
  clear(): void
}

export interface StreamsContext {
  /** `host:port`, for the log. */
  readonly name: string
  /** The Host of requests that name none. */
  readonly host: string
  readonly isSecure: boolean
  /** Milliseconds that a session without streams is kept; and how many such sessions. */
  readonly keepAliveMs: number
  readonly maxIdle: number
  dial(dialler: SocketDialler, connectMs: number): Dial
}

export type StreamsMaker = (context: StreamsContext) => Streams
