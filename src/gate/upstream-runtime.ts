// The upstream of one listener, and its reports to the log and the metrics. A successor after a reload shares
// it (Shared) if its upstream settings are equal. Otherwise it begins with what checks and dials have found,
// where these ask the same (Findings).

import type { ListenerConfig } from '../config/schema.ts'
import type { UpstreamCounts } from '../metrics/upstream-metrics.ts'
import { servicePings } from '../http2/session-pings.ts'
import { UpstreamSessions } from '../http2/upstream-sessions.ts'
import type { StreamsMaker } from '../upstream/streams.ts'
import { shortestDeadline, upstreamOptions, type LiveDeadlines } from './options.ts'
import { nodeCrypto } from '../core/late.ts'
import type { GateContext } from './gate-context.ts'
import type { SecureOptions } from '../upstream/dial.ts'
import type { UpstreamTarget } from '../upstream/target.ts'
import { Upstream } from '../upstream/upstream.ts'
import type { UpstreamObserver } from '../upstream/upstream.ts'
import type { UpstreamView } from '../upstream/upstream-view.ts'

export class UpstreamRuntime {
  readonly upstream: Upstream
  readonly #listener: string
  readonly #shared: GateContext
  #hasStarted = false

  constructor(
    config: ListenerConfig,
    deadlines: LiveDeadlines,
    shared: GateContext,
    secure: SecureOptions | null,
  ) {
    this.#listener = config.name
    this.#shared = shared
    this.upstream = this.#make(config, deadlines, secure)
  }

  /** Starts name resolution and checks; a second call does nothing. */
  start(): void {
    if (!this.#hasStarted) this.upstream.start()
    this.#hasStarted = true
  }

  /** `config` holds for the connections and requests that wait for a place, too. */
  settle({ upstream }: ListenerConfig): void {
    this.upstream.settle(upstream.maxConnections)
  }

  get view(): UpstreamView & { listener: string } {
    return { listener: this.#listener, ...this.upstream.view }
  }

  get counts(): UpstreamCounts {
    const { targets, removed, former, sources, queued } = this.upstream
    const gone = [...removed.filter(({ presence }) => presence === 'gone'), ...former].map(
      ({ name, from }) => `${name} ${from}`,
    )
    const counts = { unknown: 0, healthy: 0, unhealthy: 0, gone: gone.length }
    for (const { check } of targets) counts[check?.state ?? 'unknown']++
    const names = { resolved: 0, stale: 0, absent: 0, unresolved: 0 }
    for (const { state } of sources) names[state]++
    return {
      listener: this.#listener,
      targets: counts,
      gone,
      names: sources.length === 0 ? null : names,
      queued,
    }
  }

  #make(config: ListenerConfig, deadlines: LiveDeadlines, secure: SecureOptions | null): Upstream {
    const { lineages, clock, sweeps, random, names, idleEnds, findings, registry, metrics } = this.#shared
    const listener = this.#listener
    if (config.upstream.healthCheck.type !== 'off') metrics.announceHealthChecks(listener)
    const sweep = sweeps.of(config.name, shortestDeadline(config))
    const makeStreams: StreamsMaker = (context) =>
      new UpstreamSessions({ ...context, clock, sweep, pings: () => servicePings(deadlines.current.ping) })
    return new Upstream(upstreamOptions(config, deadlines, secure), {
      ...(config.upstream.protocol === 'h2c' ? { makeStreams } : {}),
      name: listener,
      lineages,
      findings: { findings, checkName: checkNameOf(config) },
      clock,
      sweep,
      random,
      names,
      idleEnds,
      connections: registry,
      observer: this.#observer(),
    })
  }

  #observer(): UpstreamObserver {
    const { metrics, facts } = this.#shared
    const listener = this.#listener
    return {
      onHealthCheck: (isPassed) => metrics.onHealthCheck(listener, isPassed),
      onTurned: (target) => this.#onTurned(target),
      onResolved: (name, problem) => {
        if (problem === null) facts.info('upstream name resolved', { listener, name })
        else facts.warn('upstream name not resolved', { listener, name, problem })
      },
    }
  }

  #onTurned({ name: upstream, check }: UpstreamTarget): void {
    const { facts } = this.#shared
    const listener = this.#listener
    if (check?.state === 'unhealthy')
      facts.warn('upstream unhealthy', { listener, upstream, problem: check.last?.problem ?? null })
    else facts.info('upstream healthy', { listener, upstream, answered: check?.last?.answered ?? null })
  }
}

/**
 * Upstreams whose verdicts depend on the same settings make the same checks, in all threads and across
 * reloads; the settings are too long for a name, so they are hashed.
 */
function checkNameOf({ name, upstream }: ListenerConfig): string {
  const { healthCheck, protocol, tls, proxyProtocol } = upstream
  if (healthCheck.type === 'off') return ''
  const words = JSON.stringify([name, healthCheck, protocol, tls, proxyProtocol])
  return `check ${nodeCrypto().createHash('sha256').update(words).digest('base64url')}`
}

/** All settings of a listener's upstream. */
export function upstreamSettings({ upstream, noDelay }: ListenerConfig): unknown {
  return { upstream, noDelay }
}
