// One address of an upstream: what is open there, and what is known of its state. Whoever takes a place gives it back once
// (`releasePlace`), so that `open` is the truth that balancing and `maxConnections` go by.

import type { Connection, Place } from '../core/connection.ts'
import { formatTarget } from './dial.ts'
import type { Target } from './dial.ts'
import type { Eviction } from './eviction.ts'
import type { HealthCheck } from './health-check.ts'
import type { EndpointPool } from './pool.ts'

/**
 * An address that could not be dialled is left alone that long, as nginx does it (`fail_timeout`), if there is another:
 * without it every second connection would try a dead one first. Then one connection tries, and the rest wait for what comes
 * of it. It never makes the last address unusable: that is what health checks are for.
 */
const AVOID_MS = 10_000

export class UpstreamTarget implements Place {
  readonly address: Target
  /** `host:port`, as in the log. */
  readonly name: string
  /** The name that it was resolved from; null for one that was written as it is. */
  readonly from: string | null
  readonly #onReleased: (target: UpstreamTarget) => void
  /** Connections, and requests of plain HTTP, that are under way here. */
  open = 0
  /** What names say of it: missing, the last answer lacked it; gone, no name stands for it. Of either kind it gets no new connections. */
  presence: 'there' | 'missing' | 'gone' = 'there'
  check: HealthCheck | null = null
  eviction: Eviction | null = null
  /** Made for the first plain request. */
  pool: EndpointPool | null = null
  /** What the last dial that failed said, and when (wall clock). */
  lastFailure: { at: number; problem: string } | null = null
  #avoidUntil = Number.NEGATIVE_INFINITY

  constructor(address: Target, from: string | null, onReleased: (target: UpstreamTarget) => void) {
    this.address = address
    this.name = formatTarget(address)
    this.from = from
    this.#onReleased = onReleased
  }

  get isUnhealthy(): boolean {
    return this.check?.state === 'unhealthy'
  }

  /** Whether another one is to be preferred. */
  isAvoided(now: number): boolean {
    return now < this.#avoidUntil
  }

  take(connection: Connection, now: number): void {
    connection.place = this
    this.open++
    // Its dial failed before: this connection tries anew, and those that come meanwhile go elsewhere.
    if (this.#avoidUntil !== Number.NEGATIVE_INFINITY) this.#avoidUntil = now + AVOID_MS
  }

  release(): void {
    this.open--
    this.#onReleased(this)
  }

  onDialled(): void {
    this.#avoidUntil = Number.NEGATIVE_INFINITY
  }

  onDialFailed(problem: string, now: number, wall: number): void {
    this.#avoidUntil = now + AVOID_MS
    this.lastFailure = { at: wall, problem }
  }

  /** Ends none of its connections any more. */
  spare(): void {
    this.eviction?.stop()
    this.eviction = null
  }

  /** Stops all that is kept for it. */
  retire(): void {
    this.spare()
    this.check?.stop()
    this.pool?.clear()
  }
}
