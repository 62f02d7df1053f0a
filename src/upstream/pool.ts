// The pool: kept-alive connections to one address of an upstream, between two requests of plain HTTP. No
// answer is due there, so any event ends a connection: bytes (they would be taken for the answer of the next
// request), FIN, an error, and time: a service that closes its idle connections after 5 s, as Node's and
// Apache's do, must not be about to do so when a request takes one.
//
// A connection may be kept for one client alone: bytes that a service sends late, after an answer without a
// body, can meet the next request on its way. HAProxy and nginx take such bytes for the answer to that
// request, whichever client sent it; here only the client of the earlier answer gets them. Behind an answer
// that is whole nobody expects more, so the first such bytes may reach another client, where they come in the
// turn in which their connection is used again. Most do not, and show the service: from then on, each of its
// connections is kept for one client alone, and those that were idle for anybody serve nobody. A look into
// the kernel before each reuse would find few of those bytes (most come later), and costs a fifth of a
// request.
//
// A request that must not be sent twice (a POST) gets no connection that the service may be closing. The pool
// learns after how much idle time the service closes connections without an announcement, and gives such a
// request none that has been idle for half of that.

import type { Clock, Sweep, Swept } from '../core/clock.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'
import { IdleEnd } from './idle-ends.ts'

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
  since: number
  until: number
  only: User | null
}

/** A kept connection. `isOwn`: only its user may have it. */
export interface Kept {
  endpoint: Endpoint
  isOwn: boolean
  idleMs: number
}

function mayUse(user: User, only: User | null): boolean {
  return only === null || (only.carrier === user.carrier && only.ip === user.ip)
}

/** A service that closes connections no later than this after an answer closes them at once. */
const AT_ONCE_MS = 100

/** `HTTP/1.1 408`: a service may say so when it closes an idle connection. */
function isIdleTimeout(bytes: Buffer, length: number): boolean {
  return /^HTTP\/1\.[01] 408 /.test(bytes.toString('latin1', 0, Math.min(length, 13)))
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
  /** After how much idle time the service has closed connections lately, as its other pools know it too. */
  readonly #ends: IdleEnd

  constructor(options: PoolOptions, clock: Clock, sweep: Sweep, ends = new IdleEnd()) {
    this.#ends = ends
    this.#options = options
    this.#clock = clock
    this.#sweep = sweep
  }

  get idle(): number {
    return this.#idle.length
  }

  /**
   * A presumably open connection; null if there is none. `isRepeatable`: the request may be sent again if the
   * connection has just ended.
   */
  take(user: User, isRepeatable: boolean): Kept | null {
    const now = this.#clock.now()
    const hasStrays = this.hasStrays
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const { endpoint, since, until, only } = this.#idle[i]!
      if (!mayUse(user, only) || (!isRepeatable && this.#mayBeClosing(now - since, now))) continue
      if (endpoint.isClosed || now >= until || (only === null && hasStrays)) {
        this.#remove(i)
        continue
      }
      this.#drop(i)
      return { endpoint, isOwn: only !== null, idleMs: now - since }
    }
    // The connection that is dialled next replaces another user's, so a service with few threads never has
    // more connections than requests.
    if (this.#idle.length > 0) this.#remove(0)
    return null
  }

  #mayBeClosing(idleMs: number, now: number): boolean {
    const afterMs = this.#ends.afterMs(now)
    return afterMs <= AT_ONCE_MS || idleMs >= afterMs / 2
  }

  /** The service has closed a connection after this idle time. */
  #learn(idleMs: number): void {
    this.#ends.learn(idleMs, this.#clock.now())
  }

  /** A connection that was taken after this idle time had just ended: the others are as doubtful. */
  doubt(idleMs: number): void {
    this.#learn(idleMs)
    this.clear()
  }

  /** The service has sent bytes behind a whole answer. */
  stray(): void {
    this.#ends.stray(this.#clock.now())
  }

  /** An answer that was whole is no proof: each connection is for one user alone. */
  get hasStrays(): boolean {
    return this.#ends.hasStrays(this.#clock.now())
  }

  /** Keeps the endpoint for the next request of `only` or any user, for at most `keptMs`, or closes it. */
  put(endpoint: Endpoint, keptMs: number, only: User | null = null): void {
    const { keepAliveMs, maxIdle } = this.#options
    const ms = Math.min(keepAliveMs, keptMs)
    if (ms <= 0 || endpoint.isClosed || endpoint.queued > 0 || this.#idle.length >= maxIdle)
      return discard(endpoint)
    if (this.#idle.length === 0) this.#sweep.add(this)
    endpoint.owner = this
    const now = this.#clock.now()
    this.#idle.push({ endpoint, since: now, until: now + ms, only })
    endpoint.resume()
  }

  sweep(now: number): void {
    for (let i = this.#idle.length - 1; i >= 0; i--) if (now >= this.#idle[i]!.until) this.#remove(i)
  }

  /** Closes all connections, because the upstream has given their address up. */
  clear(): void {
    while (this.#idle.length > 0) this.#remove(this.#idle.length - 1)
  }

  onBytes(endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    if (this.#forget(endpoint) !== null && !isIdleTimeout(bytes, length)) this.stray()
    return true
  }

  onEnd(endpoint: Endpoint): void {
    const since = this.#forget(endpoint)
    if (since !== null) this.#learn(this.#clock.now() - since)
  }

  onProgress(): void {}

  onClosed(endpoint: Endpoint): void {
    this.onEnd(endpoint)
  }

  /** Since when the endpoint was idle; null if it was not. */
  #forget(endpoint: Endpoint): number | null {
    const index = this.#idle.findIndex((one) => one.endpoint === endpoint)
    if (index < 0) return null
    const { since } = this.#idle[index]!
    this.#remove(index)
    return since
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
