// The part of one client in what all clients may have waiting before their upstream is there
// (`Strain.early`).

import type { EarlyBudget } from './strain.ts'

export class EarlyShare {
  readonly #budget: EarlyBudget
  /** Taken of the budget. */
  #bytes = 0

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

  get #others(): number {
    return this.#budget.heldBytes - this.#bytes
  }
}
