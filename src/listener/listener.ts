// Accepts connections and hands each to its acceptor; accepting never waits for any of them. The listening
// socket outlives a reload: it gets another acceptor, and refuses no connection on the way.

import { chmodSync } from 'node:fs'
import net from 'node:net'
import { acceptSockets } from '../endpoint/socket-endpoint.ts'
import type { Acceptor } from './acceptor.ts'
import { listenOn } from './listen.ts'

/** A null host means all interfaces, both families. */
export type ListenerAddress =
  /**
   * `shared`: other threads listen there too, and the kernel spreads connections over them; the `first`
   * thread finds out whether the port is free.
   */
  | { host: string | null; port: number; shared: 'no' | 'first' | 'later' }
  | { path: string; mode: number | null }

/** The longest queue of connections that the kernel completes before we accept them; somaxconn caps it. */
const BACKLOG = 4096
/** The mode of a Unix socket whose mode the configuration no longer sets: that of the usual umask. */
const USUAL_MODE = 0o755

export class Listener {
  readonly #address: ListenerAddress
  readonly #onError: (error: Error) => void
  #acceptor: Acceptor
  /** Former acceptors, with connections that still wait for their turn. */
  readonly #former = new Set<Acceptor>()
  readonly #server: net.Server
  #accepted = 0

  /** `onError`: an accept failed for a reason of the kernel's; the listener goes on. */
  constructor(address: ListenerAddress, acceptor: Acceptor, onError: (error: Error) => void) {
    this.#address = address
    this.#acceptor = acceptor
    this.#onError = onError
    this.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  }

  /** Resolves once connections are accepted; rejects with the system's error. */
  async listen(): Promise<void> {
    const address = this.#address
    const where =
      'path' in address
        ? { path: address.path }
        : {
            port: address.port,
            ...(address.host === null ? {} : { host: address.host }),
          }
    const shared = 'path' in address ? 'no' : address.shared
    if (shared === 'first') await findFree(where)
    const options = { ...where, backlog: BACKLOG, ...(shared === 'no' ? {} : { reusePort: true }) }
    // In the turn that bound the port: nothing has been accepted yet.
    await listenOn(this.#server, options, () => this.#accept())
    this.#server.on('error', this.#onError)
    if ('path' in address && address.mode !== null) this.setMode(address.mode)
  }

  /** For a Unix socket. Until this call its mode is that of the umask, which lets only ourselves write. */
  setMode(mode: number | null): void {
    if ('path' in this.#address) chmodSync(this.#address.path, mode ?? USUAL_MODE)
  }

  /** Gives new connections to another acceptor; the listening socket stays, with its queue. */
  handOver(acceptor: Acceptor): void {
    const { read } = acceptor.options
    const isReadAlike = read.readBytes === this.#acceptor.options.read.readBytes
    for (const one of this.#former) if (!one.isHolding) this.#former.delete(one)
    this.#former.add(this.#acceptor)
    this.#acceptor = acceptor
    // Where sockets share no buffer, the endpoint of each connection decides how it is read.
    if (this.#server.listening && read.usesSharedBuffer && !isReadAlike) this.#accept()
  }

  #accept(): void {
    acceptSockets(this.#server, this.#acceptor.options.read, (socket) => {
      this.#accepted++
      this.#acceptor.take(socket)
    })
  }

  /** Connections so far. */
  get accepted(): number {
    return this.#accepted
  }

  /** The bound port, for an address that left the choice to the system; null for a unix socket. */
  get port(): number | null {
    const address = this.#server.address()
    return address === null || typeof address === 'string' ? null : address.port
  }

  /** Stops accepting. Admitted connections go on, and so does admission. */
  close(): void {
    this.#server.close()
    for (const acceptor of [this.#acceptor, ...this.#former]) acceptor.close()
  }
}

/**
 * Every process of the same user may share such a port with us: only a socket that shares nothing finds out
 * whether one does.
 */
async function findFree(where: net.ListenOptions): Promise<void> {
  const server = net.createServer()
  await listenOn(server, where)
  await new Promise<void>((resolve) => void server.close(() => resolve()))
}
