// The pool: kept-alive connections to one address of an upstream, between two requests of plain HTTP. No
// answer is due there, so any event ends a connection: bytes (they would be taken for the answer of the next
// request), FIN, an error, and time: a service that closes its idle connections after 5 s, as Node's and
// Apache's do, must not be about to do so when a request takes one.

import type { Clock, Sweep, Swept } from '../core/clock.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'

/**
 * How long a connection is kept, in milliseconds (Infinity is for ever), and how many are kept (0 keeps
 * none).
 */
export interface PoolOptions {
  readonly keepAliveMs: number
  readonly maxIdle: number
}

interface Idle {
  endpoint: Endpoint
  until: number
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

  /** A connection that is open, as far as is known; null where there is none. */
  take(): Endpoint | null {
    const now = this.#clock.now()
    let found: Endpoint | null = null
    while (found === null && this.#idle.length > 0) {
      const { endpoint, until } = this.#idle.pop()!
      if (endpoint.isClosed) continue
      if (now < until) found = endpoint
      else discard(endpoint)
    }
    if (this.#idle.length === 0) this.#sweep.delete(this)
    return found
  }

  /** Keeps the endpoint for the next request, for at most `keptMs`, or closes it. */
  put(endpoint: Endpoint, keptMs: number): void {
    const { keepAliveMs, maxIdle } = this.#options
    const ms = Math.min(keepAliveMs, keptMs)
    if (ms <= 0 || endpoint.isClosed || endpoint.queued > 0 || this.#idle.length >= maxIdle)
      return discard(endpoint)
    if (this.#idle.length === 0) this.#sweep.add(this)
    endpoint.owner = this
    this.#idle.push({ endpoint, until: this.#clock.now() + ms })
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
    const [{ endpoint }] = this.#idle.splice(index, 1) as [Idle]
    if (this.#idle.length === 0) this.#sweep.delete(this)
    discard(endpoint)
  }
}
