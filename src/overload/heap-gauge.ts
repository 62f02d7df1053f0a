// The heap of this thread, as a share of the part of its limit that V8 can use. It is a memory of its own:
// heads are in it, connections and records, and at its limit V8 ends the process, however much of the
// container is free.
//
// Some of what is used is garbage. So near the limit the gauge collects before it believes, once a second and
// for a twentieth of the time at most; until it may do so again, what it found last is believed, up to the
// brink. It reads at each look of the memory watch, and in between whenever work has brought so many bytes
// into the heap: thousands of heads may come between two looks.

import type { Clock } from '../core/clock.ts'
import { nodeV8 } from '../core/late.ts'
import type { HeapWatch } from '../core/strain.ts'
import { collectGarbage } from './heap.ts'
import { PacedCollector } from './paced-collector.ts'

/** The heap of a thread, in bytes. */
export interface Heap {
  /** `limitBytes` includes the young generation. */
  read(): { usedBytes: number; limitBytes: number }
  collect(): void
}

/** Three semi-spaces (src/cli/flags.ts). */
const YOUNG_BYTES = 12 * 1024 * 1024
/**
 * V8 ends a process in which collections free little while the old generation is over this share of its limit
 * (`kHighHeapPercentage` of V8's heap.cc).
 */
const USABLE = 0.8
/** From this share on the gauge collects before it believes. */
const DOUBTFUL = 0.8
const STEP_BYTES = 256 * 1024

const own: Heap = {
  read() {
    const { used_heap_size: usedBytes, heap_size_limit: limitBytes } = nodeV8().getHeapStatistics()
    return { usedBytes, limitBytes }
  },
  collect: collectGarbage,
}

export class HeapGauge implements HeapWatch {
  refuseAt = Number.POSITIVE_INFINITY
  readonly #heap: Heap
  readonly #collector: PacedCollector
  #share = 0
  /** As of the last collection. */
  #live = 0
  /** Brought by work since the last reading. */
  #broughtBytes = 0

  constructor(clock: Pick<Clock, 'now'>, heap: Heap = own) {
    this.#heap = heap
    this.#collector = new PacedCollector(clock, () => heap.collect())
  }

  /** Reads anew. From 1 on V8 may end the process. */
  read(): number {
    this.#broughtBytes = 0
    const share = this.#used()
    if (share < DOUBTFUL) return (this.#share = share)
    if (this.#collector.collect()) return (this.#share = this.#live = this.#used())
    return (this.#share = share < 1 ? this.#live : share)
  }

  isShort(bytes: number): boolean {
    this.#broughtBytes += bytes
    if (this.#broughtBytes >= STEP_BYTES) this.read()
    return this.#share >= this.refuseAt
  }

  #used(): number {
    const { usedBytes, limitBytes } = this.#heap.read()
    return usedBytes / (USABLE * Math.max(YOUNG_BYTES, limitBytes - YOUNG_BYTES))
  }
}
