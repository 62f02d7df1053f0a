// What a process that runs short of memory asks of the path: one object for all of a gate, changed as the watch of the memory
// says and read where a wait is judged or work begins. Never on the way of a byte.

import { LocalSum } from './cells.ts'
import type { Sum } from './cells.ts'

/** What clients may send before there is a pair for them, all together. */
export interface EarlyBudget {
  /** By all threads. */
  readonly heldBytes: number
  limitBytes: number
  /** More, or less, is held: told in the turn in which it comes, since thousands of clients may come between two looks at the memory. */
  charge(bytes: number): void
}

export interface Strain {
  /** What is left of every idle deadline: 1 with memory to spare, less the nearer its end is. */
  idleScale: number
  /** New work is refused with `overloaded`. */
  isRefusing: boolean
  /** The kernel is asked what peers have taken of what waits for them, so that slow readers are told from stalled ones in time. */
  isWatching: boolean
  readonly early: EarlyBudget
}

/** `sum`: where it is counted for all threads; without it for this one. */
export class Budget implements EarlyBudget {
  limitBytes = Number.POSITIVE_INFINITY
  readonly #sum: Sum

  constructor(sum: Sum = new LocalSum()) {
    this.#sum = sum
  }

  get heldBytes(): number {
    return this.#sum.total
  }

  charge(bytes: number): void {
    this.#sum.add(bytes)
  }
}

export function calm(early: EarlyBudget = new Budget()): Strain {
  return {
    idleScale: 1,
    isRefusing: false,
    isWatching: false,
    early,
  }
}

/** What the watch over the memory says, as plain data. */
export interface StrainLevel {
  idleScale: number
  isRefusing: boolean
  isWatching: boolean
  earlyLimitBytes: number
}

export function impose(strain: Strain, { earlyLimitBytes, ...level }: StrainLevel): void {
  Object.assign(strain, level)
  strain.early.limitBytes = earlyLimitBytes
}
