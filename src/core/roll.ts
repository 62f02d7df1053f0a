// A large collection of items under growing numbers: a Map of them in order of arrival, without the garbage
// that a Map leaves behind.
//
// A Map that grows holes rebuilds itself, and its old table points at the new one. Once the collector counts
// one of these tables as old, all that follow live until its next full round, with the items that they held
// when the Map left them: nearly all that came and went since. Here no table points to another.

const SLACK = 16

export class Roll<T> {
  /** In order. Where `#items` has null, the number's item is gone. */
  readonly #numbers: number[] = []
  readonly #items: Array<T | null> = []
  #size = 0
  /** How often the items were moved together. */
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

  /** True if the item was there. */
  delete(number: number, item: T): boolean {
    const at = this.#placeFrom(number)
    if (this.#numbers[at] !== number || this.#items[at] !== item) return false
    this.#items[at] = null
    this.#size--
    if (2 * this.#size + SLACK < this.#items.length) this.#moveUp()
    return true
  }

  /** The first place whose number is not less than `number`. */
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

  /** Items may come and go during the iteration. */
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
