// The way of each accepted socket under one set of options: the checks, in order of cost, then the record,
// then the protocol. A reload gives the listener another acceptor; a client still in a check of this one
// ends, or is served, under this one's options.
//
//     memory --> limits --> connect rate --> PROXY header --> access, client --> TLS --> the record, the protocol
//        |                                (a PendingClient, where one is configured, or a fleet was asked)
//        +--> a client that gets no further is refused, counted and logged in `#refuse`

import { UNIX_CLIENT } from '../core/address.ts'
import type { ClientAddress } from '../core/address.ts'
import type net from 'node:net'
import { PendingClient, takesTime } from '../admission/pending-client.ts'
import type { PendingClientContext, SlowGates } from '../admission/pending-client.ts'
import { localOf, peerOf } from '../admission/client-address.ts'
import type { ClientGate } from '../admission/client-gate.ts'
import type { ConnectionLimit } from '../limits/places.ts'
import type { ConnectRateGate } from '../limits/connect-rate-gate.ts'
import { noOwner } from '../admission/refusal.ts'
import type { Refusals } from '../admission/refusal.ts'
import type { Clock, Sweep } from '../core/clock.ts'
import { makeClose, probeClose } from '../core/close.ts'
import type { Close, Reason } from '../core/close.ts'
import { Connection } from '../core/connection.ts'
import type { Admission, Protocol, Registry } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { clientEndpoint } from '../endpoint/socket-endpoint.ts'
import type { ReadOptions, SocketEndpoint } from '../endpoint/socket-endpoint.ts'

export interface AcceptorOptions {
  name: string
  protocol: Protocol
  /** The listener is a unix socket: clients have no address; the file system decides which may connect. */
  isUnix: boolean
  read: ReadOptions
  noDelay: boolean
  /** The gates that take time. Without them, a connection is served in the turn of its accept. */
  slow: SlowGates
  /** The upstream needs the address that the client connected to. */
  recordsLocal: boolean
  /** The facts of clients' TLS handshakes are kept. */
  recordsTls: boolean
}

export interface AcceptorContext {
  clock: Clock
  sweep: Sweep
  registry: Registry
  /** Memory is so short that nothing new begins: checked before anything else. */
  isRefusing: () => boolean
  limit: ConnectionLimit
  /** The gates of the client's address. */
  clients: ClientGate
  /** The limit on the rate of new connections; null where there is none. */
  connectRate: ConnectRateGate | null
  refusals: Refusals
  /** A client begins to wait at a gate, or waits no longer: it is refused, or `serve` has it. */
  onPending: (change: 1 | -1) => void
  /** Takes the endpoint over. The connection's end calls `release` of `limit` and `leave` of `clients`. */
  serve: (connection: Connection, client: Endpoint) => void
  /** A gate refused a connection; `client` returns its address (`ip:port`), for a system call. */
  onRejected: (close: Close, client: () => string) => void
  /** The answer to a refused client; null where its protocol has no words before the first byte. */
  refusalAnswer: (close: Close) => Buffer | null
}

/** A connection that passed all checks. */
type AdmittedClient = Pick<
  PendingClient,
  'admission' | 'client' | 'local' | 'tls' | 'isHttp2' | 'acceptedAt' | 'observed'
>

const overloaded = makeClose('overloaded', 'sidegate', 'admit', 'memory.refuseAt')
const tooMany = makeClose('too_many', 'client', 'admit', 'limits.connections')
const gone = probeClose('reset', 'before its accept')
/** Stands for a client whose address the kernel has forgotten. */
const NOBODY = 'gone'

export class Acceptor {
  readonly options: AcceptorOptions
  readonly #context: AcceptorContext
  /** Connections that still wait at a gate: they have a place and no record. */
  readonly #pending = new Set<PendingClient>()
  readonly #waitContext: PendingClientContext
  readonly #isQuick: boolean

  constructor(options: AcceptorOptions, context: AcceptorContext) {
    this.options = options
    this.#context = context
    this.#waitContext = this.#makeWaitContext(options.slow)
    this.#isQuick = !takesTime(options.slow)
  }

  get arriving(): number {
    return this.#pending.size
  }

