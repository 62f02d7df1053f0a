// Cells that limits count in. A limit gets its cells from outside, and knows neither their other users nor
// the memory behind them: plain objects for one thread (limits/cells.ts), words of shared memory for several
// (limits/shared-cells.ts). All cells answer at once: nothing on the path waits for a count.

/** The number of places held at a time. */
export interface Count {
  /** By all users of this count, in all threads. */
  readonly held: number
  /** Takes one place if fewer than `max` are held (Infinity: in any case). Each place is released once. */
  take(max: number): boolean
  release(): void
  /**
   * No place is known to be free, but one may be in a moment: the other gates were asked and have not
   * answered. Absent means no.
   */
  isUnsure?(max: number): boolean
  /** The other gates cannot be asked: this gate decides by itself. Absent: no. */
  readonly isAlone?: boolean
  /** How many of the held are more than the other gates leave, as the fleet reported last. Absent: none. */
  readonly over?: number
}

/** A token bucket, as described in bucket.ts. */
export interface Tokens {
  has(amount: number, now: number): boolean
  /** Takes `amount` if the bucket has it; otherwise returns false and takes nothing. */
  take(amount: number, now: number): boolean
  /** Takes `amount`, as a debt where the bucket has less. */
  spend(amount: number, now: number): void
  /** The bucket is full, so forgetting it loses nothing. */
  isFull(now: number): boolean
  /** Missing tokens may come in a moment: the other gates were asked and have not answered. Absent: no. */
  readonly isUnsure?: boolean
  /** The other gates cannot be asked: this gate decides by itself. Absent: no. */
  readonly isAlone?: boolean
}

export interface BucketRate {
  perSec: number
  burst: number
}

/** A sum of held bytes, over all threads. */
export interface Sum {
  /** Over all threads. */
  readonly total: number
  /** Adds bytes held here; a negative `amount` subtracts. */
  add(amount: number): void
}

/** Since when the head of a queue has waited, for all queues of one name, one in each thread. */
export interface Heads {
  /** The queue of this thread; null while it is empty. */
  set(since: number | null): void
  /** Over all other threads, in milliseconds of this thread's Clock. */
  readonly earliest: number | null
}

export interface Cells {
  /** Other threads take and release in the same cells without notice: a waiter for room has to look again. */
  readonly isShared: boolean
  /** The count of `name`, shared with other threads that ask for it; this thread has one object for it. */
  count(name: string): Count
  /** The bucket of `name`, shared in the same way. `now`: milliseconds of the Clock. */
  bucket(name: string, rate: BucketRate, now: number): Tokens
  /** Absent where there are no other threads. */
  heads?(name: string): Heads
}

/** The sharers of a count: the threads of a process, or all gates of a fleet. */
export type LimitScope = 'process' | 'fleet'

/** For each scope, the cells that a listener counts in, and the prefix of its names there. */
export type Scopes = Readonly<Record<LimitScope, { cells: Cells; name: string }>>

/** For one thread. */
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

/** For one thread. */
export class LocalSum implements Sum {
  total = 0

  add(amount: number): void {
    this.total += amount
  }
}
