// SIGTERM and SIGINT, collected from the construction on: as PID 1 a process without handlers would ignore
// SIGTERM, and a gate whose start takes long (a slow machine, a check of the configuration) must obey it all
// the same.

export type Signal = 'SIGTERM' | 'SIGINT'

/** Signals one after the other. */
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

  /** Resolves with the next signal that no call has had yet. */
  async next(): Promise<Signal> {
    if (this.#came.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.#came.shift()!
  }
}
