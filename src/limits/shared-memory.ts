// Cells in shared memory: one set of limits for all worker threads of a process.
//
//     operator   const memory = makeSharedMemory({ workers: 4, clients: 20_000 })    once, before the first worker
//                GateSettings { memory, worker: 2, ... }                             the same memory to each; `worker` is 0..workers-1
//     gate       attach(memory, worker, clock.now())                                 once, at its start (shared-cells.ts); gate.ts hands the
//                                                                                    cells to whatever limits
//     operator   on 'exit' of worker 2, before another one gets its number:
//                giveBack(memory, 2)   until it answers true
//
// Counts are exact: one word says how many are held, and a swap of it is what takes a place; so never one more than the limit, whatever
// the interleaving. Next to it stands how many of them each worker holds. `giveBack(worker)` returns those, and what the worker had begun:
// it may have ended between the two steps of a take. Its trace says at which cell; there what is held in all and by each is compared in
// a moment when nobody else is between the steps, and the difference is what it left. Such a moment may not come at once: then the
// answer is false, everything else is given back already, and the caller asks again, a few milliseconds later.
//
// Rates are generic cell rates: the word is the time at which the bucket is full again, and what is let through puts it off. A swap
// takes the tokens, so what `take` lets through is within rate x time + burst for all workers together; they read one clock,
// the kernel's, to the millisecond.
//
// Nothing here sends a message or waits, but for a client that is new to all workers: its slot is put in under a lock, for some
// hundred nanoseconds. A client finds no slot only if the 32 places where it may lie are all held by clients with open connections; it is
// refused then. Buckets that are not full are forgotten if as many new ones come, those first that are full again soonest.

import { kernelMs } from '../core/clock.ts'
import { bytesForSlots, Slots, valueOf } from './slots.ts'

/** 16 ns: at 10 GiB/s 160 bytes, and 36 years fit. */
export const UNITS_PER_MS = 62_500
/** Buckets of a client that may be on at once: of new connections, of bytes and messages either way. */
const BUCKETS_PER_CLIENT = 5
/** For listeners, addresses of upstreams, and the process. */
const OTHERS = 1024
const MIN_SLOTS = 2048
const MAX_SLOTS = 2 ** 20
/** Int32 words of a worker: the slot of its step, the count of its steps (odd: it is in one), whether it has ended, and its sums. */
export const STEP_SLOT = 0
export const STEPS = 1
export const ENDED = 2
export const SUMS = 3
/** The number of a sum: what clients send before there is a pair for them. */
export const EARLY_SUM = 0
export const MAX_SUMS = 5
export const WORKER_WORDS = SUMS + MAX_SUMS
const SNAPSHOTS = 2000

export interface SharedMemory {
  readonly workers: number
  readonly countSlots: number
  readonly bucketSlots: number
  /** Milliseconds of the kernel's monotonic clock when it was made. */
  readonly epochMs: number
  readonly bytes: SharedArrayBuffer
}

/** `clients`: how many may have connections at once, over all listeners that limit clients; beyond a million they share slots. */
export function makeSharedMemory({ workers, clients }: { workers: number; clients: number }): SharedMemory {
  const countSlots = slotsFor(clients + OTHERS)
  const bucketSlots = slotsFor(Math.min(clients, 20_000) * BUCKETS_PER_CLIENT + OTHERS)
  const layout = { workers, countSlots, bucketSlots, epochMs: kernelMs() }
  const memory = { ...layout, bytes: new SharedArrayBuffer(offsetsOf(layout).end) }
  const { counts, buckets } = parts(memory, 0)
  for (const slots of [counts, buckets]) slots.seed(randomWord(), randomWord())
  return memory
}

/**
 * What a worker held is free again; the operator asks when its thread has ended, until it is true. False: another worker is between
 * two steps at the cell at which that one ended.
 */
