// Bytes a second of each connection, over the last seconds. The path counts bytes anyway but keeps no rate:
// while an operator asks, the counts are sampled and compared. Ten seconds after the last question the
// samples are dropped, so that an unwatched gate pays for this neither in memory nor in time.

import type { Clock } from '../core/clock.ts'
import type { Connection, Registry } from '../core/connection.ts'
import { visitInSlices } from '../admin/slices.ts'

/** With a shorter window a rate jumps with every packet; with a longer one it describes the past. */
const WINDOW_MS = 1000
const FORGET_MS = 10_000

interface Sample {
  at: number
  /** The bytes of both directions by then, by id of the connection. */
  bytes: Map<number, number>
}

export class ConnectionRates {
  readonly #clock: Clock
  readonly #registry: Registry
  /** The sample that rates are compared with, and the next one. */
  #base: Sample | null = null
  #next: Sample | null = null
  #isSampling = false
  #forget: (() => void) | null = null

  constructor(clock: Clock, registry: Registry) {
    this.#clock = clock
    this.#registry = registry
  }

  /** Called once for each question, before `of`. */
  async ask(): Promise<void> {
    const now = this.#clock.now()
    this.#forget?.()
    this.#forget = this.#clock.after(FORGET_MS, () => this.forget())
    if (this.#isSampling || (this.#next !== null && now - this.#next.at < WINDOW_MS)) return
    this.#isSampling = true
    const bytes = new Map<number, number>()
    await visitInSlices(this.#clock, this.#registry, (connection) =>
      bytes.set(connection.id, moved(connection)),
    )
    this.#isSampling = false
    // Forgotten meanwhile: nobody asks any more.
    if (this.#forget === null) return
    this.#base = this.#next
    this.#next = { at: now, bytes }
  }

  /** Null while there is no sample to compare with: at the first question in ten seconds. */
  of(connection: Connection): number | null {
    if (this.#base === null) return null
    const now = this.#clock.now()
    const before = this.#base.bytes.get(connection.id)
    // A connection younger than the sample moved all of its bytes since it was opened.
    const sinceMs = now - (before === undefined ? connection.openedAt : this.#base.at)
    return sinceMs <= 0 ? 0 : Math.max(0, Math.round(((moved(connection) - (before ?? 0)) * 1000) / sinceMs))
  }

  forget(): void {
    this.#forget?.()
    this.#forget = null
    this.#base = this.#next = null
  }
}

/** Bytes received from both peers. */
function moved({ toUpstream, toClient }: Connection): number {
  return toUpstream.received + toClient.received
}
