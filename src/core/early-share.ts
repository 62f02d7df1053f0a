// The part of one client in what all clients may have waiting before their upstream is there
// (`Strain.early`): its bytes, and its head.
//
// A head waits as text in V8's heap, whose limit is far below the container's: thousands of large ones end
// the process before the memory looks short. Heads of ordinary size do not count: they cost no more than
// their connections, and a client that brings one is served however much the others have waiting.

import type { EarlyBudget } from './strain.ts'

/** Bytes of a head that count for nothing. */
export const ORDINARY_HEAD = 2048
/** The heap is half of a container. */
const HEAD_WEIGHT = 2

export class EarlyShare {
  readonly #budget: EarlyBudget
  /** Taken of the budget. */
  #bytes = 0
  /** Taken of it for a head. */
  #headBytes = 0

  constructor(budget: EarlyBudget) {
    this.#budget = budget
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Takes room for a read of so many bytes; false if there is none. */
  reserve(bytes: number): boolean {
    const total = Math.max(bytes, this.#bytes)
    if (this.#others + total > this.#budget.limitBytes) return false
    this.settle(total)
    return true
  }

  /** So many bytes of this client, which are there already, may wait. */
  hasRoom(bytes: number): boolean {
    return this.#others + bytes <= this.#budget.mostBytes
  }

  /** So many wait. */
  settle(bytes: number): void {
    this.#budget.charge(bytes - this.#bytes)
    this.#bytes = bytes
  }

  /** A head of so many bytes waits, which are there already; false if there is no room for it. */
  weighHead(bytes: number): boolean {
    const more = HEAD_WEIGHT * Math.max(0, bytes - ORDINARY_HEAD) - this.#headBytes
    if (more > 0 && this.#budget.heldBytes + more > this.#budget.mostBytes) return false
    if (more === 0) return true
    this.#budget.charge(more)
    this.#headBytes += more
    return true
  }

  get #others(): number {
    return this.#budget.heldBytes - this.#bytes
  }
}
