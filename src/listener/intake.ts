// What a listener does with each socket that it accepts, under one set of options: the gates, in order of cost, then the record, then
// the protocol. A reload gives the listener another intake; who is still at a gate of this one ends or is served under it.
//
//     memory --> limits --> newcomers --> PROXY header --> access, client --> TLS --> the record, the protocol
//        |                                (an Arrival, where one of these two is configured)
//        +--> whoever is let in no further is refused, counted and told of in `#refuse`

import type net from 'node:net'
import { judgeAccess } from '../admission/access.ts'
import type { AccessRules } from '../admission/access.ts'
import { Arrival } from '../admission/arrival.ts'
import type { ArrivalContext, SlowGates } from '../admission/arrival.ts'
import { localOf, peerOf, UNIX_CLIENT } from '../admission/client-address.ts'
import type { ClientAddress } from '../admission/client-address.ts'
import type { Clients } from '../limits/clients.ts'
import type { ConnectionLimit } from '../limits/places.ts'
import type { Newcomers } from '../limits/newcomers.ts'
import { deaf } from '../admission/refusal.ts'
import type { Refusals } from '../admission/refusal.ts'
import type { Clock, Sweep } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close, Reason } from '../core/close.ts'
import { Connection } from '../core/connection.ts'
import type { Protocol, Registry } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { clientEndpoint } from '../endpoint/socket-endpoint.ts'
import type { ReadOptions, SocketEndpoint } from '../endpoint/socket-endpoint.ts'

export interface IntakeOptions {
  name: string
  protocol: Protocol
  /** It listens on a unix socket: its clients have no address, and are who the file system lets there. */
  isUnix: boolean
  read: ReadOptions
  noDelay: boolean
  /** Null lets every address in. */
  access: AccessRules | null
  /** The gates that take time; null where there are none, and a connection is served in the turn of its accept. */
  slow: SlowGates | null
  /** The upstream is told where clients connected to. */
  recordsLocal: boolean
  /** What the TLS handshakes of clients tell is kept. */
  recordsTls: boolean
}

export interface IntakeContext {
  clock: Clock
  sweep: Sweep
  registry: Registry
  /** Memory is so short that nothing new is begun: asked before anything else. */
  isRefusing: () => boolean
  limit: ConnectionLimit
  /** Limits for each client; null where there are none. */
  clients: Clients | null
  /** The rate of new connections; null where it is not limited. */
  newcomers: Newcomers | null
  refusals: Refusals
  /** Takes ownership of the endpoint; calls `release` of `limit` and `clients` by way of the connection's end. */
  serve: (connection: Connection, client: Endpoint) => void
  /** A gate refused a connection; `client` tells its address (`ip:port`), for a system call. */
  onRejected: (close: Close, client: () => string) => void
  /** What a refused client is told, or null where its protocol has no words before the first byte. */
  refusalAnswer: (close: Close) => Buffer | null
}

/** What is known of a connection that passed all gates. */
type Arrived = Pick<Arrival, 'client' | 'local' | 'tls' | 'acceptedAt'>

const overloaded = makeClose('overloaded', 'sidegate', 'admit', 'memory.refuseAt')
const tooMany = makeClose('too_many', 'client', 'admit', 'limits.connections')
const gone = makeClose('reset', 'client', 'admit', 'before its accept')
/** Whose address nobody knows any more. */
const NOBODY = 'gone'
const tooFast = makeClose('rate_limited', 'client', 'admit', 'limits.newConnections')

export class Intake {
  readonly options: IntakeOptions
  readonly #context: IntakeContext
  /** Connections that gates still wait for: they have a place and no record. */
  readonly #arrivals = new Set<Arrival>()
  readonly #arrival: ArrivalContext | null

  constructor(options: IntakeOptions, context: IntakeContext) {
    this.options = options
    this.#context = context
    this.#arrival = options.slow === null ? null : this.#arrivalContext(options.slow)
  }

  get arriving(): number {
    return this.#arrivals.size
  }

