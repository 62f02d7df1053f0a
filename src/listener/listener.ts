// Accepts. Each accepted connection passes the gates, gets its record, and is given to its protocol; accepting never waits
// for any of that.

import { unlinkSync } from 'node:fs'
import net from 'node:net'
import type { Clients } from '../admission/clients.ts'
import type { ConnectionLimit } from '../admission/limits.ts'
import type { Newcomers } from '../admission/newcomers.ts'
import { deaf } from '../admission/refusal.ts'
import type { Refusals } from '../admission/refusal.ts'
import type { Clock } from '../clock.ts'
import { makeClose } from '../close.ts'
import type { Close } from '../close.ts'
import { Connection } from '../connection.ts'
import type { Protocol, Registry } from '../connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { acceptSockets, clientEndpoint } from '../endpoint/socket-endpoint.ts'
import type { ReadOptions } from '../endpoint/socket-endpoint.ts'
import { isLeftBehind } from './left-behind.ts'

export interface ListenerOptions {
  name: string
  /** A null host means all interfaces, both families. */
  address: { host: string | null; port: number } | { path: string }
  protocol: Protocol
  read: ReadOptions
  noDelay: boolean
}

export interface ListenerContext {
  clock: Clock
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
  #options: ListenerOptions
  #context: ListenerContext
  readonly #server: net.Server

  constructor(options: ListenerOptions, context: ListenerContext) {
    this.#options = options
    this.#context = context
    this.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  }

  /** Resolves once connections are accepted; rejects with what the system said. */
  async listen(): Promise<void> {
    const { address } = this.#options
    try {
      await this.#listen()
    } catch (error) {
      if (!('path' in address) || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !(await isLeftBehind(address.path))) throw error
      unlinkSync(address.path)
      await this.#listen()
    }
    this.#server.on('error', (error) => this.#context.onError(error))
  }

  #listen(): Promise<void> {
    const { address } = this.#options
    const where = 'path' in address ? { path: address.path } : { port: address.port, ...(address.host === null ? {} : { host: address.host }) }
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ ...where, backlog: BACKLOG }, () => {
        this.#server.off('error', reject)
        // In the turn that bound the port: nothing was accepted yet.
        this.#accept()
        resolve()
      })
    })
  }

  /** From now on connections are accepted for another owner; the listening socket stays, and so does what waits in its queue. */
  handOver(options: ListenerOptions, context: ListenerContext): void {
    const isReadAlike = options.read.readBytes === this.#options.read.readBytes
    this.#options = options
    this.#context = context
    // Where nothing is shared it is the endpoint of each connection that knows how it is read.
    if (this.#server.listening && options.read.isShared && !isReadAlike) this.#accept()
  }

  #accept(): void {
    acceptSockets(this.#server, this.#options.read, (socket) => this.#onConnection(socket))
  }

  /** The port that was bound, for an address that left the choice to the system; null for a unix socket. */
  get port(): number | null {
    const address = this.#server.address()
    return address === null || typeof address === 'string' ? null : address.port
  }

  /** Stops accepting; connections go on. */
  close(): void {
    this.#server.close()
    this.#context.newcomers?.close()
  }

  #onConnection(socket: net.Socket): void {
    const { clock, isRefusing, limit, clients, newcomers } = this.#context
    const { read, noDelay } = this.#options
    const client = clientEndpoint(socket, read, deaf)
    const address = clientAddress(socket)
    if (noDelay) socket.setNoDelay(true)
    if (isRefusing()) return this.#refuse(client, address, makeClose('overloaded', 'sidegate', 'admit', 'memory.refuseAt'))
    if (!limit.take()) return this.#refuse(client, address, makeClose('too_many', 'client', 'admit', 'limits.connections'))
    const close = clients?.admit(address, clock.now()) ?? null
    if (close !== null) {
      limit.release()
      return this.#refuse(client, address, close)
    }
    if (newcomers === null) return this.#serve(client, address)
    newcomers.admit({
      serve: () => this.#serve(client, address),
      refuse: () => {
        this.#release(address)
        this.#refuse(client, address, makeClose('rate_limited', 'client', 'admit', 'limits.newConnections'))
      },
    })
  }

  #serve(client: Endpoint, address: string): void {
    const { clock, registry, serve } = this.#context
    if (client.isClosed) return this.#release(address)
    const { name, protocol } = this.#options
    const connection = new Connection(registry.nextId(), name, protocol, address, clock.now())
    registry.add(connection)
    serve(connection, client)
  }

  #refuse(client: Endpoint, address: string, close: Close): void {
    const { refusals, refusalAnswer, onRejected } = this.#context
    onRejected(close, address)
    refusals.refuse(client, refusalAnswer(close))
  }

  /** The place of a connection that was never served. */
  #release(address: string): void {
    this.#context.limit.release()
    this.#context.clients?.release(address, this.#context.clock.now())
  }
}

/** `ip:port`; IPv4 addresses that came in over IPv6 are written as the IPv4 addresses that they are. */
function clientAddress(socket: net.Socket): string {
  const { remoteAddress, remotePort } = socket
  if (remoteAddress === undefined || remotePort === undefined) return 'unix'
  if (!remoteAddress.includes(':')) return `${remoteAddress}:${remotePort}`
  return remoteAddress.startsWith('::ffff:') ? `${remoteAddress.slice(7)}:${remotePort}` : `[${remoteAddress}]:${remotePort}`
}
