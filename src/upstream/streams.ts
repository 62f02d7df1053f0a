// Streams: an upstream that speaks HTTP/2 has them instead of one connection for each request, over a few
// kept sessions. The gate passes in their maker (the room `http2`), so that an upstream knows no protocol.

import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { SocketDialler, Dial } from './dial.ts'

/** Gets one call of either method for each `open`, perhaps before that returns, unless it was cancelled. */
export interface StreamSeeker {
  /** `dialMs` is how long the stream's session took to dial; null for a session that was open. */
  onStream(endpoint: Endpoint, dialMs: number | null): void
  onDialFailed(close: Close): void
}

/** A stream that waits for its session. */
export interface AwaitedStream {
  /** Milliseconds of the Clock. */
  readonly expiresAt: number
  cancel(): void
}

/** The sessions at one address, of one thread. */
export interface SessionCounts {
  /** Sessions that take further requests. */
  readonly open: number
  /** Sessions that take no more requests, and end with their last stream. */
  readonly leaving: number
  /** Requests under way on all sessions. */
  readonly streams: number
}

/** The sessions at one address. */
export interface Streams {
  readonly counts: SessionCounts
  /** A stream for one request of `connection`; null if the seeker has been called already. */
  open(connection: Connection, connectMs: number, seeker: StreamSeeker): AwaitedStream | null
  /** Uses no session for another request; each ends with its last stream. */
  clear(): void
}

export interface StreamsContext {
  /** `host:port`, for the log. */
  readonly name: string
  /** The Host of requests without one. */
  readonly host: string
  readonly isSecure: boolean
  /** Milliseconds that a session without streams is kept; and how many such sessions. */
  readonly keepAliveMs: number
  readonly maxIdle: number
  dial(dialler: SocketDialler, connectMs: number): Dial
}

export type StreamsMaker = (context: StreamsContext) => Streams
