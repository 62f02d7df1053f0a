// A stopwatch for a test that says "no longer than". A busy machine stands still for a second now and then, gate and test
// together, since they are one process: such a gap shows nothing about the gate, and the stopwatch leaves it out.

import type { Test } from 'tap'

const TICK_MS = 10
/** The most that one turn of the event loop counts: more than a busy process needs, less than any bound under test. */
const MOST_MS = 100

export interface Stopwatch {
  /** Milliseconds since its start, by the wall clock: for "no sooner than". */
  readonly ms: number
  /** The part of these in which this process ran: for "no later than". */
  readonly livedMs: number
}

/** Starts at once; `now` is for tests of the stopwatch. */
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
