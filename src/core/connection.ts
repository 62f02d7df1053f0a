// The one record of a proxied conversation, filled along the path and read by the log, metrics, admin, drain
// and overload alike. It holds numbers and words, no sockets; it belongs to the part that serves the
// connection.

import type { Address, ClientAddress } from './address.ts'
import type { ClientTls } from './client-tls.ts'
import type { Close, PeerSide, Phase, Side } from './close.ts'
import type { Pulse } from './pulse.ts'
import { Roll } from './roll.ts'
import type { Timeline } from './timeline.ts'
import type { Wait } from './wait.ts'

/** `h2` is a connection that carries streams; each stream has a record of its own, `http` or `websocket`. */
export type Protocol = 'tcp' | 'http' | 'websocket' | 'h2'
export const protocols = ['tcp', 'http', 'websocket', 'h2'] as const satisfies readonly Protocol[]

/** to_upstream: client to upstream. to_client: upstream to client. */
const directions = ['to_upstream', 'to_client'] as const
export type Direction = (typeof directions)[number]

/** The traffic of one direction. Plain fields: they are written for every chunk and read at a scrape. */
export class Flow {
  /** Bytes read from the source. */
  received = 0
  /**
   * Bytes handed to the sink's endpoint, our own (pings, Close frames) included; minus the endpoint's queue:
   * what the kernel took.
   */
  sent = 0
  /** Whole WebSocket messages. */
  messages = 0
  /** How often the source was paused because the sink did not keep up. */
  pauses = 0
  /** Milliseconds from the accept to the first byte of data; -1 before that. */
  firstMs = -1
  /**
   * The greatest values that the sweep saw (`raised`): bytes and messages a second, silence of the source and
   * stall of the sink in milliseconds.
   */
  peaks = 0
}

/**
 * The Close frames that the peers of a WebSocket sent: the side that began (`sidegate` where the frames
 * answer ours), and the code of each frame (1005 for a frame without one), null before it comes.
 */
export interface ClosingFrames {
  readonly first: Side
  client: number | null
  upstream: number | null
}

/**
 * The live side of a connection: its figures, its wait, and its end from outside. The part that serves the
 * connection provides it.
 */
export interface ConnectionOwner {
  /** The only way to end a connection; later calls are ignored. */
  close(close: Close): void
  /** Bytes waiting in our queues for that peer; after the end, the bytes that we dropped there. */
  queued(side: 'client' | 'upstream'): number
  /** When that peer last took some of its queue, or had none (monotonic ms): it has been stalled since. */
  lastDrainAt(side: 'client' | 'upstream'): number
  /**
   * The part of `queued` that is no bytes on their way: we hold them back because their message is not
   * complete or over a rate, or memory that waiting messages cost. Absent where nothing assembles messages.
   */
  assembling?(side: 'client' | 'upstream'): number
  /** Whether we do not read the source of that direction, because its sink does not keep up. */
  isPaused(direction: Direction): boolean
  /** Milliseconds without data either way, as of the last sweep; 0 (or absent) while a peer waits. */
  quietMs?(now: number): number
  /** A peer waits for bytes or for an answer that an end now would take away; absent means no. */
  isOwed?(): boolean
  /** When data last moved, as of the last sweep; milliseconds of the Clock. */
  activeAt?(): number
  /** The connection's present wait and its bound. For an operator's question: it may allocate. */
  describe?(): Wait
}

/** A connection that carries streams, as seen from the record of one stream. */
export interface Session {
  readonly id: number
  /** Follows `onClosed` for a stream. */
  onStreamClosed(stream: Connection): void
}

/** The place of a connection at its upstream address: counted until it is released, once. */
export interface Place {
  release(): void
}

