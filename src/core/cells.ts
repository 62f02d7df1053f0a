// What limits count in: each is constructed over cells that are handed in, and knows neither their other users nor the place where they lie.
// Those of one thread are plain objects (limits/cells.ts), those of several are words of shared memory (limits/shared-cells.ts). All of them
// answer at once: nothing on the path waits for a count.

/** How many hold a place at a time. */
export interface Count {
  /** By all who count here. */
  readonly held: number
  /** Takes one place if fewer than `max` are held; Infinity takes it in any case. Each that was taken is released once. */
  take(max: number): boolean
  release(): void
  /** No place is known, and there may be one in a moment: others were asked, and have not answered. Absent is no. */
  isUnsure?(max: number): boolean
}

/** A token bucket, as bucket.ts tells it. */
export interface Tokens {
  has(amount: number, now: number): boolean
  /** Takes `amount` if it is there; false, and nothing taken, if it is not. */
  take(amount: number, now: number): boolean
  /** Takes `amount`, as a debt where it is not there. */
  spend(amount: number, now: number): void
  /** Nothing would be lost if it were forgotten. */
  isFull(now: number): boolean
  /** What is not there may be there in a moment: others were asked, and have not answered. Absent is no. */
  readonly isUnsure?: boolean
}

export interface BucketRate {
  perSec: number
  burst: number
}

/** Bytes that are held, by all threads. */
export interface Sum {
  /** By all. */
  readonly total: number
  /** More, or less, are held here. */
  add(amount: number): void
}

/** Since when the first waits in the queues of a name, one in each thread. */
export interface Heads {
  /** Here; null where nobody does. */
  set(since: number | null): void
  /** In all other threads, milliseconds of the Clock here. */
  readonly earliest: number | null
}

export interface Cells {
  /** Other threads take and release where these do, unseen: a waiter for room has to look again. */
  readonly isShared: boolean
  /** What is counted in other threads under the same `name` is counted with it; in this one, the users of a count share one object. */
  count(name: string): Count
  /** The same of tokens. `now`: milliseconds of the Clock. */
  bucket(name: string, rate: BucketRate, now: number): Tokens
  /** Only where there are other threads. */
  heads?(name: string): Heads
}

/** Who counts together: the threads of a process, or all gates of a fleet. */
export type LimitScope = 'process' | 'fleet'

/** Where a listener counts for each of them, and what its names begin with there. */
export type Scopes = Readonly<Record<LimitScope, { cells: Cells; name: string }>>

/** Of one thread. */
export class LocalCount implements Count {
  held = 0

  take(max: number): boolean {
    if (this.held >= max) return false
    this.held++
    return true
  }

  release(): void {
    this.held--
  }
}

/** Of one thread. */
export class LocalSum implements Sum {
  total = 0

  add(amount: number): void {
    this.total += amount
  }
}
