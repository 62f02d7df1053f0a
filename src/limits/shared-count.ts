// A count in shared memory: exact over all workers, with each worker's part noted beside it (see
// shared-memory.ts).

import type { Count } from '../core/cells.ts'
import { STEP_SLOT, STEPS, WORKER_WORDS } from './shared-memory.ts'
import type { Parts } from './shared-memory.ts'
import { generationOf, valueOf } from './slots.ts'
import type { Found, Key } from './slots.ts'

export class SharedCount implements Count {
  readonly #parts: Parts
  readonly #worker: number
  readonly #key: Key
  /** The slot of the last look; it stays while this worker holds a place. */
  #found: Found | null = null
  /** Places taken without a slot, where `max` is Infinity and no slot could be had. */
  #loose = 0

  constructor(shared: Parts, worker: number, name: string) {
    this.#parts = shared
    this.#worker = worker
    this.#key = shared.counts.keyOf(name)
  }

  get held(): number {
    const { counts } = this.#parts
    const found = this.#look() ?? counts.find(this.#key)
    return found === null ? 0 : valueOf(counts.word(found.slot))
  }

  take(max: number): boolean {
    const { counts } = this.#parts
    for (;;) {
      const found = (this.#found = this.#look() ?? counts.claim(this.#key, false))
      if (found === null) return this.#takeLoosely(max)
      const word = counts.word(found.slot)
      if (generationOf(word) !== found.generation) continue
      if (valueOf(word) >= max) return false
      if (this.#step(found.slot, word, 1)) return true
    }
  }

  release(): void {
    const { counts } = this.#parts
    if (this.#loose > 0) {
      this.#loose--
      return
    }
    const { slot } = this.#found!
    while (!this.#step(slot, counts.word(slot), -1));
  }

  #takeLoosely(max: number): boolean {
    if (Number.isFinite(max)) return false
    this.#loose++
    return true
  }

  #look(): Found | null {
    return this.#parts.counts.check(this.#found, this.#key)
  }

  /** Both steps of a change, with the trace of them for `giveBack`. */
  #step(slot: number, word: bigint, by: 1 | -1): boolean {
    const { counts, workers, held, stride } = this.#parts
    const base = this.#worker * WORKER_WORDS
    Atomics.store(workers, base + STEP_SLOT, slot)
    Atomics.add(workers, base + STEPS, 1)
    const isDone = counts.swap(slot, word, valueOf(word) + by)
    if (isDone) Atomics.add(held, slot * stride + this.#worker, by)
    Atomics.add(workers, base + STEPS, 1)
    return isDone
  }
}
