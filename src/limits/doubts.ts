// The waiting room of newcomers in doubt: a fleet was asked whether they are over a limit, and has not
// answered, or the connection that they come for may be leaving. Each newcomer gets its answer once it is
// known, in order of arrival. One timer serves all of them, armed only while somebody waits.
//
// The room is bounded elsewhere: each newcomer holds a place under `limits.connections`, and a fleet that
// does not answer counts as away after twice its time-out and half a second, which ends every doubt.

import type { Clock } from '../core/clock.ts'

/** How often it is asked whether an answer has come: a Redis close by answers within a millisecond or two. */
export const LOOK_MS = 4

/** Whether the answer is still unknown. Asked again whenever it may have changed. */
export interface Doubt {
  (): boolean
  /** Counts those of its kind that wait, whose number is bounded. */
  kind?: { waiting: number }
}

interface Waiting {
  isOpen: Doubt
  onKnown: () => void
}

export class Doubts {
  readonly #clock: Clock
  readonly #waiting = new Set<Waiting>()
  #stop: (() => void) | null = null
  /** A look before the next tick is due. */
  #isLooking = false
  /** How often the timer has fired: a measure of time for those that wait. */
  ticks = 0

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
    if (isOpen.kind !== undefined) isOpen.kind.waiting++
    this.#stop ??= this.#clock.every(LOOK_MS, () => {
      this.ticks++
      this.#look()
    })
    return () => this.#leave(one)
  }

  /** A place has become free: looks in the next turn, not at the next tick. */
  look(): void {
    if (this.#waiting.size === 0 || this.#isLooking) return
    this.#isLooking = true
    this.#clock.nextTurn(() => {
      this.#isLooking = false
      this.#look()
    })
  }

  #look(): void {
    for (const one of [...this.#waiting]) {
      // The `onKnown` of another newcomer may have made this one leave.
      if (!this.#waiting.has(one) || one.isOpen()) continue
      this.#leave(one)
      one.onKnown()
    }
  }

  #leave(one: Waiting): void {
    if (!this.#waiting.delete(one)) return
    if (one.isOpen.kind !== undefined) one.isOpen.kind.waiting--
    if (this.#waiting.size > 0) return
    this.#stop?.()
    this.#stop = null
  }
}
