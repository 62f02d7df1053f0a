// One address of an upstream: its open connections and the knowledge about its state. Each place is released
// once (`releasePlace`), so that balancing and `maxConnections` can rely on `open`.

import type { Connection, Place } from '../core/connection.ts'
import type { Count } from '../core/cells.ts'
import { formatTarget } from './dial.ts'
import type { Target } from './dial.ts'
import type { Eviction } from './eviction.ts'
import type { DialFailure } from './finding.ts'
import type { HealthCheck } from './health-check.ts'
import type { EndpointPool } from './pool.ts'
import type { Streams } from './streams.ts'

/**
 * An address whose dial failed is avoided if there is another, otherwise every second connection would try a
 * dead one first. So long after the failure it is looked at again (looks.ts), as in nginx (`fail_timeout`);
 * it is avoided until a dial succeeds. Avoidance never makes the last address unusable: only health checks
 * do.
 */
const AVOID_MS = 10_000
const NEVER = Number.NEGATIVE_INFINITY
/** In a storm of failed dials, other threads get one report in this time. */
const REPORT_MS = 1000

export class UpstreamTarget implements Place {
  readonly address: Target
  /** `host:port`, as in the log. */
  readonly name: string
  /** The name that the address was resolved from; null for an address from the configuration. */
  readonly from: string | null
  readonly #onReleased: (target: UpstreamTarget) => void
  readonly #count: Count
  /** Connections and requests of plain HTTP under way here, of this thread. */
  open = 0
  /**
   * The verdict of names. missing: the last answer lacked the address; gone: no name has it. Neither gets new
   * connections.
   */
  presence: 'there' | 'missing' | 'gone' = 'there'
  check: HealthCheck | null = null
  eviction: Eviction | null = null
  /** Made for the first plain request. */
  pool: EndpointPool | null = null
  /** The sessions, where the service speaks HTTP/2; made like the pool. */
  streams: Streams | null = null
  /** The last dial that failed. */
  lastFailure: DialFailure | null = null
  /** Reports to other threads that the target is to be avoided (a failure), or is not any more (null). */
  tell: ((failure: DialFailure | null) => void) | null = null
  /** Stops following the findings of other threads. */
  unfollow: (() => void) | null = null
  /** When an avoided target is looked at again; NEVER where it is not avoided. */
  #lookAt = NEVER
  /** The same in other threads, by the last report. */
  #reportedAt = NEVER

  /** `counted`: the places there, of all threads. */
  constructor(
    address: Target,
    from: string | null,
    onReleased: (target: UpstreamTarget) => void,
    counted: Count,
  ) {
    this.address = address
    this.name = formatTarget(address)
    this.from = from
    this.#onReleased = onReleased
    this.#count = counted
  }

  /** `open`, of all threads. */
  get held(): number {
    return this.#count.held
  }

  get isUnhealthy(): boolean {
    return this.check?.state === 'unhealthy'
  }

  /** Whether another target is preferred. */
  get isAvoided(): boolean {
    return this.#lookAt !== NEVER
  }

  /** Whether an avoided target is to be looked at again. */
  isDue(now: number): boolean {
    return this.isAvoided && now >= this.#lookAt
  }

  /** False, and takes nothing, if all `max` places are taken: another thread may have taken the last. */
  take(connection: Connection, now: number, max = Number.POSITIVE_INFINITY): boolean {
    if (!this.#count.take(max)) return false
    connection.place = this
    this.open++
    // Its dial failed before, and no other has room: this connection tries anew, in place of a look.
    if (this.isAvoided) this.avoidOn(now)
    return true
  }

  release(): void {
    this.open--
    this.#count.release()
    this.#onReleased(this)
  }

  onDialled(): void {
    if (!this.isAvoided) return
    this.#lookAt = this.#reportedAt = NEVER
    this.tell?.(null)
  }

  onDialFailed(problem: string, now: number, wall: number): void {
    this.lastFailure = { at: wall, problem }
    this.avoidOn(now)
  }

  /** A dial there begins, or has failed: other threads need not look at it either. */
  avoidOn(now: number): void {
    this.#lookAt = now + AVOID_MS
    if (this.#lookAt - this.#reportedAt < REPORT_MS) return
    this.#reportedAt = this.#lookAt
    this.tell?.(this.lastFailure)
  }

  /** Another thread has dialled the address, `agoMs` ago. */
  learn(failure: DialFailure | null, now: number, agoMs: number): void {
    this.#lookAt = failure === null || agoMs >= AVOID_MS ? NEVER : now + AVOID_MS - Math.max(0, agoMs)
    this.#reportedAt = this.#lookAt
    if (failure !== null && failure.at > (this.lastFailure?.at ?? 0)) this.lastFailure = failure
  }

  /** Stops the eviction: the remaining connections stay. */
  spare(): void {
    this.eviction?.stop()
    this.eviction = null
  }

  /** Uses no kept connection or session for another request. */
  clearKept(): void {
    this.pool?.clear()
    this.streams?.clear()
  }

  /** Stops its eviction, its health check and its findings, and clears its kept connections. */
  retire(): void {
    this.spare()
    this.unfollow?.()
    this.tell = this.unfollow = null
    this.check?.stop()
    this.clearKept()
  }
}

/** An avoided target is taken only where no other has room. */
export function isBetter(
  target: UpstreamTarget,
  best: UpstreamTarget,
  balance: 'leastConnections' | 'roundRobin',
): boolean {
  if (target.isAvoided !== best.isAvoided) return best.isAvoided
  return balance === 'leastConnections' && target.held < best.held
}
