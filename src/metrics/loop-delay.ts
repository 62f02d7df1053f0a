// How late the event loop is. Each reader has a histogram of its own: reading it begins it anew.

import type { monitorEventLoopDelay } from 'node:perf_hooks'

/** A stall shorter than this may fall between two samples; those that hurt a deadline do not. */
const SAMPLE_MS = 50

export interface LoopDelayReading {
  p50: number
  p99: number
  max: number
}

export class LoopDelay {
  readonly #histogram: ReturnType<typeof monitorEventLoopDelay>

  constructor() {
    this.#histogram = process
      .getBuiltinModule('node:perf_hooks')
      .monitorEventLoopDelay({ resolution: SAMPLE_MS })
    this.#histogram.enable()
  }

  /** Seconds, since the last reading. */
  read(): LoopDelayReading {
    // Node records the time between two samples; an idle loop would show the sampling interval as its lag.
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