  /** Those that are not admitted yet end with `reason`. */
  close(reason: Reason): void {
    this.#context.newcomers?.close()
    for (const arrival of [...this.#arrivals]) arrival.refuse(makeClose(reason, 'sidegate', 'admit'))
  }

  take(socket: net.Socket): void {
    const { isRefusing, limit, newcomers } = this.#context
    const endpoint = clientEndpoint(socket, this.options.read, deaf)
    if (isRefusing()) return this.#refuse(overloaded, () => this.#clientOf(socket)?.text ?? NOBODY, endpoint)
    if (!limit.take()) return this.#refuse(tooMany, () => this.#clientOf(socket)?.text ?? NOBODY, endpoint)
    const client = this.#clientOf(socket)
    if (client === null) return this.#dismiss(endpoint)
    if (newcomers === null) return this.#begin(socket, endpoint, client)
    newcomers.admit({
      serve: () => this.#begin(socket, endpoint, client),
      refuse: () => {
        limit.release()
        this.#refuse(tooFast, () => client.text, endpoint)
      },
    })
  }

  #clientOf(socket: net.Socket): ClientAddress | null {
    return this.options.isUnix ? UNIX_CLIENT : peerOf(socket)
  }

  /** It was reset while it waited for its accept. What it sent is still there, but nobody can be asked about: it is not looked at. */
  #dismiss(endpoint: SocketEndpoint): void {
    this.#context.limit.release()
    this.#refuse(gone, () => NOBODY, null)
    endpoint.close('drop')
  }

  /** It has a place, and its turn. */
  #begin(socket: net.Socket, endpoint: SocketEndpoint, client: ClientAddress): void {
    const { clock, limit } = this.#context
    if (endpoint.isClosed) return limit.release()
    const close = this.#arrival === null ? this.#judge(client) : null
    if (close !== null) {
      limit.release()
      return this.#refuse(close, () => client.text, endpoint)
    }
    const { recordsLocal, noDelay } = this.options
    const local = recordsLocal ? localOf(socket) : null
    // A system call, which who is refused does not get.
    if (noDelay) socket.setNoDelay(true)
    if (this.#arrival === null) this.#serve(endpoint, { client, local, tls: null, acceptedAt: clock.now() })
    else this.#arrive(new Arrival(endpoint, client, clock.now(), this.#arrival), local)
  }

  #arrive(arrival: Arrival, local: string | null): void {
    arrival.local = local
    this.#arrivals.add(arrival)
    arrival.start()
  }

  #arrivalContext(gates: SlowGates): ArrivalContext {
    const { clock, sweep, limit, clients, refusals } = this.#context
    return {
      clock,
      sweep,
      gates,
      read: this.options.read,
      recordsTls: this.options.recordsTls,
      judge: (client) => this.#judge(client),
      onAdmitted: (arrival, endpoint) => {
        this.#arrivals.delete(arrival)
        this.#serve(endpoint, arrival)
      },
      part: (raw, farewell) => refusals.part(raw, farewell),
      // Here ends what was taken for a connection that ends inside admission.
      onRefused: (arrival, close, endpoint) => {
        this.#arrivals.delete(arrival)
        limit.release()
        if (arrival.isJudged) clients?.release(arrival.client.text, clock.now())
        this.#refuse(close, () => arrival.client.text, endpoint)
      },
    }
  }

  /** The gates that ask who the client is, in order of cost: a PROXY header has been read, where one is expected. Null has counted it. */
  #judge(client: ClientAddress): Close | null {
    const { access } = this.options
    const { clients, clock } = this.#context
    return (access === null ? null : judgeAccess(access, client)) ?? clients?.admit(client.text, clock.now()) ?? null
  }

  /** `endpoint` is null where it is gone already. */
  #refuse(close: Close, client: () => string, endpoint: SocketEndpoint | null): void {
    const { onRejected, refusals, refusalAnswer } = this.#context
    onRejected(close, client)
    if (endpoint !== null) refusals.refuse(endpoint, () => refusalAnswer(close))
  }

  #serve(endpoint: SocketEndpoint, { client, local, tls, acceptedAt }: Arrived): void {
    const { registry, serve } = this.#context
    const { name, protocol, recordsLocal } = this.options
    const connection = new Connection(registry.nextId(), name, protocol, client.text, acceptedAt)
    if (recordsLocal) connection.localAddress = local
    connection.tls = tls
    registry.add(connection)
    serve(connection, endpoint)
  }
}
