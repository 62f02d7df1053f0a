// The lag of the event loop. Each reader has its own histogram, because reading resets it.

import type { monitorEventLoopDelay } from 'node:perf_hooks'
import { nodePerfHooks } from '../core/late.ts'

/** A shorter stall may fall between two samples; one that hurts a deadline does not. */
const SAMPLE_MS = 50

export interface LoopDelayReading {
  p50: number
  p99: number
  max: number
}

export class LoopDelay {
  readonly #histogram: ReturnType<typeof monitorEventLoopDelay>

  constructor() {
    this.#histogram = nodePerfHooks().monitorEventLoopDelay({ resolution: SAMPLE_MS })
    this.#histogram.enable()
  }

  /** Seconds, since the last reading. */
  read(): LoopDelayReading {
    // Node records the time between two samples; without the subtraction an idle loop would show the sampling
    // interval as its lag.
    const lag = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - SAMPLE_MS / 1e3)
    const reading = {
      p50: lag(this.#histogram.percentile(50)),
      p99: lag(this.#histogram.percentile(99)),
      max: lag(this.#histogram.max),
    }
    this.#histogram.reset()
    return reading
  }

  stop(): void {
    this.#histogram.disable()
  }
}
