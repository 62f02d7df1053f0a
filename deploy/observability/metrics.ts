// The metrics of the program itself, and their selectors in queries: a query with a metric or a label that
// the program does not have fails the generation.

import { createFleetInstruments } from '../../src/metrics/fleet-instruments.ts'
import { createGateInstruments, createProcessInstruments } from '../../src/metrics/instruments.ts'
import { ProcessMetrics } from '../../src/metrics/process-metrics.ts'
import { UpstreamMetrics } from '../../src/metrics/upstream-metrics.ts'
import { WorkerMetrics } from '../../src/metrics/worker-metrics.ts'
import { Registry } from '../../src/metrics/prom-client.ts'

export interface Family {
  name: string
  type: 'counter' | 'gauge' | 'histogram'
  labels: readonly string[]
  help: string
}

interface Known {
  type: 'counter' | 'gauge'
  labels: readonly string[]
}

function programMetrics(): Family[] {
  const registry = new Registry()
  createGateInstruments(registry)
  createProcessInstruments(registry)
  createFleetInstruments(registry)
  new UpstreamMetrics(registry).show([])
  new WorkerMetrics(registry, 0).stop()
  new ProcessMetrics(registry).stop()
  return registry.getMetricsAsArray().map((metric) => {
    // prom-client's declarations give its type as a number; it holds these words.
    const {
      name,
      type,
      help,
      labelNames = [],
    } = metric as unknown as { name: string; type: Family['type']; help: string; labelNames?: string[] }
    return { name, type, help, labels: labelNames }
  })
}

/** As the program registers them. */
export const families: readonly Family[] = programMetrics()

function seriesOf({ name, type, labels }: Family): Array<[string, Known]> {
  if (type !== 'histogram') return [[name, { type, labels }]]
  return ['bucket', 'sum', 'count'].map((part) => [`${name}_${part}`, { type: 'counter', labels }])
}

/** By name; a histogram has three series. */
export const metrics: ReadonlyMap<string, Known> = new Map(families.flatMap(seriesOf))

/**
 * A label and its matcher: `{ side: 'client', reason: '~drain|reloaded' }`; `~` begins a regular expression,
 * `!` negates.
 */
export type Matchers = Readonly<Record<string, string>>

function matcher([label, value]: readonly [string, string]): string {
  if (value.startsWith('!~')) return `${label}!~"${value.slice(2)}"`
  if (value.startsWith('~')) return `${label}=~"${value.slice(1)}"`
  return value.startsWith('!') ? `${label}!="${value.slice(1)}"` : `${label}="${value}"`
}

function knownMetric(name: string): Known {
  const known = metrics.get(name)
  if (known === undefined) throw new Error(`the program has no metric ${name}`)
  return known
}

/** A selector without the variables of a dashboard, for rules. */
export function selector(name: string, matchers: Matchers = {}): string {
  const { labels } = knownMetric(name)
  const unknown = Object.keys(matchers).find((label) => !labels.includes(label))
  if (unknown !== undefined) throw new Error(`${name} has no label ${unknown}`)
  const list = Object.entries(matchers).map(matcher).join(', ')
  return list === '' ? name : `${name}{${list}}`
}

/** A selector that follows the variables at the top of a dashboard. */
export function shown(name: string, matchers: Matchers = {}): string {
  const { labels } = knownMetric(name)
  const variables: Record<string, string> = { namespace: '~$namespace', job: '~$job', instance: '~$instance' }
  if (labels.includes('listener')) variables['listener'] = '~$listener'
  const own = selector(name, matchers)
  const all = [
    ...Object.entries(variables).map(matcher),
    ...(own === name ? [] : [own.slice(name.length + 1, -1)]),
  ]
  return `${name}{${all.join(', ')}}`
}

/** Events a second of a counter. */
export function rate(name: string, matchers: Matchers = {}): string {
  if (knownMetric(name).type !== 'counter') throw new Error(`${name} is no counter`)
  return `rate(${shown(name, matchers)}[$__rate_interval])`
}

/** The sum of the rates, by labels. */
export function sumRate(name: string, by: readonly string[] = [], matchers: Matchers = {}): string {
  return `sum${by.length === 0 ? '' : ` by (${by.join(', ')})`} (${rate(name, matchers)})`
}

/** A quantile of a histogram, over all selected instances. */
export function quantile(q: number, histogram: string, by: readonly string[] = []): string {
  return `histogram_quantile(${q}, ${sumRate(`${histogram}_bucket`, ['le', ...by])})`
}
