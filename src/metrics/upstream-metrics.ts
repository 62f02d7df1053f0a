// The counts of upstreams: how many addresses are in each state, never which (an address is no label), their
// health checks, and the connections that wait for a place.

import { Counter, Gauge } from './prom-client.ts'
import type { Registry } from './prom-client.ts'
import type { MetricRows } from './metric-rows.ts'

/** The present counts of one listener. */
export interface UpstreamCounts {
  listener: string
  /** Addresses, by state. */
  targets: Record<TargetState, number>
  /**
   * Those that are gone, each in a word: they are as many as have connections, so that each gate may have
   * others.
   */
  gone: readonly string[]
  /** Names, by state; null where there are none. */
  names: Record<NameState, number> | null
  queued: number
}

const targetStates = ['unknown', 'healthy', 'unhealthy', 'gone'] as const
type TargetState = (typeof targetStates)[number]
const nameStates = ['resolved', 'stale', 'absent', 'unresolved'] as const
type NameState = (typeof nameStates)[number]

const TARGETS = 'sidegate_upstream_targets'

export class UpstreamMetrics {
  readonly #targets
  readonly #names
  readonly #queued
  readonly #checks

  constructor(registry: Registry) {
    const registers = [registry]
    this.#targets = new Gauge({
      name: TARGETS,
      help: 'Addresses of the upstream, by state; unknown are those that no health check has judged, gone those that no name stands for any more, nor the configuration since a reload, and that have connections, each once over all workers.',
      labelNames: ['listener', 'state'] as const,
      // The same in all gates, but for those that are gone.
      aggregator: 'max',
      registers,
    })
    this.#names = new Gauge({
      name: 'sidegate_upstream_names',
      help: 'Names of the upstream, by state: resolved; stale (the last question failed, and the last good addresses are in use); absent (there has been no such name for upstream.staleFor); unresolved.',
      labelNames: ['listener', 'state'] as const,
      // The same in all gates.
      aggregator: 'max',
      registers,
    })
    this.#queued = new Gauge({
      name: 'sidegate_upstream_queued',
      help: 'Connections and plain requests that wait for a place under upstream.maxConnections, or for a name to be resolved.',
      labelNames: ['listener'] as const,
      registers,
    })
    this.#checks = new Counter({
      name: 'sidegate_upstream_health_checks_total',
      help: 'Health checks of upstream addresses; result is passed or failed.',
      labelNames: ['listener', 'result'] as const,
      registers,
    })
  }

  announceHealthChecks(listener: string): void {
    for (const result of ['passed', 'failed']) this.#checks.inc({ listener, result }, 0)
  }

  onHealthCheck(listener: string, isPassed: boolean): void {
    this.#checks.inc({ listener, result: isPassed ? 'passed' : 'failed' })
  }

  /**
   * Adds which addresses are gone, by which several gates are counted as one. The text shows none of them.
   */
  name(rows: MetricRows, upstreams: readonly UpstreamCounts[]): MetricRows {
    const row = rows.find(({ name }) => name === TARGETS)
    for (const value of row?.values ?? []) {
      if (value.labels['state'] !== 'gone') continue
      const upstream = upstreams.find(({ listener }) => listener === value.labels['listener'])
      if (upstream !== undefined) value.members = upstream.gone
    }
    return rows
  }

  /** Shows the current listeners; one that a reload removed has no addresses any more. */
  show(upstreams: readonly UpstreamCounts[]): void {
    this.#targets.reset()
    this.#names.reset()
    this.#queued.reset()
    for (const { listener, targets, names, queued } of upstreams) {
      for (const state of targetStates) this.#targets.set({ listener, state }, targets[state])
      if (names !== null) for (const state of nameStates) this.#names.set({ listener, state }, names[state])
      this.#queued.set({ listener }, queued)
    }
  }
}
