// One thread of the stress of shared cells: it takes and releases as fast as it can, of a few counts that all
// threads want and of many that few want, and draws from buckets. A taken place is a seat too; a thread with
// a place and without a seat has found one place too many.

import { workerData } from 'node:worker_threads'
import { attach } from '../../src/limits/shared-cells.ts'
import type { SharedMemory } from '../../src/limits/shared-memory.ts'
import type { Count } from '../../src/core/cells.ts'
import { kernelMs, systemClock } from '../../src/core/clock.ts'

export const HOT = 4
export const SEATS = 3
export const PASSING = 4000
export const RATE = { perSec: 20_000, burst: 1000 }
/** Int32 words of the report: one too many, takes, refusals, tokens, whether to end, and slots that could not be had. */
export const TOO_MANY = 0
export const TAKEN = 1
export const REFUSED = 2
export const TOKENS = 3
export const IS_OVER = 4
export const NO_SLOT = 5

interface Data {
  memory: SharedMemory
  worker: number
  /** HOT times SEATS: zero or a worker's number plus one. */
  seats: Int32Array
  report: Int32Array
}

function sit(seats: Int32Array, hot: number, worker: number): number | null {
  // A seat may come free behind us.
  for (let tries = 0; tries < 100_000; tries++)
    for (let seat = hot * SEATS; seat < (hot + 1) * SEATS; seat++)
      if (Atomics.compareExchange(seats, seat, 0, worker + 1) === 0) return seat
  return null
}

function run({ memory, worker, seats, report }: Data): void {
  const cells = attach(memory, worker, systemClock.now())
  const hot = Array.from({ length: HOT }, (_, nth) => cells.count(`hot ${nth}`))
  const passing: Count[] = []
  const bucket = cells.bucket('bucket', RATE)
  const held: Array<{ count: Count; seat: number | null }> = []
  let random = worker + 1 + Math.floor(kernelMs())
  const below = (n: number): number => {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0
    return (random >>> 8) % n
  }
  while (Atomics.load(report, IS_OVER) === 0) {
    if (held.length > 40 || (held.length > 0 && below(2) === 0)) {
      const [{ count, seat }] = held.splice(below(held.length), 1) as [(typeof held)[0]]
      if (seat !== null) Atomics.store(seats, seat, 0)
      count.release()
    } else if (below(4) > 0) {
      const nth = below(HOT)
      if (hot[nth]!.take(SEATS)) {
        const seat = sit(seats, nth, worker)
        Atomics.add(report, seat === null ? TOO_MANY : TAKEN, 1)
        held.push({ count: hot[nth]!, seat })
      } else Atomics.add(report, REFUSED, 1)
    } else {
      const count = (passing[0] = cells.count(`passing ${below(PASSING)}`))
      if (count.take(1000)) held.push({ count, seat: null })
      else Atomics.add(report, NO_SLOT, 1)
      cells.bucket(`passing ${below(PASSING)}`, RATE).take(1, systemClock.now())
    }
    if (bucket.take(3, systemClock.now())) Atomics.add(report, TOKENS, 3)
  }
  for (const { count, seat } of held) {
    if (seat !== null) Atomics.store(seats, seat, 0)
    count.release()
  }
}

if (workerData !== null) run(workerData as Data)
