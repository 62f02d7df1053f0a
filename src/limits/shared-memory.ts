// Cells in shared memory: one set of limits for all worker threads of a process.
//
//     operator   const memory = makeSharedMemory({ workers: 4, clients: 20_000 })    once, before the first worker
//                GateSettings { memory, worker: 2, ... }       the same memory to each; `worker` is 0..workers-1
//     gate       attach(memory, worker, clock.now())           once, at its start (shared-cells.ts); gate.ts hands
//                                                              the cells to its limits
//     operator   on 'exit' of worker 2, before another worker gets its number:
//                giveBack(memory, 2)   until it returns true
//
// Counts are exact: one word says how many places are held, and a compare-and-swap of this word takes a
// place, so the count never exceeds the limit, whatever the interleaving. Beside the word stands how many
// places each worker holds. `giveBack(worker)` returns those, and a step that the worker had begun: it may
// have ended between the two steps of a take. Its trace names the cell; `giveBack` compares that cell's total
// with the sum of all workers' parts at a moment when no other worker is between the steps, and the
// difference is what the worker left. If such a moment does not come at once, `giveBack` returns false, with
// everything else given back already, and the caller asks again, a few milliseconds later.
//
// Rates are generic cell rates: the word is the time at which the bucket is full again, and each taken token
// puts it off. A compare-and-swap takes the tokens, so `take` lets through at most rate x time + burst for
// all workers together; the workers read one clock, the kernel's, to the millisecond.
//
// Nothing here sends a message or waits, except for a client that is new to all workers: its slot is entered
// under a lock, for some hundred nanoseconds. A client finds no slot, and is refused, only if clients with
// open connections hold all of its 32 possible slots. When new buckets need room, buckets that are not full
// are forgotten too, those first that are full again soonest.

import { kernelMs } from '../core/clock.ts'
import { bytesForSlots, Slots, valueOf } from './slots.ts'

/** A unit is 16 ns: 160 bytes at 10 GiB/s, and 36 years fit. */
export const UNITS_PER_MS = 62_500
/** The buckets that one client may use at once: for new connections, for bytes and messages either way. */
const BUCKETS_PER_CLIENT = 5
/** Slots for listeners, upstream addresses, and the process. */
const OTHERS = 1024
const MIN_SLOTS = 2048
const MAX_SLOTS = 2 ** 20
/**
 * The Int32 words of a worker: the slot of its step, the number of its steps (odd: inside one), whether the
 * worker has ended, and its sums.
 */
export const STEP_SLOT = 0
export const STEPS = 1
export const ENDED = 2
export const SUMS = 3
/** The number of the sum of early bytes: those that clients send before they have a pair. */
export const EARLY_SUM = 0
/** And of claims: memory that begun work is expected to take. */
export const CLAIMS_SUM = 1
const MAX_SUMS = 5
export const WORKER_WORDS = SUMS + MAX_SUMS
const SNAPSHOTS = 2000

export interface SharedMemory {
  readonly workers: number
  readonly countSlots: number
  readonly bucketSlots: number
  /** Milliseconds of the kernel's monotonic clock when the memory was made. */
  readonly epochMs: number
  readonly bytes: SharedArrayBuffer
}

/**
 * `clients`: how many may have connections at once, over all listeners that limit clients; beyond a million,
 * clients share slots.
 */
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
 * Frees what a worker held; the operator calls it once the thread has ended, until it returns true. False:
 * another worker is between two steps at the cell where this worker ended.
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
  // While it is not settled, the noted number may be one too many.
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
  /** Indexed by slot, then by worker. */
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

/** At most half of the slots are in use, so that a key's window is never full. */
function slotsFor(entries: number): number {
  return Math.min(MAX_SLOTS, Math.max(MIN_SLOTS, 2 ** Math.ceil(Math.log2(entries * 2))))
}

/** Settles the step that the ended worker had begun; true if it had begun none, or once it is settled. */
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

/** The number of steps of all workers; null while a living worker is inside a step at `slot`. */
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
