// Accepts. Each accepted connection passes the gates, gets its record, and is given to its protocol; accepting never waits
// for any of that.
//
//     limits --> PROXY header --> access --> TLS --> the record, the protocol
//        |       (an Arrival, where one of these two is configured)
//        +--> whoever is let in no further is refused, counted and told of in `#refuse`

import { lstatSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import { judgeAccess } from '../admission/access.ts'
import type { AccessRules } from '../admission/access.ts'
import { Arrival } from '../admission/arrival.ts'
import type { ArrivalContext, SlowGates } from '../admission/arrival.ts'
import { localOf, peerOf } from '../admission/client-address.ts'
import type { ClientAddress } from '../admission/client-address.ts'
import type { ConnectionLimit } from '../admission/limits.ts'
import { deaf } from '../admission/refusal.ts'
import type { Refusals } from '../admission/refusal.ts'
import type { Clock, Sweep } from '../clock.ts'
import { makeClose } from '../close.ts'
import type { Close, Reason } from '../close.ts'
import { Connection } from '../connection.ts'
import type { Protocol, Registry } from '../connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { acceptSockets, clientEndpoint } from '../endpoint/socket-endpoint.ts'
import type { ReadOptions, SocketEndpoint } from '../endpoint/socket-endpoint.ts'

export interface ListenerOptions {
  name: string
  /** A null host means all interfaces, both families. */
  address: { host: string | null; port: number } | { path: string }
  protocol: Protocol
  read: ReadOptions
  noDelay: boolean
  /** Null lets every address in. */
  access: AccessRules | null
  /** The gates that take time; null where there are none, and a connection is served in the turn of its accept. */
  slow: SlowGates | null
  /** The upstream is told where clients connected to. */
  recordsLocal: boolean
}

export interface ListenerContext {
  clock: Clock
  sweep: Sweep
  registry: Registry
  limit: ConnectionLimit
  refusals: Refusals
  /** Takes ownership of the endpoint; calls `limit.release` by way of the connection's end. */
  serve: (connection: Connection, client: Endpoint) => void
  /** A gate refused a connection from that address (`ip:port`). */
  onRejected: (close: Close, client: string) => void
  /** What a refused client is told, or null where its protocol has no words before the first byte. */
  refusalAnswer: (close: Close) => Buffer | null
  /** An accept failed for a reason that the kernel gave; the listener goes on. */
  onError: (error: Error) => void
}

/** The longest queue of connections that the kernel completes before we accept them; it caps this by somaxconn. */
const BACKLOG = 4096

export class Listener {
  readonly options: ListenerOptions
  readonly #context: ListenerContext
  readonly #server: net.Server
  /** Connections that gates still wait for: they have a place and no record. */
  readonly #arrivals = new Set<Arrival>()
  readonly #arrival: ArrivalContext | null

  constructor(options: ListenerOptions, context: ListenerContext) {
    this.options = options
    this.#context = context
    this.#arrival = options.slow === null ? null : this.#arrivalContext(options.slow)
    this.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  }

  /** Resolves once connections are accepted; rejects with what the system said. */
  async listen(): Promise<void> {
    const { address } = this.options
    try {
      await this.#listen()
    } catch (error) {
      if (!('path' in address) || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !(await isLeftBehind(address.path))) throw error
      unlinkSync(address.path)
      await this.#listen()
    }
    this.#server.on('error', this.#context.onError)
  }

  #listen(): Promise<void> {
    const { address } = this.options
    const where = 'path' in address ? { path: address.path } : { port: address.port, ...(address.host === null ? {} : { host: address.host }) }
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ ...where, backlog: BACKLOG }, () => {
        this.#server.off('error', reject)
        // In the turn that bound the port: nothing was accepted yet.
        acceptSockets(this.#server, this.options.read, (socket) => this.#onConnection(socket))
        resolve()
      })
    })
  }

  /** The port that was bound, for an address that left the choice to the system; null for a unix socket. */
  get port(): number | null {
    const address = this.#server.address()
    return address === null || typeof address === 'string' ? null : address.port
  }

  get arriving(): number {
    return this.#arrivals.size
  }

  /** Stops accepting; connections go on, but for those that are not admitted yet: they end with `reason`. */
  close(reason: Reason = 'drain'): void {
    this.#server.close()
    for (const arrival of [...this.#arrivals]) arrival.refuse(makeClose(reason, 'sidegate', 'admit'))
  }

  #onConnection(socket: net.Socket): void {
    const { clock, limit } = this.#context
    const { read, noDelay, recordsLocal } = this.options
    const endpoint = clientEndpoint(socket, read, deaf)
    if (noDelay) socket.setNoDelay(true)
    const client = peerOf(socket)
    if (!limit.take()) return this.#refuse(makeClose('too_many', 'client', 'admit', 'limits.connections'), client, endpoint)
    if (this.#arrival !== null) return this.#arrive(new Arrival(endpoint, client, clock.now(), this.#arrival), recordsLocal ? localOf(socket) : null)
    const close = this.#judge(client)
    if (close === null) return this.#serve(endpoint, client, recordsLocal ? localOf(socket) : null, clock.now())
    limit.release()
    this.#refuse(close, client, endpoint)
  }

  #arrive(arrival: Arrival, local: string | null): void {
    arrival.local = local
    this.#arrivals.add(arrival)
    arrival.start()
  }

  #arrivalContext(gates: SlowGates): ArrivalContext {
    const { clock, sweep, limit } = this.#context
    return {
      clock,
      sweep,
      gates,
      read: this.options.read,
      judge: (client) => this.#judge(client),
      onAdmitted: (arrival, endpoint) => {
        this.#arrivals.delete(arrival)
        this.#serve(endpoint, arrival.client, arrival.local, arrival.acceptedAt)
      },
      // Here ends what was taken for a connection that ends inside admission.
      onRefused: (arrival, close, endpoint) => {
        this.#arrivals.delete(arrival)
        limit.release()
        this.#refuse(close, arrival.client, endpoint)
      },
    }
  }

  /** The gates that ask who the client is, in order of cost: a PROXY header has been read, where one is expected. */
  #judge(client: ClientAddress): Close | null {
    const { access } = this.options
    return access === null ? null : judgeAccess(access, client)
  }

  /** `endpoint` is null where it is gone already. */
  #refuse(close: Close, client: ClientAddress, endpoint: SocketEndpoint | null): void {
    const { onRejected, refusals, refusalAnswer } = this.#context
    onRejected(close, client.text)
    if (endpoint !== null) refusals.refuse(endpoint, refusalAnswer(close))
  }

  #serve(endpoint: SocketEndpoint, client: ClientAddress, local: string | null, acceptedAt: number): void {
    const { registry, serve } = this.#context
    const { name, protocol, recordsLocal } = this.options
    const connection = new Connection(registry.nextId(), name, protocol, client.text, acceptedAt)
    if (recordsLocal) connection.localAddress = local
    registry.add(connection)
    serve(connection, endpoint)
  }
}

/**
 * Whether a crash left this socket behind. Only a refusal proves it: a listener that is too busy answers EAGAIN, one
 * that we may not reach EACCES. A file that is no socket refuses as well, and is not ours to remove.
 */
function isLeftBehind(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(false)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED' && lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true)
    })
  })
}
