// Metrics as plain data: the rows of one gate, and their merging into those of one process.

import type { MetricObjectWithValues, MetricValue } from 'prom-client'
import { Registry } from './prom-client.ts'

export interface MetricRow {
  name: string
  help: string
  type: string
  /** How values of the same labels become one. */
  aggregator: string
  values: MetricRowValue[]
}

export interface MetricRowValue {
  labels: Record<string, string | number>
  value: number
  metricName?: string
  /**
   * What the value counts, where each gate may count others: together they are as many as there are apart.
   */
  members?: readonly string[]
}

export type MetricRows = MetricRow[]

export async function rowsOf(registry: Registry): Promise<MetricRows> {
  const metrics = await registry.getMetricsAsJSON()
  return metrics.map(
    ({ name, help, type, aggregator, values }: MetricObjectWithValues<MetricValue<string>>) => ({
      name,
      help,
      type: String(type),
      aggregator,
      values: (values as MetricRow['values']).map(({ labels, value, metricName }) => ({
        labels,
        value,
        ...(metricName === undefined ? {} : { metricName }),
      })),
    }),
  )
}

/** Merged as one process would show them. The rows of a single gate are used as they are. */
export function merged(gates: readonly MetricRows[]): MetricRows {
  if (gates.length === 1) return gates[0]!
  const byName = new Map<string, MetricRow>()
  for (const rows of gates) {
    for (const row of rows) {
      const known = byName.get(row.name)
      byName.set(row.name, known === undefined ? row : { ...row, values: joined(known, row) })
    }
  }
  return [...byName.values()]
}

function joined(one: MetricRow, other: MetricRow): MetricRow['values'] {
  const values = new Map(one.values.map((value) => [keyOf(value), value]))
  for (const value of other.values) {
    const key = keyOf(value)
    const known = values.get(key)
    values.set(key, known === undefined ? value : bothOf(one.aggregator, known, value))
  }
  return [...values.values()]
}

function bothOf(aggregator: string, one: MetricRowValue, other: MetricRowValue): MetricRowValue {
  const members = membersOf(one, other)
  if (members === undefined) return { ...other, value: together(aggregator, one.value, other.value) }
  return { ...other, value: members.length, members }
}

interface Counted {
  members?: readonly string[]
}

/** All that both count, each once; undefined where one of them counts nothing by name. */
export function membersOf(one: Counted, other: Counted): string[] | undefined {
  if (one.members === undefined || other.members === undefined) return undefined
  return [...new Set([...one.members, ...other.members])]
}

function keyOf({ metricName = '', labels }: MetricRow['values'][number]): string {
  return metricName + JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function together(aggregator: string, one: number, other: number): number {
  if (aggregator === 'max') return Math.max(one, other)
  return aggregator === 'min' ? Math.min(one, other) : one + other
}

/**
 * The rows that remain of an ended gate, from its last ones: its counts. Its open connections have ended with
 * it, as `internal_error`, so that opened less closed is still the number of open ones.
 */
export function leftBehind(rows: MetricRows): MetricRows {
  const open = rows.find(({ name }) => name === 'sidegate_connections')?.values ?? []
  return rows
    .filter(({ type }) => type !== 'gauge')
    .map((row) =>
      row.name === 'sidegate_connections_closed_total'
        ? { ...row, values: joined(row, lostOf(row, open)) }
        : row,
    )
}

function lostOf(row: MetricRow, open: MetricRow['values']): MetricRow {
  const lost = open.filter(({ labels, value }) => labels['side'] === 'client' && value > 0)
  return {
    ...row,
    values: lost.map(({ labels, value }) => ({
      labels: { ...labels, side: 'sidegate', reason: 'internal_error' },
      value,
    })),
  }
}

/** Prometheus text. */
export async function textOf(rows: MetricRows): Promise<string> {
  const registry = new Registry()
  for (const row of rows)
    registry.registerMetric({ name: row.name, get: () => row } as unknown as Parameters<
      typeof registry.registerMetric
    >[0])
  return registry.metrics()
}
