// The waiting room of newcomers of whom nobody knows yet whether they are over a limit: a fleet was asked, and has not answered. Each is
// told once that is known, in the order in which they came. One timer for all of them, armed only while somebody waits.
//
// Bounded by others: who waits holds a place under `limits.connections`, and a fleet that does not answer within its time-out is away,
// which ends every doubt.

import type { Clock } from '../core/clock.ts'
import { TURN_MS } from './token-queue.ts'

/** Whether nobody knows yet. Asked whenever it may have changed. */
export type Doubt = () => boolean

interface Waiting {
  isOpen: Doubt
  onKnown: () => void
}

export class Doubts {
  readonly #clock: Clock
  readonly #waiting = new Set<Waiting>()
  #stop: (() => void) | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Calls `onKnown` once, unless what this returns, which leaves, is called before. */
  wait(isOpen: Doubt, onKnown: () => void): () => void {
    const one = { isOpen, onKnown }
    this.#waiting.add(one)
    this.#stop ??= this.#clock.every(TURN_MS, () => this.#onTick())
    return () => this.#leave(one)
  }

  #onTick(): void {
    for (const one of [...this.#waiting]) {
      // Another's turn may have made it leave.
      if (!this.#waiting.has(one) || one.isOpen()) continue
      this.#leave(one)
      one.onKnown()
    }
  }

  #leave(one: Waiting): void {
    this.#waiting.delete(one)
    if (this.#waiting.size > 0) return
    this.#stop?.()
    this.#stop = null
  }
}
