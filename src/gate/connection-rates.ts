// Bytes a second of each connection, over the last seconds. The path counts bytes anyway and no rate is kept there: while
// somebody asks, what was counted is remembered and compared. Ten seconds after the last question all of it is forgotten, so
// a gate that nobody watches does not pay for this, in memory or in time.

import type { Clock } from '../core/clock.ts'
import type { Connection, Registry } from '../core/connection.ts'
import { visitInSlices } from '../admin/slices.ts'

/** Shorter, and a rate jumps with every packet; longer, and it tells of what is over. */
const WINDOW_MS = 1000
const FORGET_MS = 10_000

interface Sample {
  at: number
  /** What went both ways by then, by id of the connection. */
  bytes: Map<number, number>
}

export class ConnectionRates {
  readonly #clock: Clock
  readonly #registry: Registry
  /** What is compared with; the one that will be. */
  #base: Sample | null = null
  #next: Sample | null = null
  #isSampling = false
  #forget: (() => void) | null = null

  constructor(clock: Clock, registry: Registry) {
    this.#clock = clock
    this.#registry = registry
  }

  /** To be called once for each question, before `of`. */
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
    // Forgotten meanwhile: nobody is there to compare it for.
    if (this.#forget === null) return
    this.#base = this.#next
    this.#next = { at: now, bytes }
  }

  /** Null while there is nothing to compare with: the first question in ten seconds. */
  of(connection: Connection): number | null {
    if (this.#base === null) return null
    const now = this.#clock.now()
    const before = this.#base.bytes.get(connection.id)
    // One that is younger than the sample moved all of its bytes since it was opened.
    const sinceMs = now - (before === undefined ? connection.openedAt : this.#base.at)
    return sinceMs <= 0 ? 0 : Math.max(0, Math.round(((moved(connection) - (before ?? 0)) * 1000) / sinceMs))
  }

  forget(): void {
    this.#forget?.()
    this.#forget = null
    this.#base = this.#next = null
  }
}

/** Bytes that came from either peer. */
function moved({ toUpstream, toClient }: Connection): number {
  return toUpstream.received + toClient.received
}
