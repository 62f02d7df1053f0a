// Counters that are kept in plain numbers, and shown at a scrape.

import type { Counter } from './prom-client.ts'

interface Row {
  total: number
  show: (total: number) => void
}
type Branch = Map<string, Branch | Row>

/**
 * A counter of what happens thousands of times a second in a storm: kept in plain numbers, and shown at a scrape. To add costs a look
 * into a table for each label, a tenth of what the counter takes.
 */
export class Tally<T extends string> {
  readonly #counter: Counter<T>
  readonly #rows: Row[] = []
  /** By the values of the labels, in their order. */
  readonly #tree: Branch = new Map()

  constructor(counter: Counter<T>) {
    this.#counter = counter
  }

  /** All labels, in one and the same order each time. */
  add(labels: Readonly<Record<T, string>>, times = 1): void {
    let at: Branch | Row | undefined = this.#tree
    for (const name in labels) {
      at = (at as Branch).get(labels[name])
      if (at === undefined) return void (this.#grow(labels).total += times)
    }
    ;(at as Row).total += times
  }

  #grow(labels: Readonly<Record<T, string>>): Row {
    const row: Row = { total: 0, show: mirror(this.#counter, labels) }
    const values = Object.values<string>(labels)
    let branch = this.#tree
    for (const value of values.slice(0, -1)) {
      const next = (branch.get(value) as Branch | undefined) ?? new Map()
      branch.set(value, next)
      branch = next
    }
    branch.set(values.at(-1)!, row)
    this.#rows.push(row)
    return row
  }

  show(): void {
    for (const { total, show } of this.#rows) show(total)
  }
}

/** A counter whose total is counted elsewhere. It never goes down, whatever it is told. */
export function mirror<T extends string>(counter: Counter<T>, labels: Partial<Record<T, string>>): (total: number) => void {
  let shown = 0
  counter.inc(labels, 0)
  return (total) => {
    if (total <= shown) return
    counter.inc(labels, total - shown)
    shown = total
  }
}
