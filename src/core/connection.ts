// The one record of a proxied conversation, filled on the way and read by the log, metrics, admin, drain and overload
// alike. It holds numbers and words, no sockets; it belongs to the part that serves the connection.

import type { Address, ClientAddress } from './address.ts'
import type { ClientTls } from './client-tls.ts'
import type { Close, PeerSide, Phase } from './close.ts'
import type { Pulse } from './pulse.ts'
import { Roll } from './roll.ts'
import type { Timeline } from './timeline.ts'
import type { Wait } from './wait.ts'

/** `h2` is a connection that carries streams; each of those is `http`, or `websocket`. */
export type Protocol = 'tcp' | 'http' | 'websocket' | 'h2'
export const protocols = ['tcp', 'http', 'websocket', 'h2'] as const satisfies readonly Protocol[]

/** to_upstream: client to upstream. to_client: upstream to client. */
export const directions = ['to_upstream', 'to_client'] as const
export type Direction = (typeof directions)[number]

/** The traffic of one direction. Plain fields: they are written for every chunk and read at a scrape. */
export class Flow {
  /** Bytes read from the source. */
  received = 0
  /** Bytes handed to the sink's endpoint, ours (pings, close frames) included; less its queue, what the kernel took. */
  sent = 0
  /** Whole WebSocket messages. */
  messages = 0
  /** How often the source was paused because the sink did not keep up. */
  pauses = 0
  /** Milliseconds from the accept to the first byte of data; -1 before. */
  firstMs = -1
  /** The greatest, as the sweep saw it (`raised`): bytes and messages a second, silence of the source and stall of the sink in milliseconds. */
  peaks = 0
}

/** The Close frames of a WebSocket, as the peers sent them: which side began, and the code of each (1005 for none in it), null before. */
export interface ClosingFrames {
  readonly first: PeerSide
  client: number | null
  upstream: number | null
}

/** The live side of a connection: its figures, its wait, and its end from outside. Given by the part that serves it. */
export interface ConnectionOwner {
  /** The only way to end a connection; later calls are ignored. */
  close(close: Close): void
  /** Bytes waiting in our queues for that peer; after the end, those that were dropped there. */
  queued(side: 'client' | 'upstream'): number
  /** When that peer last took some of what waits for it, or nothing waited (monotonic milliseconds): since then it is stalled. */
  lastDrainAt(side: 'client' | 'upstream'): number
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
  /** Its wait, and until when. For an operator who asks for this one: it may allocate. */
  describe?(): Wait
}

/** A connection that carries streams, as the record of one of them knows it. */
export interface Session {
  readonly id: number
  /** The stream is gone, as `onClosed` has told. */
  onStreamClosed(stream: Connection): void
}

/** The place of a connection at its upstream address: counted until it is given back, once. */
export interface Place {
  release(): void
}

export class Connection {
  readonly id: number
  readonly listener: string
  /** Of a stream: the connection that it came by. */
  session: Session | null = null
  /** Becomes `websocket`, `http` or `h2` once the request head says so. */
  protocol: Protocol
  /** Who speaks with us: at the other end of the socket, or whom a PROXY header named. */
  readonly peer: ClientAddress
  /** Whose it is: the peer's, or, while a request is under way, whose a trusted peer says that is (`http.trustForwarded`). */
  client: ClientAddress
  /** The peer is trusted to say whose each of its requests is. */
  namesClients = false
  /** What metrics have counted it as; null before. */
  countedAs: Protocol | null = null
  /** It counts among what its client has open. */
  isCounted = false
  /** Where the client connected to; null where nobody asks (`upstream.proxyProtocol`), and for a unix socket. */
  localAddress: Address | null = null
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
  /** Milliseconds from the accept until the gates were passed. */
  admittedMs = 0
  /** What is worth telling beyond this record; null where nothing is. Written by `note`. */
  timeline: Timeline | null = null
  /** As of a flow: silence either way, and after one side had ended, in milliseconds; bytes that waited for the client, and for the upstream. */
  peaks = 0

  constructor(id: number, listener: string, protocol: Protocol, peer: ClientAddress, openedAt: number) {
    this.id = id
    this.listener = listener
    this.protocol = protocol
    this.peer = peer
    this.client = peer
    this.openedAt = openedAt
  }
}

/** The limits, as in the configuration, and what they do: `delay` stops reading (or serving), `close` ends or refuses, `drop` drops messages. */
export const limitNames = [
  'connections',
  'connectionsPerClient',
  'newConnections',
  'bytes',
  'messages',
  'minRate',
] as const
export type LimitName = (typeof limitNames)[number]
export type LimitAction = 'delay' | 'close' | 'drop'

/** Gives back what the connection takes up upstream, if anything; a second call does nothing. */
export function releasePlace(connection: Connection): void {
  const { place } = connection
  connection.place = null
  place?.release()
}

/** A plain HTTP request that is over. */
export interface AnsweredRequest {
  method: string
  /** What the client was answered; null for nothing. */
  status: number | null
  durationMs: number
  /** Why the answer is not a whole one of the upstream; null if it is. */
  end: Close | null
  /** Of its own, as they came. */
  bodyBytes: number
  /** Of a call of gRPC, the code that its caller got: 0 to 16 in words, `other`, `none`; absent for what is no call. */
  grpcStatus?: string
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
  /** A whole head of a request (of the client) or of an answer. */
  onHead(connection: Connection, side: PeerSide, bytes: number): void
  /** The upstream began its answer, or its 101, so long after it had been reached. */
  onAnswer(connection: Connection, waitedMs: number): void
  /** A whole WebSocket message went by. */
  onMessage(connection: Connection, direction: Direction, bytes: number, fragments: number): void
  onPingSent(connection: Connection): void
  /** Round trip of a ping of ours, in milliseconds. */
  onPong(connection: Connection, rttMs: number): void
  /** So many messages were dropped: those for a slow client that gave way, or those over a rate; `policy` is a word of ours. */
  onMessagesDropped(connection: Connection, policy: string, messages: number): void
  onRequest(connection: Connection, request: AnsweredRequest): void
  /** A limit of that listener acted; or, if it is not enforced, would have. */
  onLimited(listener: string, limit: LimitName, action: LimitAction, isEnforced: boolean): void
  /** Both sides are gone, and `connection.end` says why. Called once, last. */
  onClosed(connection: Connection): void
}

export const silentObserver: Observer = {
  onOpened() {},
  onConnected() {},
  onConnectFailed() {},
  onHead() {},
  onAnswer() {},
  onMessage() {},
  onPingSent() {},
  onPong() {},
  onMessagesDropped() {},
  onRequest() {},
  onLimited() {},
  onClosed() {},
}

/** All open connections, by id. Ids grow: those of worker w of n leave w when they are divided by n, so that an id says whose it is. */
export class Registry {
  readonly #connections = new Roll<Connection>()
  readonly #step: number
  readonly #pulse: Pulse | null
  #lastId: number
  /** Told of each connection as it comes. */
  onAdded: (connection: Connection) => void = () => {}

  /** `pulse`: where other threads see how many there are; ids go on after its last one. */
  constructor(worker = 0, workers = 1, pulse: Pulse | null = null) {
    this.#step = workers
    this.#pulse = pulse
    this.#lastId = pulse === null || pulse.lastId === 0 ? worker : pulse.lastId
    if (pulse !== null) pulse.open = 0
  }

  get size(): number {
    return this.#connections.size
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
    if (this.#pulse !== null) this.#pulse.open = this.#connections.size
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#connections[Symbol.iterator]()
  }
}
