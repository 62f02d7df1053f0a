// One client: what it has open, and the buckets that its connections share.

import type { BucketRate, Count, LimitScope, Scopes, Tokens } from '../core/cells.ts'
import type { CountedLater } from './observed-place.ts'

/** One client's counts and buckets. */
export class Client {
  /** Its open connections here. */
  open = 0
  /** Its open connections, over all who share the count. */
  readonly count: Count
  /** Those of `open` that have given their place up before their end. */
  parted = 0
  /**
   * Connections that were let on although it was in doubt whether there was a place, which is only observed.
   */
  inDoubt = 0
  /** Connections that wait for those that they replace. */
  waiting = 0
  /** Those of `open` that the limit has let on because it only observes, and that had no place then. */
  observed: Set<CountedLater> | null = null
  readonly #key: string
  #scopes: Scopes
  readonly #buckets = new Map<string, Tokens>()

  constructor(key: string, scope: LimitScope, scopes: Scopes) {
    const { cells, name } = scopes[scope]
    this.count = cells.count(`${name} client ${key}`)
    this.#key = key
    this.#scopes = scopes
  }

  /** The bucket called `name`; the first connection that asks for it makes it. */
  bucket(name: string, rate: BucketRate & { scope?: LimitScope }, now: number): Tokens {
    const { perSec, burst, scope = 'process' } = rate
    const id = `${name} ${perSec} ${burst} ${scope}`
    let bucket = this.#buckets.get(id)
    if (bucket === undefined) {
      const { cells, name: of } = this.#scopes[scope]
      this.#buckets.set(
        id,
        (bucket = cells.bucket(`${of} client ${this.#key} ${name}`, { perSec, burst }, now)),
      )
    }
    return bucket
  }

  /** Makes new connections draw from the present fleet. */
  moveTo(scopes: Scopes): void {
    this.#scopes = scopes
    for (const id of this.#buckets.keys()) if (id.endsWith(' fleet')) this.#buckets.delete(id)
  }

  /** The bucket called `name` has no token as far as is known, and has asked the fleet for one. */
  isUnsure(name: string, rate: BucketRate & { scope?: LimitScope }, now: number): boolean {
    const bucket = this.bucket(name, rate, now)
    return !bucket.has(1, now) && bucket.isUnsure === true
  }

  /** All buckets are full, and nobody waits for a place, so forgetting the client loses nothing. */
  isForgettable(now: number): boolean {
    if (this.waiting > 0) return false
    for (const bucket of this.#buckets.values()) if (!bucket.isFull(now)) return false
    return true
  }
}
