// The upstream of one listener, and how it is told to the log and the metrics. A successor after a reload that says the same of
// its upstream shares it, with what its checks have found; the last one stops it.

import type { ListenerConfig } from '../config/schema.ts'
import type { UpstreamCounts } from '../metrics/upstream-metrics.ts'
import { isSame } from '../core/node-lazy.ts'
import { shortestDeadline, upstreamOptions, type LiveDeadlines } from './options.ts'
import type { SharedParts } from './served-listener.ts'
import type { SecureOptions } from '../upstream/dial.ts'
import type { UpstreamTarget } from '../upstream/target.ts'
import { Upstream } from '../upstream/upstream.ts'
import type { UpstreamView } from '../upstream/upstream-view.ts'

export class ServedUpstream {
  readonly upstream: Upstream
  readonly #listener: string
  readonly #settings: unknown
  readonly #shared: SharedParts
  #users = 0
  #hasStarted = false

  constructor(config: ListenerConfig, deadlines: LiveDeadlines, shared: SharedParts, secure: SecureOptions | null) {
    this.#listener = config.name
    this.#settings = settingsOf(config)
    this.#shared = shared
    this.upstream = this.#make(config, deadlines, secure)
  }

  /** Whether it will do for a listener with that configuration. */
  fits(config: ListenerConfig): boolean {
    return isSame(this.#settings, settingsOf(config))
  }

  /** Each that joined leaves once. */
  join(): this {
    this.#users++
    return this
  }

  leave(): void {
    if (--this.#users === 0) this.upstream.stop()
  }

  /** Begins to resolve and to check; a second call does nothing. */
  start(): void {
    if (!this.#hasStarted) this.upstream.start()
    this.#hasStarted = true
  }

  get view(): UpstreamView & { listener: string } {
    return { listener: this.#listener, ...this.upstream.view }
  }

  get counts(): UpstreamCounts {
    const { targets, removed, sources, queued } = this.upstream
    const counts = { unknown: 0, healthy: 0, unhealthy: 0, gone: 0 }
    for (const { check } of targets) counts[check?.state ?? 'unknown']++
    for (const { presence } of removed) if (presence === 'gone') counts.gone++
    const names = { resolved: 0, stale: 0, absent: 0, unresolved: 0 }
    for (const { state } of sources) names[state]++
    return { listener: this.#listener, targets: counts, names: sources.length === 0 ? null : names, queued }
  }

  #make(config: ListenerConfig, deadlines: LiveDeadlines, secure: SecureOptions | null): Upstream {
    const { clock, sweeps, random, names, registry, metrics, log } = this.#shared
    const listener = this.#listener
    if (config.upstream.healthCheck.type !== 'off') metrics.announceHealthChecks(listener)
    return new Upstream(upstreamOptions(config, deadlines, secure), {
      clock,
      sweep: sweeps.of(config.name, shortestDeadline(config)),
      random,
      names,
      connections: registry,
      observer: {
        onHealthCheck: (isPassed) => metrics.onHealthCheck(listener, isPassed),
        onTurned: (target) => this.#onTurned(target),
        onResolved: (name, problem) => {
          if (problem === null) log.info('upstream name resolved', { listener, name })
          else log.warn('upstream name not resolved', { listener, name, problem })
        },
      },
    })
  }

  #onTurned({ name: upstream, check }: UpstreamTarget): void {
    const { log } = this.#shared
    const listener = this.#listener
    if (check?.state === 'unhealthy') log.warn('upstream unhealthy', { listener, upstream, problem: check.last?.problem ?? null })
    else log.info('upstream healthy', { listener, upstream, answered: check?.last?.answered ?? null })
  }
}

function settingsOf({ upstream, noDelay }: ListenerConfig): unknown {
  return { upstream, noDelay }
}
