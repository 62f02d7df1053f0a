// An eviction: ends the connections of an address that went bad, a few at a time. Ended all at once, their
// clients would come back in one wave and meet the remaining addresses. A connection that is answering a
// plain request still finishes its answer (see `HttpConnection.close`).

import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Connection, Place } from '../core/connection.ts'

/** An eviction ends at most a tenth of the connections a second, and at least one in each tick. */
const TICK_MS = 100
const TICKS = 100
/**
 * The pause between two searches for remaining connections: dials that were under way, requests that are
 * being answered.
 */
const AGAIN_MS = 1000

export class Eviction {
  readonly #clock: Clock
  readonly #connections: Iterable<Connection>
  readonly #place: Place
  readonly #detail: string
  readonly #batch: number
  #left: Connection[]
  #cancel: () => void
  #isStopped = false

  constructor(place: Place, detail: string, clock: Clock, connections: Iterable<Connection>) {
    this.#clock = clock
    this.#connections = connections
    this.#place = place
    this.#detail = detail
    this.#left = this.#find()
    this.#batch = Math.max(1, Math.floor(this.#left.length / TICKS))
    this.#cancel = clock.after(TICK_MS, () => this.#tick())
  }

  /** Spares the remaining connections. */
  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }

  #tick(): void {
    for (let ended = 0; ended < this.#batch && this.#left.length > 0;) {
      const connection = this.#left.pop()!
      if (connection.place !== this.#place || connection.end !== null) continue
      ended++
      connection.owner?.close(makeClose('upstream_unhealthy', 'upstream', connection.phase, this.#detail))
    }
    // Closing the last connection may have released its place and stopped this eviction.
    if (this.#isStopped) return
    const isDone = this.#left.length === 0
    if (isDone) this.#left = this.#find()
    this.#cancel = this.#clock.after(isDone ? AGAIN_MS : TICK_MS, () => this.#tick())
  }

  /** Skips dials: a dial that is under way fails by itself and tries another address. */
  #find(): Connection[] {
    return [...this.#connections].filter(({ place, phase }) => place === this.#place && phase !== 'connect')
  }
}
