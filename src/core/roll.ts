// What comes and goes in great numbers, under numbers that grow: as a Map of them in the order of their coming, but without what a Map leaves behind.
//
// A Map that grows holes makes itself anew, and its old table points at the new one. Once one of these tables is old to the collector, all that
// follow live until its next full round, with what was in them when they were left: nearly all that had come and gone since. Here nothing points on.

const SLACK = 16

export class Roll<T> {
  /** In order. Those of a place in `#items` that is empty are gone. */
  readonly #numbers: number[] = []
  readonly #items: Array<T | null> = []
  #size = 0
  /** How often the rest has moved together. */
  #moves = 0

  get size(): number {
    return this.#size
  }

  /** `number` is greater than all before. */
  add(number: number, item: T): void {
    this.#numbers.push(number)
    this.#items.push(item)
    this.#size++
  }

  get(number: number): T | undefined {
    const at = this.#placeFrom(number)
    return this.#numbers[at] === number ? (this.#items[at] ?? undefined) : undefined
  }

  /** True if it was there. */
  delete(number: number, item: T): boolean {
    const at = this.#placeFrom(number)
    if (this.#numbers[at] !== number || this.#items[at] !== item) return false
    this.#items[at] = null
    this.#size--
    if (2 * this.#size + SLACK < this.#items.length) this.#moveUp()
    return true
  }

  /** The first place of a number that is no less. */
  #placeFrom(number: number): number {
    const numbers = this.#numbers
    let [from, to] = [0, numbers.length]
    while (from < to) {
      const middle = (from + to) >>> 1
      if (numbers[middle]! < number) from = middle + 1
      else to = middle
    }
    return from
  }

  #moveUp(): void {
    const [numbers, items] = [this.#numbers, this.#items]
    let to = 0
    for (let from = 0; from < items.length; from++) {
      if (items[from] === null) continue
      numbers[to] = numbers[from]!
      items[to++] = items[from]!
    }
    numbers.length = items.length = to
    this.#moves++
  }

  /** Those that come and go meanwhile do no harm. */
  *[Symbol.iterator](): IterableIterator<T> {
    let moves = this.#moves
    for (let at = 0; at < this.#items.length; at++) {
      const item = this.#items[at]!
      if (item === null) continue
      const number = this.#numbers[at]!
      yield item
      if (moves === this.#moves) continue
      moves = this.#moves
      at = this.#placeFrom(number + 1) - 1
    }
  }
}
