// A connected endpoint for one request: a place at an address, and there a kept connection or a dial.
//
//     start --> place --> pool has one --> onReached(reused)
//                 ^       dial --> onReached
//                 |       a stream of a kept session, where the service speaks HTTP/2 --> onReached
//                 +--------- fails: another place ... or close                again(): a fresh dial at the same place

import type { Clock, Sweep } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { SocketEndpoint } from '../endpoint/socket-endpoint.ts'
import { earliest } from '../core/wait.ts'
import type { Wait } from '../core/wait.ts'
import { dialEndpoint } from './dial.ts'
import type { Dial, Dialler, EndpointDialOptions } from './dial.ts'
import type { User } from './pool.ts'
import { proxyHeader } from './proxy-header.ts'
import type { ProxyVersion } from './proxy-header.ts'
import { Search } from './search.ts'
import type { Seeker } from './search.ts'
import type { AwaitedStream, StreamSeeker } from './streams.ts'
import type { UpstreamTarget } from './target.ts'
import type { Upstream } from './upstream.ts'

export interface ReachOptions {
  upstream: Upstream
  dial: Omit<EndpointDialOptions, 'target' | 'from' | 'connectMs'>
  /**
   * Each connection begins with the address of its client, so none is kept: the next request may be another
   * client's.
   */
  proxyProtocol: ProxyVersion | null
}

/**
 * Gets one call of `onReached` or `close` for each `start` and `again`, perhaps before they return, unless
 * cancelled.
 */
export interface Reacher {
  /** The caller owns the endpoint, which reads. `dialMs` is how long its dial took; null for a kept one. */
  onReached(endpoint: Endpoint, dialMs: number | null): void
  /** A dial failed; the search may try another address. */
  onConnectFailed(close: Close): void
  close(close: Close): void
}

export class Reach implements Seeker, Dialler, StreamSeeker {
  readonly #options: ReachOptions
  readonly #connection: Connection
  readonly #context: { clock: Clock; sweep: Sweep }
  readonly #reacher: Reacher
  #search: Search | null = null
  #target: UpstreamTarget | null = null
  #connectMs = 0
  /** The connection that was reached is this client's alone. */
  #isOwn = false
  /** The idle time of the kept connection that was reached. */
  #idleMs = 0
  /** The request may be sent again if its kept connection has just ended. */
  #isRepeatable = true
  /** This is the second attempt: the kept connection of the first had ended. */
  #isAgain = false
  #dial: Dial | AwaitedStream | null = null

  constructor(
    options: ReachOptions,
    connection: Connection,
    context: { clock: Clock; sweep: Sweep },
    reacher: Reacher,
  ) {
    this.#options = options
    this.#connection = connection
    this.#context = context
    this.#reacher = reacher
  }

  /** The previous endpoint was given up, or released. */
  start(isRepeatable: boolean): void {
    this.#isAgain = false
    this.#isRepeatable = isRepeatable
    this.#search = new Search(this.#options.upstream, this.#connection, this)
    this.#search.start()
  }

  /** Dials afresh at the same place, because the kept connection had ended. */
  again(): void {
    this.#isAgain = true
    this.#dialTarget()
  }

  /** The kept connection that was reached had ended. */
  doubt(): void {
    this.#target!.pool?.doubt(this.#idleMs)
  }

  /** The service that was reached has sent bytes behind its answer. */
  stray(): void {
    this.#options.upstream.poolOf(this.#target!).stray()
  }

  /** Keeps the endpoint for another request, for at most `keptMs`. `isOwn`: of this client, from now on. */
  keep(endpoint: Endpoint, keptMs: number, isOwn: boolean): void {
    const { upstream, proxyProtocol } = this.#options
    const pool = upstream.poolOf(this.#target!)
    const only = isOwn || this.#isOwn || pool.hasStrays ? this.#user : null
    pool.put(endpoint, proxyProtocol === null ? keptMs : 0, only)
  }

  /** Another client waits for a place. */
  get isWanted(): boolean {
    return this.#options.upstream.isShort
  }

  get #user(): User {
    const { session, client } = this.#connection
    return { carrier: session ?? this.#connection, ip: client.ip }
  }

  /** The endpoint is gone, and until another `start` none is sought. */
  rest(): void {
    this.#search = null
  }

  /** Gives up. A place that was taken is still the connection's to release. */
  cancel(): void {
    this.#search?.cancel()
    this.#dial?.cancel()
    this.#dial = null
  }

  onPlace(target: UpstreamTarget, connectMs: number): void {
    this.#target = target
    this.#connectMs = connectMs
    this.#connection.upstreamAddress = target.name
    const kept =
      this.#options.proxyProtocol === null ? target.pool?.take(this.#user, this.#isRepeatable) : null
    if (kept == null) return this.#dialTarget()
    this.#isOwn = kept.isOwn
    this.#idleMs = kept.idleMs
    this.#reacher.onReached(kept.endpoint, null)
  }

  onNoPlace(close: Close): void {
    if (close.reason === 'no_upstream') this.#reacher.onConnectFailed(close)
    this.#reacher.close(close)
  }

  #dialTarget(): void {
    this.#isOwn = false
    const { dial, proxyProtocol, upstream } = this.#options
    const streams = upstream.streamsOf(this.#target!)
    if (streams !== null) {
      this.#dial = streams.open(this.#connection, this.#connectMs, this)
      return
    }
    const { address: target, from } = this.#target!
    const head = proxyProtocol === null ? null : proxyHeader(proxyProtocol, this.#connection)
    this.#dial = dialEndpoint(
      { ...dial, target, from, connectMs: this.#connectMs },
      this.#context,
      this,
      head,
    )
  }

  onStream(endpoint: Endpoint, dialMs: number | null): void {
    this.#dial = null
    if (dialMs !== null) this.#search!.succeed()
    // A second kept connection must not be excused as the first was: a request that ends sessions would end
    // them all.
    this.#reacher.onReached(endpoint, this.#isAgain ? (dialMs ?? 0) : dialMs)
  }

  onDialled(endpoint: SocketEndpoint, dialMs: number): void {
    this.#dial = null
    this.#search!.succeed()
    this.#reacher.onReached(endpoint, dialMs)
  }

  onDialFailed(close: Close): void {
    this.#dial = null
    this.#reacher.onConnectFailed(close)
    this.#search!.retry(close)
  }

  /** The endpoint has another owner as soon as it is reached, so these are never called. */
  onBytes(): boolean {
    return true
  }

  onEnd(): void {}
  onProgress(): void {}
  onClosed(): void {}

  describe(): Omit<Wait, 'state'> {
    const at = this.#dial?.expiresAt ?? null
    if (at === null) return this.#search?.describe() ?? { waitsFor: 'the upstream', next: null }
    return {
      waitsFor: 'the upstream to accept the connection',
      next: earliest([{ key: 'deadlines.connect', reason: 'connect_timeout', side: 'upstream', at }]),
    }
  }
}
