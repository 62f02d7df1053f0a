// One address of an upstream: what is open there, and what is known of its state. The taker of a place gives it back once
// (`releasePlace`), so that `open` is the truth that balancing and `maxConnections` go by.

import type { Connection, Place } from '../core/connection.ts'
import type { Count } from '../core/cells.ts'
import { formatTarget } from './dial.ts'
import type { Target } from './dial.ts'
import type { Eviction } from './eviction.ts'
import type { HealthCheck } from './health-check.ts'
import type { EndpointPool } from './pool.ts'
import type { Streams } from './streams.ts'

/**
 * An address that could not be dialled is left alone that long, as nginx does it (`fail_timeout`), if there is another:
 * without it every second connection would try a dead one first. Then one connection tries, and the rest wait for what comes
 * of it. It never makes the last address unusable: that is what health checks are for.
 */
const AVOID_MS = 10_000
/** Of a storm of dials that fail, others are told once in so long. */
const TELL_MS = 1000

/** The words and the time (wall clock) of a dial that failed. */
export interface DialFailure {
  at: number
  problem: string
}

export class UpstreamTarget implements Place {
  readonly address: Target
  /** `host:port`, as in the log. */
  readonly name: string
  /** The name that it was resolved from; null for one that was written as it is. */
  readonly from: string | null
  readonly #onReleased: (target: UpstreamTarget) => void
  readonly #count: Count
  /** Connections, and requests of plain HTTP, of this thread that are under way here. */
  open = 0
  /** What names say of it: missing, the last answer lacked it; gone, no name stands for it. Of either kind it gets no new connections. */
  presence: 'there' | 'missing' | 'gone' = 'there'
  check: HealthCheck | null = null
  eviction: Eviction | null = null
  /** Made for the first plain request. */
  pool: EndpointPool | null = null
  /** As the pool, where the service speaks HTTP/2. */
  streams: Streams | null = null
  /** The last dial that failed. */
  lastFailure: DialFailure | null = null
  /** Where others hear that it is to be avoided (a failure), or is not any more (null). */
  tell: ((failure: DialFailure | null) => void) | null = null
  /** Hears no more of what others find. */
  unfollow: (() => void) | null = null
  #avoidUntil = Number.NEGATIVE_INFINITY
  /** Until when others avoid it, as they were told. */
  #toldUntil = Number.NEGATIVE_INFINITY

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

  /** Whether another one is to be preferred. */
  isAvoided(now: number): boolean {
    return now < this.#avoidUntil
  }

  /** False, and nothing taken: another thread has taken the last of `max` places. */
  take(connection: Connection, now: number, max = Number.POSITIVE_INFINITY): boolean {
    if (!this.#count.take(max)) return false
    connection.place = this
    this.open++
    // Its dial failed before: this connection tries anew, and those that come meanwhile go elsewhere.
    if (this.#avoidUntil !== Number.NEGATIVE_INFINITY) this.#avoid(now)
    return true
  }

  release(): void {
    this.open--
    this.#count.release()
    this.#onReleased(this)
  }

  onDialled(): void {
    if (this.#avoidUntil === Number.NEGATIVE_INFINITY) return
    this.#avoidUntil = this.#toldUntil = Number.NEGATIVE_INFINITY
    this.tell?.(null)
  }

  onDialFailed(problem: string, now: number, wall: number): void {
    this.lastFailure = { at: wall, problem }
    this.#avoid(now)
  }

  #avoid(now: number): void {
    this.#avoidUntil = now + AVOID_MS
    if (this.#avoidUntil - this.#toldUntil < TELL_MS) return
    this.#toldUntil = this.#avoidUntil
    this.tell?.(this.lastFailure)
  }

  /** Another thread has dialled it, `agoMs` ago. */
  learn(failure: DialFailure | null, now: number, agoMs: number): void {
    this.#avoidUntil =
      failure === null || agoMs >= AVOID_MS ? Number.NEGATIVE_INFINITY : now + AVOID_MS - Math.max(0, agoMs)
    this.#toldUntil = this.#avoidUntil
    if (failure !== null && failure.at > (this.lastFailure?.at ?? 0)) this.lastFailure = failure
  }

  /** Ends none of its connections any more. */
  spare(): void {
    this.eviction?.stop()
    this.eviction = null
  }

  /** Nothing that is kept is used for another request. */
  clearKept(): void {
    this.pool?.clear()
    this.streams?.clear()
  }

  /** Stops all that is kept for it. */
  retire(): void {
    this.spare()
    this.unfollow?.()
    this.tell = this.unfollow = null
    this.check?.stop()
    this.clearKept()
  }
}
