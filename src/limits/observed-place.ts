// A connection that `connectionsPerClient` lets on because it only observes. It is judged as an enforced
// limit judges it: it may wait for the connection that it replaces, and where it is over the limit it holds
// no place, so that the next ones are judged as if it were not there. It is served all the while.
//
//     new CountedLater --a place came free--> placed                     released like others
//           |    +------nothing came--------> over, which is reported    holds nothing
//           +--end()--> gone, as a client that leaves the wait

import type { Count } from '../core/cells.ts'
import type { ObservedPlace } from '../core/connection.ts'
import type { Doubt, Doubts } from './doubts.ts'

export interface ObservedPlaceContext {
  count: Count
  /** The limit at that time. */
  max: () => number
  /** Those of its client that are open and have no place. */
  open: Set<CountedLater>
  onOver: () => void
}

export class CountedLater implements ObservedPlace {
  isPlaced = false
  readonly #context: ObservedPlaceContext
  #stopWaiting: (() => void) | null = null

  constructor(context: ObservedPlaceContext) {
    this.#context = context
    context.open.add(this)
  }

  /** Waits while `isOpen`; without a doubt it is over the limit. */
  judge(isOpen: Doubt | null, doubts: Doubts | null): void {
    if (isOpen === null || doubts === null) return this.#context.onOver()
    this.#stopWaiting = doubts.wait(isOpen, () => {
      this.#stopWaiting = null
      const { count, max, open, onOver } = this.#context
      if (!count.take(max())) return onOver()
      this.isPlaced = true
      open.delete(this)
    })
  }

  /** The limit is enforced from now on, and counts all that are open. */
  place(): void {
    if (!this.isPlaced) this.#context.count.take(Number.POSITIVE_INFINITY)
    this.isPlaced = true
    this.end()
  }

  end(): void {
    this.#stopWaiting?.()
    this.#stopWaiting = null
    this.#context.open.delete(this)
  }
}
