// Ends the connections of an address that went bad, a few at a time: all at once, their clients would come back in one wave
// and meet the addresses that are left. What answers plain requests still gets its answer out (see `HttpConnection.close`).

import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Connection, Place } from '../core/connection.ts'

/** At most a tenth of them a second, and one for each tick at the least. */
const TICK_MS = 100
const TICKS = 100
/** Between two looks for those that are still there: dials that were under way, requests that are being answered. */
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

  /** Spares those that are left. */
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
    // The last one may have given its place back at once.
    if (this.#isStopped) return
    const isDone = this.#left.length === 0
    if (isDone) this.#left = this.#find()
    this.#cancel = this.#clock.after(isDone ? AGAIN_MS : TICK_MS, () => this.#tick())
  }

  /** A dial that is under way fails by itself, and tries elsewhere. */
  #find(): Connection[] {
    return [...this.#connections].filter(({ place, phase }) => place === this.#place && phase !== 'connect')
  }
}
