// SIGTERM and SIGINT, heard from the moment when this is made: as PID 1 a process without handlers would ignore the one, and a gate whose start
// takes its time (a slow machine, a check of the configuration) is told to end all the same.

export type Signal = 'SIGTERM' | 'SIGINT'

/** One after the other. */
export class Signals {
  readonly #came: Signal[] = []
  #wake: (() => void) | null = null

  constructor() {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        this.#came.push(signal)
        this.#wake?.()
      })
    }
  }

  /** Resolves with the next signal that was not waited for yet. */
  async next(): Promise<Signal> {
    if (this.#came.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.#came.shift()!
  }
}
