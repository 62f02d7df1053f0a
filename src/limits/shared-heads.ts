// Since when the head of each worker's queue has waited: one word per worker, in the table of buckets, whose
// words are times as well. The times are stored a day ahead, because the table may forget times that have
// passed; so it forgets a worker that has waited for longer than a day.

import type { Heads } from '../core/cells.ts'
import { UNITS_PER_MS } from './shared-memory.ts'
import { generationOf, valueOf } from './slots.ts'
import type { Found, Key, Slots } from './slots.ts'

const AHEAD_MS = 86_400_000
const NOBODY = 0

export class SharedHeads implements Heads {
  readonly #slots: Slots
  readonly #keys: readonly Key[]
  readonly #found: Array<Found | null>
  readonly #worker: number
  readonly #shiftMs: number

  /** `shiftMs`: from this thread's time to the memory's. */
  constructor(
    slots: Slots,
    name: string,
    { worker, workers }: { worker: number; workers: number },
    shiftMs: number,
  ) {
    this.#slots = slots
    this.#keys = Array.from({ length: workers }, (_, nth) => slots.keyOf(`${name} ${nth}`))
    this.#found = this.#keys.map(() => null)
    this.#worker = worker
    this.#shiftMs = shiftMs
    // Clears what this worker's predecessor left behind.
    this.set(null)
  }

  set(since: number | null): void {
    const value = since === null ? NOBODY : (Math.floor(since) + this.#shiftMs + AHEAD_MS) * UNITS_PER_MS
    const key = this.#keys[this.#worker]!
    for (;;) {
      const found = this.#find(this.#worker) ?? (since === null ? null : this.#slots.claim(key, true))
      if (found === null) return
      const word = this.#slots.word(found.slot)
      if (generationOf(word) === found.generation && this.#slots.swap(found.slot, word, value)) return
    }
  }

  get earliest(): number | null {
    let earliest = Number.POSITIVE_INFINITY
    for (let worker = 0; worker < this.#keys.length; worker++) {
      const found = worker === this.#worker ? null : this.#find(worker)
      if (found === null) continue
      const value = valueOf(this.#slots.word(found.slot))
      if (value !== NOBODY) earliest = Math.min(earliest, value)
    }
    if (earliest === Number.POSITIVE_INFINITY) return null
    return earliest / UNITS_PER_MS - AHEAD_MS - this.#shiftMs
  }

  #find(worker: number): Found | null {
    const key = this.#keys[worker]!
    return (this.#found[worker] = this.#slots.check(this.#found[worker]!, key) ?? this.#slots.find(key))
  }
}
