// A gate before the rendering of metrics: one render at a time, shared by all scrapers that ask meanwhile,
// and at most a quarter of the time spent on it. A scrape walks every connection, and anything that reaches
// the port can ask in a loop. Scrapers get the next render to begin, so a result is never older than its
// request.

import type { Clock } from '../core/clock.ts'

/** After a render of n ms the next one begins at least 3n ms later. */
const REST_FACTOR = 3

export class RenderGate<T> {
  readonly #clock: Clock
  readonly #render: () => Promise<T>
  /** The render that has not begun yet, for all scrapers that ask before it does. */
  #next: Promise<T> | null = null
  #isRunning: Promise<unknown> = Promise.resolve()
  #restUntil = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, render: () => Promise<T>) {
    this.#clock = clock
    this.#render = render
  }

  render(): Promise<T> {
    this.#next ??= this.#schedule()
    return this.#next
  }

  async #schedule(): Promise<T> {
    await this.#isRunning
    const restMs = this.#restUntil - this.#clock.now()
    if (restMs > 0) await new Promise<void>((resolve) => void this.#clock.after(restMs, resolve))
    this.#next = null
    const beganAt = this.#clock.now()
    const render = this.#render()
    const settled = render
      .catch(() => {})
      .then(() => {
        const endedAt = this.#clock.now()
        this.#restUntil = endedAt + REST_FACTOR * (endedAt - beganAt)
      })
    this.#isRunning = settled
    return render
  }
}
