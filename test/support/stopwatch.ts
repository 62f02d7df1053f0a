// How long something took, for a test that says "no longer than". A machine that other work keeps busy stands still for a second now
// and then, gate and test together, since they are one process: such a gap says nothing of the gate, and is not counted.

import type { Test } from 'tap'

const TICK_MS = 10
/** What one turn of the event loop counts at the most: more than a busy process needs, less than any bound that is tested. */
const MOST_MS = 100

export interface Stopwatch {
  /** Milliseconds since its start, by the clock on the wall: for "no sooner than". */
  readonly ms: number
  /** Of these, those that this process has lived through: for "no later than". */
  readonly livedMs: number
}

/** Starts at once; `now` is for tests of it. */
export function stopwatch(t: Test, now = (): number => performance.now()): Stopwatch {
  const startedAt = now()
  let lookedAt = startedAt
  let livedMs = 0
  const look = (): void => {
    const at = now()
    livedMs += Math.min(at - lookedAt, MOST_MS)
    lookedAt = at
  }
  const timer = setInterval(look, TICK_MS)
  t.teardown(() => clearInterval(timer))
  return {
    get ms() {
      return now() - startedAt
    },
    get livedMs() {
      look()
      return livedMs
    },
  }
}
