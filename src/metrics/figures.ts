// The present figures for the history (history.ts), from the same numbers that a scrape shows, so that a
// dashboard and the page never disagree. Few labels: a listener for figures about places, otherwise one sum.

import type { FleetMetrics } from './fleet-metrics.ts'
import type { Figure } from './history.ts'
import type { ListenerMetrics } from './listener-metrics.ts'
import type { LoopDelayReading } from './loop-delay.ts'
import { membersOf } from './metric-rows.ts'
import type { Tally } from './tally.ts'
import type { UpstreamCounts } from './upstream-metrics.ts'

export interface FigureSources {
  listeners: ReadonlyMap<string, ListenerMetrics>
  opened: Tally<string>
  closed: Tally<string>
  rejected: Tally<string>
  upstreams: readonly UpstreamCounts[]
  delay: LoopDelayReading
  /** Null where no limits are shared with other gates. */
  fleet: FleetMetrics | null
}

/** The figures of one gate. Counts are totals since the start; time is in milliseconds. */
export function* figuresOf(sources: FigureSources): Generator<Figure> {
  const { listeners, opened, closed, rejected, upstreams, delay, fleet } = sources
  for (const [listener, metrics] of listeners) yield* ofListener(listener, metrics)
  for (const { total } of opened.rows) yield count('opened', {}, total)
  for (const { labels, total } of closed.rows)
    if (total > 0) yield count('ended', { reason: labels['reason']!, side: labels['side']! }, total)
  for (const { labels, total } of rejected.rows)
    if (total > 0) yield count('refused', { reason: labels['reason']! }, total)
  for (const { listener, targets, gone, queued } of upstreams) {
    for (const [state, addresses] of Object.entries(targets)) {
      const figure = level('upstreams', { state }, addresses)
      yield state === 'gone' ? { ...figure, members: gone.map((word) => `${listener} ${word}`) } : figure
    }
    yield level('waitingForUpstream', {}, queued)
  }
  yield level('loopDelayMs', { quantile: 'p99' }, delay.p99 * 1000)
  yield level('loopDelayMs', { quantile: 'max' }, delay.max * 1000)
  if (fleet !== null) yield* ofFleet(fleet)
}

function* ofFleet({ isUp, gates, requests, batches, answerMs }: FleetMetrics): Generator<Figure> {
  yield level('sharedAway', {}, isUp ? 0 : 1)
  yield level('sharedGates', {}, gates)
  for (const [result, total] of Object.entries(requests)) yield count('sharedRequests', { result }, total)
  yield count('sharedBatches', {}, batches)
  yield count('sharedAnswerMs', {}, answerMs)
}

function* ofListener(listener: string, metrics: ListenerMetrics): Generator<Figure> {
  const { traffic } = metrics
  for (const [protocol, { client }] of metrics.open)
    yield level('connections', { listener, protocol }, client)
  yield level('pending', {}, metrics.pending)
  yield level('heldBack', {}, metrics.backpressured)
  yield level('bufferedBytes', { side: 'client' }, metrics.bufferedForClient)
  yield level('bufferedBytes', { side: 'upstream' }, metrics.bufferedForUpstream)
  yield count('receivedBytes', { side: 'client' }, traffic.receivedFromClient)
  yield count('receivedBytes', { side: 'upstream' }, traffic.receivedFromUpstream)
  yield count('sentBytes', { side: 'client' }, traffic.takenByClient)
  yield count('sentBytes', { side: 'upstream' }, traffic.takenByUpstream)
}

function level(name: string, labels: Figure['labels'], value: number): Figure {
  return { name, labels, kind: 'level', value }
}

function count(name: string, labels: Figure['labels'], value: number): Figure {
  return { name, labels, kind: 'count', value }
}

/** Figures of the whole process. */
export function memoryFigures(
  memory: { usageBytes: number; limitBytes: number; bufferedLimitBytes: number } | undefined,
): Figure[] {
  if (memory === undefined) return []
  return [
    level('memoryBytes', {}, memory.usageBytes),
    level('memoryLimitBytes', {}, memory.limitBytes),
    level('bufferedLimitBytes', {}, memory.bufferedLimitBytes),
  ]
}

/** The same in all gates, or that of the worst gate; all other figures are added up. */
const greatest = new Set(['upstreams', 'loopDelayMs', 'sharedAway', 'sharedGates'])

export function mergedFigures(gates: readonly Figure[][]): Figure[] {
  if (gates.length === 1) return gates[0]!
  const most = new Map<string, Figure>()
  for (const figures of gates)
    for (const [key, figure] of sumsOf(figures.filter(({ name }) => greatest.has(name)))) {
      const known = most.get(key)
      most.set(key, known === undefined ? figure : greater(known, figure))
    }
  return [...gates.flat().filter(({ name }) => !greatest.has(name)), ...most.values()]
}

/** Those of one gate: its listeners, added up. */
function sumsOf(figures: readonly Figure[]): Map<string, Figure> {
  const sums = new Map<string, Figure>()
  for (const figure of figures) {
    const key = [figure.name, ...Object.values(figure.labels)].join('\n')
    const known = sums.get(key)
    sums.set(
      key,
      known === undefined
        ? figure
        : { ...known, ...together(known, figure), value: known.value + figure.value },
    )
  }
  return sums
}

/** Where each gate may count others, as many as there are apart. */
function greater(one: Figure, other: Figure): Figure {
  const members = membersOf(one, other)
  if (members === undefined) return one.value > other.value ? one : other
  return { ...one, members, value: members.length }
}

function together(one: Figure, other: Figure): Pick<Figure, 'members'> {
  const members = membersOf(one, other)
  return members === undefined ? {} : { members }
}
