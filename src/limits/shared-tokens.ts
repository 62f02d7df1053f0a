// A bucket in shared memory, as a generic cell rate: its word is the time at which it is full again, and each
// taken token puts that time off.

import type { BucketRate, Tokens } from '../core/cells.ts'
import { UNITS_PER_MS } from './shared-memory.ts'
import { generationOf, MAX_VALUE, valueOf } from './slots.ts'
import type { Found, Key, Slots } from './slots.ts'

/** Nine years: a bucket that takes longer to fill is cut to that depth. */
const MAX_DEPTH = 2 ** 54

export class SharedTokens implements Tokens {
  readonly #slots: Slots
  readonly #key: Key
  readonly #unitsPerToken: number
  readonly #depth: number
  readonly #shiftMs: number
  #found: Found | null = null

  constructor(slots: Slots, key: Key, { perSec, burst }: BucketRate, shiftMs: number) {
    this.#slots = slots
    this.#key = key
    this.#unitsPerToken = (UNITS_PER_MS * 1000) / perSec
    this.#depth = Math.min(MAX_DEPTH, this.#unitsOf(burst))
    this.#shiftMs = shiftMs
  }

  has(amount: number, now: number): boolean {
    const time = this.#timeOf(now)
    return this.#fullAt(time) + this.#unitsOf(amount) - time <= this.#depth
  }

  take(amount: number, now: number): boolean {
    return this.#put(amount, now, this.#depth)
  }

  spend(amount: number, now: number): void {
    this.#put(amount, now, Number.POSITIVE_INFINITY)
  }

  isFull(now: number): boolean {
    const time = this.#timeOf(now)
    return this.#fullAt(time) <= time
  }

  #put(amount: number, now: number, depth: number): boolean {
    const time = this.#timeOf(now)
    const units = this.#unitsOf(amount)
    for (;;) {
      const found = this.#look() ?? (this.#found = this.#slots.claim(this.#key, true))
      // Another worker holds the lock for long, or a window is contended: these tokens go uncounted, for a
      // moment.
      if (found === null) return true
      const word = this.#slots.word(found.slot)
      if (generationOf(word) !== found.generation) continue
      const fullAt = Math.min(Math.max(valueOf(word), time) + units, MAX_VALUE)
      if (fullAt - time > depth) return false
      if (this.#slots.swap(found.slot, word, fullAt)) return true
    }
  }

  #fullAt(time: number): number {
    const found = this.#look() ?? (this.#found = this.#slots.find(this.#key))
    return found === null ? time : Math.max(valueOf(this.#slots.word(found.slot)), time)
  }

  #look(): Found | null {
    return this.#slots.check(this.#found, this.#key)
  }

  /** Rounded up, so that the rate is never exceeded. */
  #unitsOf(amount: number): number {
    return Math.ceil(amount * this.#unitsPerToken)
  }

  #timeOf(now: number): number {
    return Math.max(0, Math.floor(now) + this.#shiftMs) * UNITS_PER_MS
  }
}
