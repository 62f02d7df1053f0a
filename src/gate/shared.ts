// A part that a listener and its successors after a reload use together, as long as their configurations
// agree on it. The last user that leaves stops it.

import { isSame } from '../core/late.ts'

export class Shared<T> {
  readonly value: T
  readonly #settings: unknown
  readonly #stop: () => void
  #users = 0

  /** `settings` is the part of the configuration from which `value` was made. */
  constructor(value: T, settings: unknown, stop: () => void) {
    this.value = value
    this.#settings = settings
    this.#stop = stop
  }

  /** Whether it suits a listener with these settings. */
  fits(settings: unknown): boolean {
    return isSame(this.#settings, settings)
  }

  /** Each user that joins leaves once. */
  join(): this {
    this.#users++
    return this
  }

  leave(): void {
    if (--this.#users === 0) this.#stop()
  }
}
