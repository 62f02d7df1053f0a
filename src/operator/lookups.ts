// Lookups of upstream names, shared by all gates: a gate that asks while a lookup is under way gets its
// result too, and a recent answer is given again. A lookup holds a thread of libuv, of which the process has
// four (upstream/names.ts), so at most two run at a time.

import type { Clock } from '../core/clock.ts'
import type { NameOptions } from '../upstream/names.ts'

const MAX_LOOKUPS = 2

interface Asked {
  at: number
  answer: Promise<readonly string[]>
  isOver: boolean
}

export class Lookups {
  readonly #names: NameOptions
  readonly #clock: Clock
  readonly #asked = new Map<string, Asked>()
  readonly #waiting: Array<() => void> = []
  #running = 0

  constructor(names: NameOptions, clock: Clock) {
    this.#names = names
    this.#clock = clock
  }

  /** Rejects with the system's error, for all gates that share the lookup. */
  lookup(name: string): Promise<readonly string[]> {
    const now = this.#clock.now()
    this.#forget(now)
    const known = this.#asked.get(name)
    if (known !== undefined) return known.answer
    const asked: Asked = { at: now, answer: this.#ask(name), isOver: false }
    this.#asked.set(name, asked)
    asked.answer.then(
      () => (asked.isOver = true),
      // An error is not kept: the next gate asks again.
      () => this.#asked.delete(name),
    )
    return asked.answer
  }

  /** Gates ask every `refreshMs`, a fifth more or less; half of that is recent. */
  #forget(now: number): void {
    for (const [name, { at, isOver }] of this.#asked)
      if (isOver && now - at >= this.#names.refreshMs / 2) this.#asked.delete(name)
  }

  async #ask(name: string): Promise<readonly string[]> {
    if (this.#running >= MAX_LOOKUPS) await new Promise<void>((resolve) => void this.#waiting.push(resolve))
    this.#running++
    try {
      return await this.#names.lookup(name)
    } finally {
      this.#running--
      this.#waiting.shift()?.()
    }
  }
}
