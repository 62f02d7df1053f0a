// Histograms kept in plain numbers, and shown at a scrape: prom-client's own costs 1 us for each value.

import type { Metric, Registry } from './prom-client.ts'
import { Table } from './table.ts'

export interface DistributionOptions<T extends string> {
  name: string
  help: string
  labelNames?: readonly T[]
  /** Upper bounds, ascending. */
  buckets: readonly number[]
  registry: Registry
}

interface Row {
  labels: Readonly<Record<string, string>>
  /** The count of each bucket alone; values above the last bound are in `count` only. */
  counts: number[]
  sum: number
  count: number
}

/** One of prom-client's metrics, as far as a registry uses it. */
export class Distribution<T extends string = never> {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly T[]
  readonly type = 'histogram'
  readonly aggregator = 'sum'
  readonly #bounds: readonly number[]
  readonly #table: Table<T, Row>

  constructor({ name, help, labelNames = [], buckets, registry }: DistributionOptions<T>) {
    this.name = name
    this.help = help
    this.labelNames = labelNames
    this.#bounds = buckets
    this.#table = new Table((labels) => ({ labels, counts: buckets.map(() => 0), sum: 0, count: 0 }))
    if (labelNames.length === 0) this.zero({} as Record<T, string>)
    registry.registerMetric(this as unknown as Metric)
  }

  /** Creates the series of these labels. */
  zero(labels: Readonly<Record<T, string>>): void {
    this.#table.find(labels)
  }

  observe(labels: Readonly<Record<T, string>>, value: number): void {
    const row = this.#table.find(labels)
    row.sum += value
    row.count++
    const bounds = this.#bounds
    for (let i = 0; i < bounds.length; i++) if (value <= bounds[i]!) return void row.counts[i]!++
  }

  /** Its form in a registry. */
  async get() {
    const { name, help, type, aggregator } = this
    return { name, help, type, aggregator, values: this.#table.rows.flatMap((row) => this.#show(row)) }
  }

  #show({ labels, counts, sum, count }: Row) {
    const shown = []
    let below = 0
    for (const [i, le] of this.#bounds.entries()) {
      below += counts[i]!
      shown.push({ metricName: `${this.name}_bucket`, labels: { le: String(le), ...labels }, value: below })
    }
    return [
      ...shown,
      { metricName: `${this.name}_bucket`, labels: { le: '+Inf', ...labels }, value: count },
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ]
  }
}