export function giveBack(memory: SharedMemory, worker: number): boolean {
  const shared = parts(memory, worker)
  const { counts, buckets, workers, held } = shared
  const base = worker * WORKER_WORDS
  Atomics.store(workers, base + ENDED, 1)
  counts.recover(worker)
  buckets.recover(worker)
  for (let sum = 0; sum < MAX_SUMS; sum++) Atomics.store(workers, base + SUMS + sum, 0)
  const isSettled = settle(shared, memory.workers, base)
  // Where it is not settled, what is written down may be one too many.
  const open = isSettled ? -1 : Atomics.load(workers, base + STEP_SLOT)
  for (let slot = 0; slot < counts.capacity; slot++) {
    if (slot === open) continue
    const mine = Atomics.exchange(held, slot * memory.workers + worker, 0)
    if (mine !== 0) change(counts, slot, -mine)
  }
  return isSettled
}

export interface Parts {
  readonly counts: Slots
  readonly buckets: Slots
  readonly workers: Int32Array
  /** By slot, and in it by worker. */
  readonly held: Int32Array
  readonly stride: number
}

export function parts({ bytes, ...layout }: SharedMemory, worker: number): Parts {
  const { countSlots, bucketSlots, workers, epochMs } = layout
  const offsets = offsetsOf(layout)
  return {
    counts: new Slots(bytes, { offset: offsets.counts, capacity: countSlots, worker }, () => 0),
    buckets: new Slots(bytes, { offset: offsets.buckets, capacity: bucketSlots, worker }, () =>
      Math.floor((kernelMs() - epochMs) * UNITS_PER_MS),
    ),
    workers: new Int32Array(bytes, offsets.workers, workers * WORKER_WORDS),
    held: new Int32Array(bytes, offsets.held, countSlots * workers),
    stride: workers,
  }
}

function offsetsOf({ workers, countSlots, bucketSlots }: Omit<SharedMemory, 'bytes'>) {
  const buckets = bytesForSlots(countSlots)
  const heads = buckets + bytesForSlots(bucketSlots)
  const held = heads + workers * WORKER_WORDS * 4
  return { counts: 0, buckets, workers: heads, held, end: held + countSlots * workers * 4 }
}

/** At most half full, so that a window of them never is. */
function slotsFor(entries: number): number {
  return Math.min(MAX_SLOTS, Math.max(MIN_SLOTS, 2 ** Math.ceil(Math.log2(entries * 2))))
}

/** The step that the worker had begun at the cell of its last step, if it is in one. */
function settle({ counts, workers, held }: Parts, count: number, base: number): boolean {
  if (Atomics.load(workers, base + STEPS) % 2 === 0) return true
  const slot = Atomics.load(workers, base + STEP_SLOT)
  for (let tries = 0; tries < SNAPSHOTS; tries++) {
    const before = stepsOf(workers, slot)
    if (before === null) continue
    let rest = valueOf(counts.word(slot))
    for (let worker = 0; worker < count; worker++) rest -= Atomics.load(held, slot * count + worker)
    if (stepsOf(workers, slot) !== before) continue
    change(counts, slot, -rest)
    Atomics.add(workers, base + STEPS, 1)
    return true
  }
  return false
}

/** How many steps all have made; null while one that has not ended is at that slot. */
function stepsOf(workers: Int32Array, slot: number): number | null {
  let sum = 0
  for (let base = 0; base < workers.length; base += WORKER_WORDS) {
    const steps = Atomics.load(workers, base + STEPS)
    const isIn = steps % 2 !== 0 && Atomics.load(workers, base + ENDED) === 0
    if (isIn && Atomics.load(workers, base + STEP_SLOT) === slot) return null
    sum += steps
  }
  return sum
}

function change(slots: Slots, slot: number, by: number): void {
  if (by === 0) return
  let word = slots.word(slot)
  while (!slots.swap(slot, word, valueOf(word) + by)) word = slots.word(slot)
}

function randomWord(): number {
  return Math.floor(Math.random() * 2 ** 32) | 0
}
