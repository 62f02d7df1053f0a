// The system's clock, except its time, which passes only as the test says: no token comes and no deadline falls due because
// a busy machine was slow. Timers run as usual.

import { systemClock, type Clock } from '../../src/core/clock.ts'

export interface StillClock extends Clock {
  pass(ms: number): void
}

export function stillClock(): StillClock {
  let now = 1000
  return { ...systemClock, now: () => now, pass: (ms) => void (now += ms) }
}
