// The waiting room of newcomers in doubt: a fleet was asked whether they are over a limit, and has not
// answered. Each newcomer gets its answer once it is known, in order of arrival. One timer serves all of
// them, armed only while somebody waits.
//
// The room is bounded elsewhere: each newcomer holds a place under `limits.connections`, and a fleet that
// does not answer within its time-out counts as away, which ends every doubt.

import type { Clock } from '../core/clock.ts'
import { TURN_MS } from './token-queue.ts'

/** Whether the answer is still unknown. Asked again whenever it may have changed. */
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

  /** Calls `onKnown` once, unless the returned function, which leaves the room, is called first. */
  wait(isOpen: Doubt, onKnown: () => void): () => void {
    const one = { isOpen, onKnown }
    this.#waiting.add(one)
    this.#stop ??= this.#clock.every(TURN_MS, () => this.#onTick())
    return () => this.#leave(one)
  }

  #onTick(): void {
    for (const one of [...this.#waiting]) {
      // The `onKnown` of another newcomer may have made this one leave.
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
