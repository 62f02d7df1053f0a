// The idle times after which services have ended kept connections lately, by address. The gate keeps them,
// since a reload may give a listener another upstream with pools of its own, in front of the same service.

/** How long it is remembered that a service closed an idle connection. */
export const MEMORY_MS = 60_000
/** Above so many addresses, those that no service has closed a connection of lately are forgotten. */
const MOST_KNOWN = 1024

export class IdleEnd {
  #afterMs = Number.POSITIVE_INFINITY
  #at = Number.NEGATIVE_INFINITY

  /** The shortest idle time of an end lately; Infinity where there was none. */
  afterMs(now: number): number {
    return this.isForgotten(now) ? Number.POSITIVE_INFINITY : this.#afterMs
  }

  isForgotten(now: number): boolean {
    return now - this.#at >= MEMORY_MS
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
