// Late answers, and whether they are still few: a fork for a snapshot, a busy neighbour or a lost packet
// delays one, and a Redis that answers the next in time is no outage. One in ten may be late for ever, and
// three in a row.

/** An answer in time makes up for a tenth of a late one. */
const LATE = 10
const MOST = 3 * LATE

export class Lateness {
  #late = 0

  onInTime(): void {
    this.#late = Math.max(0, this.#late - 1)
  }

  /** True if the store may take longer for this one. */
  onLate(): boolean {
    this.#late = Math.min(MOST + LATE, this.#late + LATE)
    return this.#late <= MOST
  }
}
