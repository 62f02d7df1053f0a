// What a process that runs short of memory asks of the path: one object for all, written by whoever watches the memory and
// read where a wait is judged or work begins. Never on the way of a byte.

export interface Strain {
  /** What is left of every idle deadline: 1 with memory to spare, less the nearer its end is. */
  idleScale: number
  /** New work is refused with `overloaded`. */
  isRefusing: boolean
  /** The kernel is asked what peers have taken of what waits for them, so that slow readers are told from stalled ones in time. */
  isWatching: boolean
}

export function calm(): Strain {
  return { idleScale: 1, isRefusing: false, isWatching: false }
}
