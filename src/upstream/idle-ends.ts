// What kept connections have shown of their services lately, by address: after which idle time one was ended,
// and whether one had bytes that no request had asked for. The gate keeps it, since a reload may give a
// listener another upstream with pools of its own, in front of the same service.

/** How long it is remembered that a service closed an idle connection. */
export const MEMORY_MS = 60_000
/** How long it is remembered that a service sent bytes that no request had asked for. */
export const STRAYS_MS = 600_000
/** Above so many addresses, those that no service has closed a connection of lately are forgotten. */
const MOST_KNOWN = 1024

export class IdleEnd {
  #afterMs = Number.POSITIVE_INFINITY
  #at = Number.NEGATIVE_INFINITY
  #strayedAt = Number.NEGATIVE_INFINITY

  /** The shortest idle time of an end lately; Infinity where there was none. */
  afterMs(now: number): number {
    return this.#hasNoEnd(now) ? Number.POSITIVE_INFINITY : this.#afterMs
  }

  isForgotten(now: number): boolean {
    return this.#hasNoEnd(now) && !this.hasStrays(now)
  }

  #hasNoEnd(now: number): boolean {
    return now - this.#at >= MEMORY_MS
  }

  /** The service has sent bytes behind an answer, which no request had asked for. */
  stray(now: number): void {
    this.#strayedAt = now
  }

  /** Bytes that a service sends late may meet another client's request, on its way to the same connection. */
  hasStrays(now: number): boolean {
    return now - this.#strayedAt < STRAYS_MS
  }

  /** The service has closed a connection after this idle time. */
  learn(idleMs: number, now: number): void {
    if (idleMs > this.afterMs(now)) return
    this.#afterMs = idleMs
    this.#at = now
  }
}

export class IdleEnds {
  readonly #known = new Map<string, IdleEnd>()

  of(address: string, now: number): IdleEnd {
    let end = this.#known.get(address)
    if (end !== undefined) return end
    if (this.#known.size >= MOST_KNOWN) this.#forget(now)
    this.#known.set(address, (end = new IdleEnd()))
    return end
  }

  #forget(now: number): void {
    for (const [address, end] of this.#known) if (end.isForgotten(now)) this.#known.delete(address)
  }
}
