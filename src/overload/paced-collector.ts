// Collections of garbage at a bounded cost: once a second, and for a twentieth of the time at most.

import type { Clock } from '../core/clock.ts'

const EVERY_MS = 1000
const SHARE = 0.05

export class PacedCollector {
  readonly #clock: Pick<Clock, 'now'>
  readonly #collect: () => void
  #nextAt = Number.NEGATIVE_INFINITY

  constructor(clock: Pick<Clock, 'now'>, collect: () => void) {
    this.#clock = clock
    this.#collect = collect
  }

  /** False where the last collection is too recent for another. */
  collect(): boolean {
    const before = this.#clock.now()
    if (before < this.#nextAt) return false
    this.#collect()
    const after = this.#clock.now()
    this.#nextAt = after + Math.max(EVERY_MS, (after - before) / SHARE)
    return true
  }
}
