// Accepts. Each accepted connection passes the gates, gets its record, and is given to its protocol; accepting never waits
// for any of that.

import { lstatSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import type { ConnectionLimit } from '../admission/limits.ts'
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
  }

  #onConnection(socket: net.Socket): void {
    const { clock, registry, serve } = this.#context
    const { name, protocol, read, noDelay } = this.#options
    const client = clientEndpoint(socket, read, deaf)
    if (noDelay) socket.setNoDelay(true)
    const close = this.#gates()
    if (close !== null) return this.#refuse(client, clientAddress(socket), close)
    const connection = new Connection(registry.nextId(), name, protocol, clientAddress(socket), clock.now())
    registry.add(connection)
    serve(connection, client)
  }

  /** Null has taken a place. */
  #gates(): Close | null {
    const { isRefusing, limit } = this.#context
    if (isRefusing()) return makeClose('overloaded', 'sidegate', 'admit', 'memory.refuseAt')
    return limit.take() ? null : makeClose('too_many', 'client', 'admit', 'limits.connections')
  }

  #refuse(client: Endpoint, address: string, close: Close): void {
    const { refusals, refusalAnswer, onRejected } = this.#context
    onRejected(close, address)
    refusals.refuse(client, refusalAnswer(close))
  }
}

/** `ip:port`; IPv4 addresses that came in over IPv6 are written as the IPv4 addresses that they are. */
function clientAddress(socket: net.Socket): string {
  const { remoteAddress, remotePort } = socket
  if (remoteAddress === undefined || remotePort === undefined) return 'unix'
  if (!remoteAddress.includes(':')) return `${remoteAddress}:${remotePort}`
  return remoteAddress.startsWith('::ffff:') ? `${remoteAddress.slice(7)}:${remotePort}` : `[${remoteAddress}]:${remotePort}`
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
