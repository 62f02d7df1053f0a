// Strain: the demands of a process short of memory on the path. All parts of a gate share one object; the
// memory watch changes it, and the path reads it where it judges a wait or begins work, never for each byte.

import { LocalSum } from './cells.ts'
import { Claims } from './claims.ts'
import type { Sum } from './cells.ts'

/** The bytes that all clients together may send before they have a pair. */
export interface EarlyBudget {
  /** Held by all threads. */
  readonly heldBytes: number
  /** So much is read of them. */
  limitBytes: number
  /**
   * The most that the gate keeps of bytes that came all the same: in one read with a head, or before their
   * turn. More than that ends their client.
   */
  mostBytes: number
  /**
   * Adds to the held bytes (or subtracts), in the turn in which they come: thousands of clients may come
   * between two checks of the memory.
   */
  charge(bytes: number): void
}

/** The heap of this thread, whose limit is a memory of its own. */
export interface HeapWatch {
  /** The share of the heap from which on it is short. */
  refuseAt: number
  /** Whether it is. `bytes`: so many are about to be in it. */
  isShort(bytes: number): boolean
  /** The used share, read anew: from 1 on the process is about to end. */
  read(): number
}

export interface Strain {
  /** The fraction left of every idle deadline: 1 with memory to spare, smaller as memory runs out. */
  idleScale: number
  /** New work is refused with `overloaded`. */
  isRefusing: boolean
  /**
   * Endpoints ask the kernel how much of their queue each peer has taken, so that slow readers are told from
   * stalled ones in time.
   */
  isWatching: boolean
  readonly early: EarlyBudget
  readonly claims: Claims
  readonly heap: HeapWatch
}

/** `sum`: counts over all threads; by default over this one alone. */
export class Budget implements EarlyBudget {
  limitBytes = Number.POSITIVE_INFINITY
  mostBytes = Number.POSITIVE_INFINITY
  readonly #sum: Sum

  constructor(sum: Sum = new LocalSum()) {
    this.#sum = sum
  }

  get heldBytes(): number {
    return this.#sum.total
  }

  charge(bytes: number): void {
    this.#sum.add(bytes)
  }
}

const endless = (): HeapWatch => ({
  refuseAt: Number.POSITIVE_INFINITY,
  isShort: () => false,
  read: () => 0,
})

export function calm(
  early: EarlyBudget = new Budget(),
  claims = new Claims(),
  heap: HeapWatch = endless(),
): Strain {
  return {
    idleScale: 1,
    isRefusing: false,
    isWatching: false,
    early,
    claims,
    heap,
  }
}

/** `connection` is new work, which is refused with `overloaded`. */
export function refuses(strain: Strain, connection: { readonly isOneTooMany: boolean }): boolean {
  return strain.isRefusing || connection.isOneTooMany || strain.heap.isShort(0)
}

/** The verdict of the memory watch, as plain data. */
export interface StrainLevel {
  idleScale: number
  isRefusing: boolean
  isWatching: boolean
  /** `memory.refuseAt`. */
  refuseAt: number
  /** Of `memory.buffered`, in bytes. */
  bufferedBytes: number
  /** Up to `memory.refuseAt`, less a margin; Infinity: nothing bounds it. */
  roomBytes: number
}

/**
 * The share of `memory.buffered` for bytes read of clients ahead of their upstream: all of it may come
 * between two looks.
 */
const READ_SHARE = 0.25
/**
 * The share for those of them that the gate keeps: less than the share at which it refuses others, so that
 * clients whose upstream is away shut nobody out.
 */
const KEPT_SHARE = 0.75

export function impose(strain: Strain, { bufferedBytes, roomBytes, refuseAt, ...level }: StrainLevel): void {
  Object.assign(strain, level)
  strain.heap.refuseAt = refuseAt
  strain.claims.roomBytes = roomBytes
  strain.early.limitBytes = bufferedBytes * READ_SHARE
  strain.early.mostBytes = bufferedBytes * KEPT_SHARE
}
