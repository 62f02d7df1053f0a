// The pool: kept-alive connections to one address of an upstream, between two requests of plain HTTP. No
// answer is due there, so any event ends a connection: bytes (they would be taken for the answer of the next
// request), FIN, an error, and time: a service that closes its idle connections after 5 s, as Node's and
// Apache's do, must not be about to do so when a request takes one.
//
// A connection may be kept for one client alone: bytes that a service sends late, after an answer without a
// body, can meet the next request on its way. HAProxy and nginx take such bytes for the answer to that
// request, whichever client sent it; here only the client of the earlier answer gets them.

import type { Clock, Sweep, Swept } from '../core/clock.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'

/** Milliseconds that a connection is kept (Infinity is for ever), and how many are kept (0 keeps none). */
export interface PoolOptions {
  readonly keepAliveMs: number
  readonly maxIdle: number
}

/** The user of a connection: the client, and the connection or HTTP/2 session that its requests come by. */
export interface User {
  readonly carrier: object
  readonly ip: string | null
}

/** An idle connection; where `only` is set, no other user gets it. */
interface Idle {
  endpoint: Endpoint
  until: number
  only: User | null
}

function mayUse(user: User, only: User | null): boolean {
  return only === null || (only.carrier === user.carrier && only.ip === user.ip)
}

/** The owner of a discarded endpoint: the pair that gave the endpoint up ignores its further events. */
const nobody: EndpointOwner = {
  onBytes: () => true,
  onEnd(endpoint) {
    endpoint.close('drop')
  },
  onProgress() {},
  onClosed() {},
}

/** Closes an endpoint from which nothing more is due. */
export function discard(endpoint: Endpoint): void {
  endpoint.owner = nobody
  endpoint.close('drop')
}

export class EndpointPool implements EndpointOwner, Swept {
  readonly #options: PoolOptions
  readonly #clock: Clock
  sweptAs = 0
  readonly #sweep: Sweep
  /** The pool gives out the most recently used one first, so that those beyond the need grow old. */
  readonly #idle: Idle[] = []

  constructor(options: PoolOptions, clock: Clock, sweep: Sweep) {
    this.#options = options
    this.#clock = clock
    this.#sweep = sweep
  }

  get idle(): number {
    return this.#idle.length
  }

  /** A presumably open connection, and whether only that user may have it; null if there is none. */
  take(user: User): { endpoint: Endpoint; isOwn: boolean } | null {
    const now = this.#clock.now()
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const { endpoint, until, only } = this.#idle[i]!
      if (!mayUse(user, only)) continue
      if (endpoint.isClosed || now >= until) {
        this.#remove(i)
        continue
      }
      this.#drop(i)
      return { endpoint, isOwn: only !== null }
    }
    // The connection that is dialled next replaces another user's, so a service with few threads never has
    // more connections than requests.
    if (this.#idle.length > 0) this.#remove(0)
    return null
  }

  /** Keeps the endpoint for the next request of `only` or any user, for at most `keptMs`, or closes it. */
  put(endpoint: Endpoint, keptMs: number, only: User | null = null): void {
    const { keepAliveMs, maxIdle } = this.#options
    const ms = Math.min(keepAliveMs, keptMs)
    if (ms <= 0 || endpoint.isClosed || endpoint.queued > 0 || this.#idle.length >= maxIdle)
      return discard(endpoint)
    if (this.#idle.length === 0) this.#sweep.add(this)
    endpoint.owner = this
    this.#idle.push({ endpoint, until: this.#clock.now() + ms, only })
    endpoint.resume()
  }

  sweep(now: number): void {
    for (let i = this.#idle.length - 1; i >= 0; i--) if (now >= this.#idle[i]!.until) this.#remove(i)
  }

  /** Closes all connections, because the upstream has given their address up. */
  clear(): void {
    while (this.#idle.length > 0) this.#remove(this.#idle.length - 1)
  }

  onBytes(endpoint: Endpoint): boolean {
    this.#forget(endpoint)
    return true
  }

  onEnd(endpoint: Endpoint): void {
    this.#forget(endpoint)
  }

  onProgress(): void {}

  onClosed(endpoint: Endpoint): void {
    this.#forget(endpoint)
  }

  #forget(endpoint: Endpoint): void {
    const index = this.#idle.findIndex((one) => one.endpoint === endpoint)
    if (index >= 0) this.#remove(index)
  }

  #remove(index: number): void {
    const { endpoint } = this.#idle[index]!
    this.#drop(index)
    discard(endpoint)
  }

  #drop(index: number): void {
    this.#idle.splice(index, 1)
    if (this.#idle.length === 0) this.#sweep.delete(this)
  }
}
