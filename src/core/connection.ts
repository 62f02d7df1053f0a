// The one record of a proxied conversation, filled on the way and read by the log, metrics, admin, drain and overload
// alike. It holds numbers and words, no sockets; it belongs to whoever serves the connection.

import type { ClientTls } from './client-tls.ts'
import type { Close, PeerSide, Phase } from './close.ts'
import type { Wait } from './wait.ts'

export type Protocol = 'tcp' | 'http' | 'websocket'
export const protocols = ['tcp', 'http', 'websocket'] as const satisfies readonly Protocol[]

/** to_upstream: client to upstream. to_client: upstream to client. */
export const directions = ['to_upstream', 'to_client'] as const
export type Direction = (typeof directions)[number]

/** What went in one direction. Plain fields: they are written for every chunk and read at a scrape. */
export class Flow {
  /** Bytes read from the source. */
  received = 0
  /** Bytes handed to the sink's endpoint, ours (pings, close frames) included; less its queue, what the kernel took. */
  sent = 0
  /** Whole WebSocket messages. */
  messages = 0
  /** How often the source was paused because the sink did not keep up. */
  pauses = 0
}

/** The Close frames of a WebSocket, as the peers sent them: which side began, and the code of each (1005 for none in it), null before. */
export interface ClosingFrames {
  readonly first: PeerSide
  client: number | null
  upstream: number | null
}

/** What a live connection can tell of itself, and how it is ended from outside. Given by whoever serves it. */
export interface ConnectionOwner {
  /** The only way to end a connection; later calls are ignored. */
  close(close: Close): void
  /** Bytes waiting in our queues for that peer; after the end, those that were dropped there. */
  queued(side: 'client' | 'upstream'): number
  /** When that peer last took some of what waits for it, or nothing waited (monotonic milliseconds): since then it is stalled. */
  takenAt(side: 'client' | 'upstream'): number
  /** Of those, what is not handed on because its message is not whole yet; none where there is no such thing. */
  assembling?(side: 'client' | 'upstream'): number
  /** Whether the source of that direction is not being read, because its sink does not keep up. */
  isPaused(direction: Direction): boolean
  /** Milliseconds without data either way, as of the last sweep; 0 (or absent) while somebody waits. */
  quietMs?(now: number): number
  /** Somebody waits for bytes or for an answer that an end now would take away; absent is no. */
  isOwed?(): boolean
  /** When data last moved, as the last sweep saw it; milliseconds of the Clock. */
  activeAt?(): number
  /** What it waits for and until when. For an operator who asks for this one: it may allocate. */
  describe?(): Wait
}

/** What a connection takes up at its upstream address: counted until it is given back, once. */
export interface Place {
  release(): void
}

export class Connection {
  readonly id: number
  readonly listener: string
  /** Becomes `websocket` or `http` once the request head says so. */
  protocol: Protocol
  /** `ip:port` of the client: the peer, or whom a PROXY header named. */
  readonly clientAddress: string
  /** `ip:port` that the client connected to; null where nobody asks (`upstream.proxyProtocol`), and for a unix socket. */
  localAddress: string | null = null
  /** What its TLS handshake told; null where there was none, or nobody asks (`tls.clientCa`, `tls.alpn`, `upstream.proxyProtocol: v2`). */
  tls: ClientTls | null = null
  /** `host:port` once dialled. */
  upstreamAddress: string | null = null
  /** Monotonic milliseconds, of the accept. */
  readonly openedAt: number
  /** When the upstream side was established; null before. */
  connectedAt: number | null = null
  phase: Phase = 'admit'
  readonly toUpstream = new Flow()
  readonly toClient = new Flow()
  /** The closing handshake so far, whatever ends the connection; null before, and for other protocols. */
  closing: ClosingFrames | null = null
  /** Why it ended; null while it is open. The first cause, never overwritten. */
  end: Close | null = null
  /** It was owed bytes, or an answer, when we ended it. */
  isCut = false
  owner: ConnectionOwner | null = null
  /** At the upstream address that it uses or is about to use; of plain HTTP, while a request is under way. */
  place: Place | null = null

  constructor(id: number, listener: string, protocol: Protocol, clientAddress: string, openedAt: number) {
    this.id = id
    this.listener = listener
    this.protocol = protocol
    this.clientAddress = clientAddress
    this.openedAt = openedAt
  }
}

/** The limits, as in the configuration, and what they do: `delay` stops reading (or serving), `close` ends or refuses, `drop` drops messages. */
export const limitNames = ['connections', 'connectionsPerClient', 'newConnections', 'bytes', 'messages', 'minRate'] as const
export type LimitName = (typeof limitNames)[number]
export type LimitAction = 'delay' | 'close' | 'drop'

/** Gives back what the connection takes up upstream, if anything; a second call does nothing. */
export function releasePlace(connection: Connection): void {
  const { place } = connection
  connection.place = null
  place?.release()
}

/**
 * Where the path says what happened. Metrics, log and admin listen; the path does not know them.
 * Calls are made at the events, never for each chunk.
 */
export interface Observer {
  onOpened(connection: Connection): void
  /** The upstream side stands; `dialMs` is how long that took. */
  onConnected(connection: Connection, dialMs: number): void
  /** A dial failed; the connection may end of it (or another address may be tried). */
  onConnectFailed(connection: Connection, close: Close): void
  onPingSent(connection: Connection): void
  /** Round trip of a ping of ours, in milliseconds. */
  onPong(connection: Connection, rttMs: number): void
  /** So many messages were dropped: those for a slow client that gave way, or those over a rate; `policy` is a word of ours. */
  onMessagesDropped(connection: Connection, policy: string, messages: number): void
  /** A plain HTTP request was answered with `status`, or with nothing (null). */
  onRequest(connection: Connection, request: { method: string; status: number | null; durationMs: number }): void
  /** A limit of that listener acted; or, if it is not enforced, would have. */
  onLimited(listener: string, limit: LimitName, action: LimitAction, isEnforced: boolean): void
  /** Both sides are gone, and `connection.end` says why. Called once, last. */
  onClosed(connection: Connection): void
}

export const silentObserver: Observer = {
  onOpened() {},
  onConnected() {},
  onConnectFailed() {},
  onPingSent() {},
  onPong() {},
  onMessagesDropped() {},
  onRequest() {},
  onLimited() {},
  onClosed() {},
}

/** All open connections, by id. */
export class Registry {
  readonly #connections = new Map<number, Connection>()
  #lastId = 0

  get size(): number {
    return this.#connections.size
  }

  nextId(): number {
    return ++this.#lastId
  }

  add(connection: Connection): void {
    this.#connections.set(connection.id, connection)
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection.id)
  }

  get(id: number): Connection | undefined {
    return this.#connections.get(id)
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#connections.values()
  }
}
