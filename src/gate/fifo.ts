// A queue that drops its oldest: items in the order in which they came. A drop moves the rest only now and
// then, and lets go of its item at once.

/** Empty places go once they are as many as this, and as many as the items. */
const SLACK = 64

export class Fifo<T> {
  #items: (T | undefined)[] = []
  #dropped = 0

  get length(): number {
    return this.#items.length - this.#dropped
  }

  /** The item `back` places from the newest, which is at 1; undefined beyond the oldest. */
  at(back: number): T | undefined {
    return this.#items.at(-back)
  }

  push(item: T): void {
    this.#items.push(item)
  }

  dropOldest(): void {
    if (this.length === 0) return
    this.#items[this.#dropped++] = undefined
    if (this.#dropped < Math.max(SLACK, this.length)) return
    this.#items = this.#items.slice(this.#dropped)
    this.#dropped = 0
  }
}
