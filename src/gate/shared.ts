// A part that a listener and its successors after a reload use together, for as long as their configuration says the same of it. The last one that leaves stops it.

import { isSame } from '../core/node-lazy.ts'

export class Shared<T> {
  readonly value: T
  readonly #settings: unknown
  readonly #stop: () => void
  #users = 0

  /** `settings` is all of the configuration that `value` was made from. */
  constructor(value: T, settings: unknown, stop: () => void) {
    this.value = value
    this.#settings = settings
    this.#stop = stop
  }

  /** Whether it will do for a listener that is configured like that. */
  fits(settings: unknown): boolean {
    return isSame(this.#settings, settings)
  }

  /** Each that joined leaves once. */
  join(): this {
    this.#users++
    return this
  }

  leave(): void {
    if (--this.#users === 0) this.#stop()
  }
}
