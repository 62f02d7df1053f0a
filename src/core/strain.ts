// What a process that runs short of memory asks of the path: one object for all, written by whoever watches the memory and
// read where a wait is judged or work begins. Never on the way of a byte.

/** What clients may send before there is a pair for them, all together. */
export interface EarlyBudget {
  /** Counted by whoever holds it, in the turn in which it comes: thousands of clients may come between two looks at the memory. */
  heldBytes: number
  limitBytes: number
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

export function calm(): Strain {
  return { idleScale: 1, isRefusing: false, isWatching: false, early: { heldBytes: 0, limitBytes: Number.POSITIVE_INFINITY } }
}