export class Connection {
  readonly id: number
  readonly listener: string
  /** For a stream: the connection that carries it. */
  session: Session | null = null
  /** Changes to `websocket`, `http` or `h2` once the request head shows which it is. */
  protocol: Protocol
  /** The peer: the other end of the socket, or the client that a PROXY header names. */
  readonly peer: ClientAddress
  /**
   * The client on whose behalf the peer speaks: the peer itself, or during a request the client that a
   * trusted peer names (`http.trustForwarded`).
   */
  client: ClientAddress
  admission: Admission = 'placed'
  /** The peer is trusted to name the client of each of its requests. */
  namesClients = false
  /** It is a stream for which there was no memory at its beginning. */
  isOneTooMany = false
  /** The protocol that the metrics have counted it as; null before they do. */
  countedAs: Protocol | null = null
  /** It is counted among the open connections of its client. */
  isCounted = false
  /**
   * It has given its client's place up before its end: the client was asked to come by another connection.
   */
  hasParted = false
  /** Not null where its client's limit only observes, and had no place for it at first. */
  observed: ObservedPlace | null = null
  /** The counter of the connections of its client; null where none counts them. */
  counter: ClientCounter | null = null
  /**
   * The address that the client connected to; null where no option needs it (`upstream.proxyProtocol`), and
   * for a unix socket.
   */
  localAddress: Address | null = null
  /**
   * The facts of its TLS handshake; null without TLS, or where no option needs them (`tls.clientCa`,
   * `tls.alpn`, `upstream.proxyProtocol: v2`).
   */
  tls: ClientTls | null = null
  /** `host:port` of the upstream, from the dial on. */
  upstreamAddress: string | null = null
  /** The accept, in monotonic milliseconds. */
  readonly openedAt: number
  /** When the upstream side was established; null before that. */
  connectedAt: number | null = null
  phase: Phase = 'admit'
  readonly toUpstream = new Flow()
  readonly toClient = new Flow()
  /**
   * The closing handshake so far, whatever ends the connection; null before it begins, and for other
   * protocols.
   */
  closing: ClosingFrames | null = null
  /** Why it ended; null while it is open. The first cause, never overwritten. */
  end: Close | null = null
  /** We ended it while a peer was still owed bytes or an answer, and it has not got them. */
  isCut = false
  owner: ConnectionOwner | null = null
  /** At the upstream address that it uses or is about to use; for plain HTTP only during a request. */
  place: Place | null = null
  /** Milliseconds from the accept until the connection passed the gates. */
  admittedMs = 0
  /** Events beyond this record; null where there are none. `note` writes them. */
  timeline: Timeline | null = null
  /**
   * Peaks, as in `Flow`: silence either way, and silence after one side had ended, in milliseconds; bytes
   * waiting for the client, and for the upstream.
   */
  peaks = 0

  // oxlint-disable-next-line eslint/max-params -- the five facts of its beginning, in the order of its log line
  constructor(id: number, listener: string, protocol: Protocol, peer: ClientAddress, openedAt: number) {
    this.id = id
    this.listener = listener
    this.protocol = protocol
    this.peer = peer
    this.client = peer
    this.openedAt = openedAt
  }
}

/**
 * The limits, by their configuration keys, and their actions: `delay` stops reading (or serving), `close`
 * ends or refuses, `drop` drops messages.
 */
const limitNames = [
  'connections',
  'connectionsPerClient',
  'newConnections',
  'bytes',
  'messages',
  'minRate',
] as const
export type LimitName = (typeof limitNames)[number]
export type LimitAction = 'delay' | 'close' | 'drop'

/** Releases the connection's place at its upstream, if it has one; a second call does nothing. */
export function releasePlace(connection: Connection): void {
  const { place } = connection
  connection.place = null
  place?.release()
}

/** Let on with a place under `limits.connections`, or over it, where it only observes. */
export type Admission = 'placed' | 'observed'

/** The place of a connection that an enforced limit would have let wait, or refused. */
export interface ObservedPlace {
  /** It has got one, which it releases at its end. */
  readonly isPlaced: boolean
  /** The connection is over. */
  end(): void
}

/** Counts the connections of clients. */
export interface ClientCounter {
  /** The client of `connection` may have another in its place. */
  part(connection: Connection): void
}