  /** Some wait for their turn, whom `close` refuses, or for the answer of their fleet. */
  get isHolding(): boolean {
    return (this.#context.connectRate?.waiting ?? 0) > 0
  }

  /** No more come: those that wait for their turn are refused, since they may wait for long. */
  close(): void {
    this.#context.connectRate?.close()
  }

  /** Ends the connections that are not admitted yet, with `reason`. */
  refuseAll(reason: Reason): void {
    for (const pending of [...this.#pending]) pending.refuse(makeClose(reason, 'sidegate', 'admit'))
    this.#context.connectRate?.refuseAll(reason)
  }

  take(socket: net.Socket): void {
    const { isRefusing, limit, connectRate, onPending } = this.#context
    const endpoint = clientEndpoint(socket, this.options.read, noOwner)
    if (isRefusing()) return this.#refuse(overloaded, () => this.#clientOf(socket)?.text ?? NOBODY, endpoint)
    const admission = limit.take()
    if (admission === null)
      return this.#refuse(tooMany, () => this.#clientOf(socket)?.text ?? NOBODY, endpoint)
    const client = this.#clientOf(socket)
    if (client === null) return this.#dismiss(endpoint, admission)
    if (connectRate === null) return this.#begin(socket, endpoint, client, admission)
    let isHeld = false
    connectRate.admit({
      hold: () => {
        isHeld = true
        onPending(1)
      },
      serve: () => {
        this.#begin(socket, endpoint, client, admission)
        if (isHeld) onPending(-1)
      },
      refuse: (why) => {
        limit.release(admission)
        const close =
          why === null
            ? makeClose('rate_limited', 'client', 'admit', connectRate.words)
            : makeClose(why, 'sidegate', 'admit')
        this.#refuse(close, () => client.text, endpoint)
        if (isHeld) onPending(-1)
      },
    })
  }

  #clientOf(socket: net.Socket): ClientAddress | null {
    return this.options.isUnix ? UNIX_CLIENT : peerOf(socket)
  }

  /**
   * The client was reset while it waited for its accept. Its bytes are still there, but there is no address
   * to judge: nothing is read.
   */
  #dismiss(endpoint: SocketEndpoint, admission: Admission): void {
    this.#context.limit.release(admission)
    this.#refuse(gone, () => NOBODY, null)
    endpoint.close('drop')
  }

  /** The connection is let on, and it is its turn. */
  #begin(socket: net.Socket, endpoint: SocketEndpoint, client: ClientAddress, admission: Admission): void {
    const { clock, limit } = this.#context
    if (endpoint.isClosed) return limit.release(admission)
    const isJudgedNow = this.#isQuick && !this.#context.clients.isUnsure(client)
    const holder = { observed: null }
    const close = isJudgedNow ? this.#context.clients.admit(client, holder) : null
    if (close !== null) {
      limit.release(admission)
      return this.#refuse(close, () => client.text, endpoint)
    }
    const { recordsLocal, noDelay } = this.options
    const local = recordsLocal ? localOf(socket) : null
    // Costs a system call, which a refused client is not worth.
    if (noDelay) socket.setNoDelay(true)
    const acceptedAt = clock.now()
    const facts = { admission, client, local, tls: null, isHttp2: false, acceptedAt, ...holder }
    if (isJudgedNow) this.#serve(endpoint, facts)
    else this.#await(new PendingClient(endpoint, client, acceptedAt, this.#waitContext), facts)
  }

  #await(pending: PendingClient, { local, admission }: Pick<AdmittedClient, 'local' | 'admission'>): void {
    pending.local = local
    pending.admission = admission
    this.#pending.add(pending)
    this.#context.onPending(1)
    pending.start()
  }

  #makeWaitContext(gates: SlowGates): PendingClientContext {
    const { clock, sweep, limit, clients, refusals } = this.#context
    return {
      clock,
      sweep,
      gates,
      read: this.options.read,
      recordsTls: this.options.recordsTls,
      whenKnown: (client, onKnown) => clients.whenKnown(client, onKnown),
      judge: (pending) => clients.admit(pending.client, pending),
      onAdmitted: (pending, endpoint) => {
        this.#pending.delete(pending)
        this.#serve(endpoint, pending)
        this.#context.onPending(-1)
      },
      part: (raw, farewell) => refusals.part(raw, farewell),
      // Releases what was taken for a connection that ends inside admission.
      onRefused: (pending, close, endpoint) => {
        this.#pending.delete(pending)
        limit.release(pending.admission)
        if (pending.isJudged) clients.dismiss(pending.client, pending)
        this.#refuse(close, () => pending.client.text, endpoint)
        this.#context.onPending(-1)
      },
    }
  }

  /** `endpoint` is null where it is gone already. */
  #refuse(close: Close, client: () => string, endpoint: SocketEndpoint | null): void {
    const { onRejected, refusals, refusalAnswer } = this.#context
    onRejected(close, client)
    if (endpoint !== null) refusals.refuse(endpoint, () => refusalAnswer(close))
  }

  #serve(endpoint: SocketEndpoint, admitted: AdmittedClient): void {
    const { admission, client, local, tls, isHttp2, acceptedAt } = admitted
    const { clock, registry, clients, serve } = this.#context
    const { name, protocol, recordsLocal } = this.options
    // On a listener of opaque bytes, the client's choice of a protocol is the service's business.
    const spoken = isHttp2 && protocol === 'http' ? 'h2' : protocol
    const connection = new Connection(registry.nextId(), name, spoken, client, acceptedAt)
    if (recordsLocal) connection.localAddress = local
    connection.tls = tls
    connection.admission = admission
    connection.admittedMs = clock.now() - acceptedAt
    clients.record(connection, admitted)
    registry.add(connection)
    serve(connection, endpoint)
  }
}
