// Counters kept in plain numbers, and shown at a scrape.

import type { Counter } from './prom-client.ts'
import { Table } from './table.ts'

interface Row {
  labels: Readonly<Record<string, string>>
  total: number
  show: (total: number) => void
}

export class Tally<T extends string> {
  readonly #table: Table<T, Row>

  constructor(counter: Counter<T>) {
    this.#table = new Table((labels) => ({ labels, total: 0, show: mirror(counter, labels) }))
  }

  /** All labels, in the same order each time. */
  add(labels: Readonly<Record<T, string>>, times = 1): void {
    this.#table.find(labels).total += times
  }

  /** All counts so far, by their labels. */
  get rows(): Iterable<{ readonly labels: Readonly<Record<string, string>>; readonly total: number }> {
    return this.#table.rows
  }

  show(): void {
    for (const { total, show } of this.#table.rows) show(total)
  }
}

/** A counter whose total is counted elsewhere. It never goes down, whatever total comes. */
export function mirror<T extends string>(
  counter: Counter<T>,
  labels: Partial<Record<T, string>>,
): (total: number) => void {
  let shown = 0
  counter.inc(labels, 0)
  return (total) => {
    if (total <= shown) return
    counter.inc(labels, total - shown)
    shown = total
  }
}