/** The client can only go on by another connection, and may open that before this one is gone. */
export function letReturn(connection: Connection): void {
  connection.counter?.part(connection)
}

/** A plain HTTP request that is over. */
export interface AnsweredRequest {
  method: string
  /** The status that the client got; null for no answer. */
  status: number | null
  durationMs: number
  /** Why the client did not get a complete answer of the upstream; null if it did. */
  end: Close | null
  /** The bytes of the request's own body, as received. */
  bodyBytes: number
  /** For a gRPC call, the code that the caller got: 0 to 16 in words, `other`, `none`; absent otherwise. */
  grpcStatus?: string
}

/**
 * The path's report of events. Metrics, log and admin listen; the path does not know them. The path calls it
 * at events, never for each chunk.
 */
export interface Observer {
  onOpened(connection: Connection): void
  /** The upstream side is established; `dialMs` is how long that took. */
  onConnected(connection: Connection, dialMs: number): void
  /** A dial failed; the connection may end because of it, or another address be tried. */
  onConnectFailed(connection: Connection, close: Close): void
  /** A complete head of a request (from the client) or of an answer. */
  onHead(connection: Connection, side: PeerSide, bytes: number): void
  /** The upstream began its answer, or its 101, `waitedMs` after it had been reached. */
  onAnswer(connection: Connection, waitedMs: number): void
  /** A whole WebSocket message passed. */
  onMessage(connection: Connection, direction: Direction, bytes: number, fragments: number): void
  onPingSent(connection: Connection): void
  /** The round trip of one of our pings, in milliseconds. */
  onPong(connection: Connection, rttMs: number): void
  /** Messages were dropped: a slow client's backlog, or those over a rate; `policy` is a word of ours. */
  onMessagesDropped(connection: Connection, policy: string, messages: number): void
  onRequest(connection: Connection, request: AnsweredRequest): void
  /** A limit of that listener acted; or would have, if it is not enforced. */
  onLimited(listener: string, limit: LimitName, action: LimitAction, isEnforced: boolean): void
  /** Both sides are gone, and `connection.end` has the reason. Called once, last. */
  onClosed(connection: Connection): void
}

/**
 * All open connections, by id. Ids grow; those of worker w of n leave the remainder w when divided by n, so
 * that an id names its worker.
 */
export class Registry {
  readonly #connections = new Roll<Connection>()
  readonly #step: number
  readonly #pulse: Pulse | null
  #lastId: number
  #arriving = 0
  /** Called for each new connection. */
  onAdded: (connection: Connection) => void = () => {}
  /** Called when fewer wait in admission. */
  onArrived: () => void = () => {}

  /** `pulse`: where other threads see the number of open connections; ids continue after its last one. */
  constructor(worker = 0, workers = 1, pulse: Pulse | null = null) {
    this.#step = workers
    this.#pulse = pulse
    this.#lastId = pulse === null || pulse.lastId === 0 ? worker : pulse.lastId
    if (pulse !== null) pulse.open = 0
  }

  get size(): number {
    return this.#connections.size
  }

  /** With those that wait in admission, which have no record yet. */
  get open(): number {
    return this.#connections.size + this.#arriving
  }

  /** So many more (or, below zero, fewer) wait in admission. */
  arrive(connections: number): void {
    this.#arriving += connections
    this.#show()
    if (connections < 0) this.onArrived()
  }

  nextId(): number {
    this.#lastId += this.#step
    if (this.#pulse !== null) this.#pulse.lastId = this.#lastId
    return this.#lastId
  }

  add(connection: Connection): void {
    this.#connections.add(connection.id, connection)
    this.#show()
    this.onAdded(connection)
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection.id, connection)
    this.#show()
  }

  get(id: number): Connection | undefined {
    return this.#connections.get(id)
  }

  #show(): void {
    if (this.#pulse !== null) this.#pulse.open = this.open
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#connections[Symbol.iterator]()
  }
}
