// Accepts, and gives what it accepts to its acceptor; accepting never waits for any of that. The listening socket outlives a reload: it
// is handed to another acceptor, and no connection is refused on the way.

import { chmodSync } from 'node:fs'
import net from 'node:net'
import type { Reason } from '../core/close.ts'
import { acceptSockets } from '../endpoint/socket-endpoint.ts'
import type { Acceptor } from './acceptor.ts'
import { listenOn } from './listen.ts'

/** A null host means all interfaces, both families. */
export type ListenerAddress =
  /** `shared`: other threads listen there too, and the kernel shares connections out; the `first` of them finds out whether it is free. */
  | { host: string | null; port: number; shared: 'no' | 'first' | 'later' }
  | { path: string; mode: number | null }

/** The longest queue of connections that the kernel completes before we accept them; it caps this by somaxconn. */
const BACKLOG = 4096
/** Of a Unix socket whose mode is not written any more: what the usual umask leaves. */
const USUAL_MODE = 0o755

export class Listener {
  readonly #address: ListenerAddress
  readonly #onError: (error: Error) => void
  #acceptor: Acceptor
  /** Handed over, with connections that gates still wait for. */
  readonly #former = new Set<Acceptor>()
  readonly #server: net.Server

  /** `onError`: an accept failed for a reason that the kernel gave; the listener goes on. */
  constructor(address: ListenerAddress, acceptor: Acceptor, onError: (error: Error) => void) {
    this.#address = address
    this.#acceptor = acceptor
    this.#onError = onError
    this.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  }

  /** Resolves once connections are accepted; rejects with what the system said. */
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
    // In the turn that bound the port: nothing was accepted yet.
    await listenOn(this.#server, options, () => this.#accept())
    this.#server.on('error', this.#onError)
    if ('path' in address && address.mode !== null) this.setMode(address.mode)
  }

  /** Of a Unix socket. Until then its mode is what the umask leaves, which lets nobody write but ourselves. */
  setMode(mode: number | null): void {
    if ('path' in this.#address) chmodSync(this.#address.path, mode ?? USUAL_MODE)
  }

  /** From now on what is accepted is for another acceptor; the listening socket stays, and so does what waits in its queue. */
  handOver(acceptor: Acceptor): void {
    const { read } = acceptor.options
    const isReadAlike = read.readBytes === this.#acceptor.options.read.readBytes
    for (const one of this.#former) if (one.arriving === 0) this.#former.delete(one)
    this.#former.add(this.#acceptor)
    this.#acceptor = acceptor
    // Where nothing is shared it is the endpoint of each connection that knows how it is read.
    if (this.#server.listening && read.usesSharedBuffer && !isReadAlike) this.#accept()
  }

  #accept(): void {
    acceptSockets(this.#server, this.#acceptor.options.read, (socket) => this.#acceptor.take(socket))
  }

  /** The port that was bound, for an address that left the choice to the system; null for a unix socket. */
  get port(): number | null {
    const address = this.#server.address()
    return address === null || typeof address === 'string' ? null : address.port
  }

  /** Connections that gates still wait for. */
  get arriving(): number {
    return [this.#acceptor, ...this.#former].reduce((sum, { arriving }) => sum + arriving, 0)
  }

  /** Stops accepting; connections go on, but for those that are not admitted yet: they end with `reason`. */
  close(reason: Reason): void {
    this.#server.close()
    for (const acceptor of [this.#acceptor, ...this.#former]) acceptor.close(reason)
  }
}

/** Where every process of a user may share a port with us, only a socket that shares nothing finds out that one does. */
async function findFree(where: net.ListenOptions): Promise<void> {
  const server = net.createServer()
  await listenOn(server, where)
  await new Promise<void>((resolve) => void server.close(() => resolve()))
}
