// A histogram with four classes for each power of two: millions of values in 1.4 KB. A value is known to
// within a quarter of itself; the greatest is exact where `add` got it rather than `addClass`.
//
// A native histogram of node:perf_hooks would be finer than needed, at a hundred times the memory, and cannot
// be summed as plain data.

/** Up to 2^43. */
export const CLASSES = 172

/** The class of a value ≥ 0. */
export function classOf(value: number): number {
  if (value >= 4 && value < 2 ** 30) {
    const power = 31 - Math.clz32(value)
    return 4 * (power - 2) + (value >> (power - 2))
  }
  if (value < 4) return Math.max(0, Math.floor(value))
  const power = Math.floor(Math.log2(value))
  const quarter = Math.floor(value / 2 ** (power - 2)) - 4
  return Math.min(CLASSES - 1, 4 * (power - 1) + quarter)
}

/** The least value of class `index`. */
export function leastOf(index: number): number {
  if (index < 4) return index
  return (4 + (index % 4)) * 2 ** (Math.floor(index / 4) - 1)
}

/** As plain data, to send, keep, and add to others. */
export interface CountsData {
  count: number
  /** Exact, or the upper end of its class. */
  max: number
  /** The count of each class, up to the last that is not empty. */
  classes: number[]
}

export class LogCounts {
  /** Made by the first value. */
  #classes: Float64Array | null = null
  #count = 0
  #max = 0

  add(value: number): void {
    const classes = (this.#classes ??= new Float64Array(CLASSES))
    classes[classOf(value)]!++
    this.#count++
    if (value > this.#max) this.#max = value
  }

  /** Adds a value of which only the class is known. */
  addClass(index: number): void {
    const classes = (this.#classes ??= new Float64Array(CLASSES))
    classes[index]!++
    this.#count++
    this.#max = Math.max(this.#max, leastOf(index + 1) - 1)
  }

  reset(): void {
    this.#classes = null
    this.#count = this.#max = 0
  }

  get data(): CountsData {
    const classes = this.#classes === null ? [] : [...this.#classes]
    return {
      count: this.#count,
      max: this.#max,
      classes: classes.slice(0, classes.findLastIndex((count) => count > 0) + 1),
    }
  }
}

export const noCounts: CountsData = { count: 0, max: 0, classes: [] }

export function sumCounts(one: CountsData, other: CountsData): CountsData {
  const length = Math.max(one.classes.length, other.classes.length)
  return {
    count: one.count + other.count,
    max: Math.max(one.max, other.max),
    classes: Array.from({ length }, (_, index) => (one.classes[index] ?? 0) + (other.classes[index] ?? 0)),
  }
}

/** Raises one of four peaks that share one small integer, each kept as the class of its greatest value. */
export function raised(peaks: number, slot: 0 | 1 | 2 | 3, value: number): number {
  const shift = 8 * slot
  const index = classOf(value)
  return index > ((peaks >>> shift) & 0xff) ? (peaks & ~(0xff << shift)) | (index << shift) : peaks
}

export function peakOf(peaks: number, slot: 0 | 1 | 2 | 3): number {
  return (peaks >>> (8 * slot)) & 0xff
}
