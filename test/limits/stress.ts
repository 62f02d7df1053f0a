// The stress of shared cells with real threads, for as long as you ask; it ends some of them at random
// moments, and gives back what they held. By hand: node test/limits/stress.ts 30

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { attach } from '../../src/limits/shared-cells.ts'
import { giveBack, makeSharedMemory } from '../../src/limits/shared-memory.ts'
import type { SharedMemory } from '../../src/limits/shared-memory.ts'
import { kernelMs } from '../../src/core/clock.ts'
import {
  HOT,
  IS_OVER,
  NO_SLOT,
  PASSING,
  RATE,
  REFUSED,
  SEATS,
  TAKEN,
  TOKENS,
  TOO_MANY,
} from './stress-worker.ts'

export interface StressResult {
  tooMany: number
  taken: number
  refused: number
  /** Over what the rate allows; at most zero. */
  tokensOver: number
  /** Threads that were ended, and calls of giveBack that had to be made again. */
  ended: number
  again: number
  /** Places that nobody holds, when all are gone. */
  left: number
  /** The lock's owner was put off by the kernel for as long as one waits. */
  noSlot: number
}

export interface StressOptions {
  /** It is over when one of these is reached. */
  ms?: number
  takes?: number
  ends?: number
  /** A thread is ended so often; without it none is. */
  endEveryMs?: number
}

const THREADS = 3
/** Between two looks whether it is over. */
const LOOK_MS = 20

export async function stress(options: StressOptions): Promise<StressResult> {
  const { ms = Infinity, takes = Infinity, ends = Infinity, endEveryMs = Infinity } = options
  const memory = makeSharedMemory({ workers: THREADS, clients: 0 })
  const seats = new Int32Array(new SharedArrayBuffer(HOT * SEATS * 4))
  const report = new Int32Array(new SharedArrayBuffer(32))
  const from = kernelMs()
  const isEnding = Number.isFinite(endEveryMs)
  const result = { ended: 0, again: 0 }
  const start = async (worker: number): Promise<Worker> => {
    const thread = new Worker(new URL('stress-worker.ts', import.meta.url), {
      workerData: { memory, worker, seats, report },
    })
    await once(thread, 'online')
    return thread
  }
  const running = await Promise.all(Array.from({ length: THREADS }, (_, worker) => start(worker)))
  while (kernelMs() < from + ms && report[TAKEN]! < takes && result.ended < ends) {
    await delay(Math.min(LOOK_MS, endEveryMs) * (0.5 + Math.random()))
    if (!isEnding) continue
    const worker = Math.floor(Math.random() * THREADS)
    await running[worker]!.terminate()
    result.ended++
    for (const [seat, owner] of seats.entries())
      if (owner === worker + 1) Atomics.compareExchange(seats, seat, owner, 0)
    while (!giveBack(memory, worker)) {
      result.again++
      await delay(1)
    }
    running[worker] = await start(worker)
  }
  Atomics.store(report, IS_OVER, 1)
  await Promise.all(running.map((thread) => once(thread, 'exit')))
  const allowed = RATE.burst + ((kernelMs() - from + 2) * RATE.perSec) / 1000
  return {
    ...result,
    tooMany: report[TOO_MANY]!,
    taken: report[TAKEN]!,
    refused: report[REFUSED]!,
    tokensOver: report[TOKENS]! - allowed,
    left: heldIn(memory),
    noSlot: report[NO_SLOT]!,
  }
}

function heldIn(memory: SharedMemory): number {
  const cells = attach(memory, 0, 0)
  const names = [
    ...Array.from({ length: HOT }, (_, nth) => `hot ${nth}`),
    ...Array.from({ length: PASSING }, (_, nth) => `passing ${nth}`),
  ]
  return names.reduce((sum, name) => sum + cells.count(name).held, 0)
}

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 30)
  console.log('all live', await stress({ ms: (seconds * 1000) / 2 }))
  console.log('some end', await stress({ ms: (seconds * 1000) / 2, endEveryMs: 20 }))
}
