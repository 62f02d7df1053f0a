// The queue of waiters for buckets: each gets its turn in order of arrival. One timer serves all of them,
// armed only while somebody waits, so limits that nobody exceeds cost nothing.
//
// A waiter gets a turn only while the bucket holds what the turn needs. A waiter that is not done queues up
// again, so sharers of a bucket take turns, however greedy one of them is.

import type { Tokens } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'

/** Between two rounds. A longer gap makes a delayed stream jerk, a shorter one costs more than it moves. */
export const TURN_MS = 20

export interface Waiter {
  /** Tokens without which a turn is in vain. */
  readonly needs: number
  /** The bucket holds them. Returns how many this waiter will take later, reserved in this round. */
  onTurn(now: number): number
}

/**
 * The least burst with which a bucket that delays keeps its rate: a smaller one would overflow with what one
 * turn needs and what flows in between two rounds (one of which may be late).
 */
export function roomyBurst(burst: number, perSec: number, needs: number): number {
  return Math.max(burst, needs + (perSec * 2 * TURN_MS) / 1000)
}

export class TokenQueue {
  readonly #clock: Clock
  readonly #queues = new Map<Tokens, Set<Waiter>>()
  #stop: (() => void) | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Puts `waiter` last in the queue for `bucket`, unless it is in it. */
  wait(bucket: Tokens, waiter: Waiter): void {
    let queue = this.#queues.get(bucket)
    if (queue === undefined) this.#queues.set(bucket, (queue = new Set()))
    queue.add(waiter)
    this.#stop ??= this.#clock.every(TURN_MS, () => this.#onTick())
  }

  /** The waiter had its turn elsewhere, or is gone. */
  leave(bucket: Tokens, waiter: Waiter): void {
    const queue = this.#queues.get(bucket)
    if (queue === undefined) return
    queue.delete(waiter)
    if (queue.size === 0) this.#queues.delete(bucket)
    if (this.#queues.size === 0) this.#halt()
  }

  /** How many wait. */
  get waiting(): number {
    let sum = 0
    for (const queue of this.#queues.values()) sum += queue.size
    return sum
  }

  #onTick(): void {
    const now = this.#clock.now()
    for (const [bucket, queue] of [...this.#queues]) this.#giveTurns(bucket, queue, now)
    if (this.#queues.size === 0) this.#halt()
  }

  #giveTurns(bucket: Tokens, queue: Set<Waiter>, now: number): void {
    let promised = 0
    // Only as many as wait now: a waiter that queues up again waits for the next round.
    let left = queue.size
    for (const waiter of queue) {
      if (left-- === 0 || !bucket.has(promised + waiter.needs, now)) break
      queue.delete(waiter)
      promised += waiter.onTurn(now)
    }
    if (queue.size === 0 && this.#queues.get(bucket) === queue) this.#queues.delete(bucket)
  }

  #halt(): void {
    this.#stop?.()
    this.#stop = null
  }
}
