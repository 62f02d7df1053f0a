// The cells of one worker among several, in memory that all of them share. shared-memory.ts says how that
// memory is made, handed on and given back.

import type { BucketRate, Cells, Count, Heads, Sum, Tokens } from '../core/cells.ts'
import { kernelMs } from '../core/clock.ts'
import { SharedCount } from './shared-count.ts'
import { SharedHeads } from './shared-heads.ts'
import { ENDED, parts, SUMS, WORKER_WORDS } from './shared-memory.ts'
import type { Parts, SharedMemory } from './shared-memory.ts'
import { SharedTokens } from './shared-tokens.ts'

/** The bytes of one step of a sum. */
const SUM_UNIT = 64

/** The cells of worker number `worker`. `now`: its Clock, at this moment. */
export function attach(memory: SharedMemory, worker: number, now: number): SharedCells {
  return new SharedCells(memory, worker, now)
}

export class SharedCells implements Cells {
  readonly isShared = true
  readonly #parts: Parts
  readonly #worker: number
  /** From this thread's time to the memory's. */
  readonly #shiftMs: number

  constructor(memory: SharedMemory, worker: number, now: number) {
    this.#shiftMs = Math.round(kernelMs() - memory.epochMs - now)
    this.#worker = worker
    this.#parts = parts(memory, worker)
    Atomics.store(this.#parts.workers, worker * WORKER_WORDS + ENDED, 0)
  }

  count(name: string): Count {
    return new SharedCount(this.#parts, this.#worker, name)
  }

  bucket(name: string, rate: BucketRate): Tokens {
    const { buckets } = this.#parts
    return new SharedTokens(
      buckets,
      buckets.keyOf(`${name} ${rate.perSec} ${rate.burst}`),
      rate,
      this.#shiftMs,
    )
  }

  heads(name: string): Heads {
    const { buckets, stride: workers } = this.#parts
    return new SharedHeads(buckets, name, { worker: this.#worker, workers }, this.#shiftMs)
  }

  /** Sum `number` of MAX_SUMS; a number means the same in each worker. */
  sum(number: number): Sum {
    return new SharedSum(this.#parts.workers, number, this.#worker)
  }
}

/** A sum of which each worker writes its own part, in whole steps, rounded up. */
class SharedSum implements Sum {
  readonly #workers: Int32Array
  readonly #number: number
  readonly #at: number
  #mine = 0

  constructor(workers: Int32Array, number: number, worker: number) {
    this.#workers = workers
    this.#number = number
    this.#at = worker * WORKER_WORDS + SUMS + number
  }

  get total(): number {
    let sum = 0
    for (let base = 0; base < this.#workers.length; base += WORKER_WORDS)
      sum += Atomics.load(this.#workers, base + SUMS + this.#number)
    return sum * SUM_UNIT
  }

  add(amount: number): void {
    this.#mine += amount
    Atomics.store(this.#workers, this.#at, Math.ceil(this.#mine / SUM_UNIT))
  }
}
