// Counts what the path reports, and renders it for Prometheus. Counting happens at the events of a connection; what moves with every chunk is read from the connections themselves
// at a scrape. The account always balances: for each listener and protocol, opened less closed is
// sidegate_connections{side="client"}. A connection is opened once its protocol is known, pending before that; an HTTP one
// that upgrades after it was opened is accounted as an ended HTTP one and a new WebSocket.

import { Registry as PromRegistry } from './prom-client.ts'
import type { Clock } from '../core/clock.ts'
import { reasonNames, type Close, type Reason, type Side } from '../core/close.ts'
import { closingSides, dialFailureReasons, droppingPolicies, rejectionReasons } from './expected-closes.ts'
import type { Connection, LimitAction, LimitName, Observer, Protocol, Registry } from '../core/connection.ts'
import { kernelQueue } from '../endpoint/kernel-queue.ts'
import { countFailedDial, createInstruments, type Instruments } from './instruments.ts'
import { ListenerMetrics, type MeteredLimit, type MeteredListener } from './listener-metrics.ts'
import { ProcessMetrics } from './process-metrics.ts'
import { mirror, Tally } from './tally.ts'
import { UpstreamMetrics, type UpstreamCounts } from './upstream-metrics.ts'

export interface MetricsOptions {
  listeners: readonly MeteredListener[]
  /** All open connections, those included that onOpened was not called for yet. */
  registry: Registry
  clock: Clock
  version: string
  revision: string
  /** How many connections of each listener gates still wait for; they are in no registry. */
  arriving?: () => Iterable<readonly [listener: string, count: number]>
  isDraining?: () => boolean
  /** Connections that drains have ended while they were owed something. */
  drainCut?: () => number
  config?: () => ConfigState
  logLinesDropped?: () => number
  /** Looks into the kernel that could not be made; those of this thread unless told. */
  kernelLooksLost?: () => number
  /** For each listener there is. */
  upstreams?: () => readonly UpstreamCounts[]
  overload?: () => { pressure: number; limitBytes: number; usageBytes: number; bufferedLimitBytes: number }
}

/** How the reloads of the configuration went; times are wall-clock milliseconds. */
export interface ConfigState {
  readonly hash: string
  readonly succeededAt: number
  readonly successes: number
  readonly failures: number
  readonly fault: object | null
  readonly restartRequired: readonly string[]
}

export interface RenderedMetrics {
  contentType: string
  body: string
}

export class Metrics implements Observer {
  readonly #options: MetricsOptions
  readonly #prom = new PromRegistry()
  readonly #instruments: Instruments = createInstruments(this.#prom)
  readonly #process = new ProcessMetrics(this.#prom)
  readonly #upstreams = new UpstreamMetrics(this.#prom)
  readonly #listeners = new Map<string, ListenerMetrics>()
  /** What each open connection was counted as. Some 50 bytes for each, and the account holds whatever the path does. */
  readonly #openedAs = new Map<Connection, Protocol>()
  readonly #showPauses: { toUpstream: (total: number) => void; toClient: (total: number) => void }
  readonly #showTotals: Record<'logLinesDropped' | 'kernelLooksLost' | 'drainCut', (total: number) => void>
  readonly #showReloads: { success: (total: number) => void; failure: (total: number) => void }
  readonly #opened = new Tally(this.#instruments.opened)
  readonly #closed = new Tally(this.#instruments.closed)
  readonly #rejected = new Tally(this.#instruments.rejected)
  readonly #dropped = new Tally(this.#instruments.messagesDropped)
  readonly #requests = new Tally(this.#instruments.requests)

  constructor(options: MetricsOptions) {
    this.#options = options
    const { build, dialFailures, pauses, logLinesDropped, kernelLooksLost, drainCut, configReloads } = this.#instruments
    build.set({ version: options.version, revision: options.revision, node_version: process.version }, 1)
    for (const reason of dialFailureReasons) dialFailures.inc({ reason }, 0)
    for (const result of ['success', 'failure'] as const) this.#instruments.tlsReloads.inc({ result }, 0)
    for (const reason of ['no_token', 'wrong_token'] as const) this.#instruments.adminRefused.inc({ reason }, 0)
    this.#showPauses = {
      toUpstream: mirror(pauses, { direction: 'to_upstream' }),
      toClient: mirror(pauses, { direction: 'to_client' }),
    }
    this.#showTotals = { logLinesDropped: mirror(logLinesDropped, {}), kernelLooksLost: mirror(kernelLooksLost, {}), drainCut: mirror(drainCut, {}) }
    this.#showReloads = { success: mirror(configReloads, { result: 'success' }), failure: mirror(configReloads, { result: 'failure' }) }
    for (const policy of droppingPolicies) this.#dropped.add({ policy }, 0)
    for (const listener of options.listeners) this.setListener(listener)
  }

  /** Adds a listener, or changes its limits: for a reload. Series of a removed one stay, as counters must. */
  setListener(listener: MeteredListener): void {
    const known = this.#listeners.get(listener.name)
    if (known !== undefined) known.change(listener)
    else this.#listeners.set(listener.name, new ListenerMetrics(listener, this.#instruments))
    for (const reason of rejectionReasons) this.#rejected.add({ listener: listener.name, reason }, 0)
    for (const protocol of listener.protocols) this.#initialise(listener.name, protocol)
    for (const limit of listener.limits ?? []) this.#countLimited(listener.name, limit, 0)
  }

  /** Refused by a gate before it was served. */
  onRejected(listener: string, close: Close): void {
    this.#rejected.add({ listener, reason: close.reason })
  }

  /** Files of TLS changed, and are used or are not. */
  onTlsReload(result: 'success' | 'failure'): void {
    this.#instruments.tlsReloads.inc({ result })
  }

  /** A request to the admin server had no token, or a wrong one. */
  onAdminRefused(reason: 'no_token' | 'wrong_token'): void {
    this.#instruments.adminRefused.inc({ reason })
  }

  /** `name` is that of a listener, or of one and `/upstream`. */
  setCertificateExpiry(name: string, seconds: number): void {
    this.#instruments.tlsExpiry.set({ name }, seconds)
  }

  onOpened(connection: Connection): void {
    if (this.#openedAs.has(connection)) return
    const { listener, protocol } = connection
    this.#openedAs.set(connection, protocol)
    this.#opened.add({ listener, protocol })
  }

  onConnected(_connection: Connection, dialMs: number): void {
    this.#instruments.dialDuration.observe(dialMs / 1000)
  }

  onConnectFailed(_connection: Connection, close: Close): void {
    countFailedDial(this.#instruments, close)
  }

  /** Its upstream has health checks: their counts stand at 0 from the start. */
  announceHealthChecks(listener: string): void {
    this.#upstreams.announceHealthChecks(listener)
  }

  onHealthCheck(listener: string, isPassed: boolean): void {
    this.#upstreams.onHealthCheck(listener, isPassed)
  }

  onPingSent(_connection: Connection): void {
    this.#instruments.pings.inc()
  }

  onPong(_connection: Connection, rttMs: number): void {
    this.#instruments.pongRtt.observe(rttMs / 1000)
  }

  onMessagesDropped(_connection: Connection, policy: string, messages: number): void {
    this.#dropped.add({ policy }, messages)
  }

  onRequest({ listener }: Connection, { method, status, durationMs }: { method: string; status: number | null; durationMs: number }): void {
    this.#requests.add({ listener, method: methodLabel(method), code: codeLabel(status) })
    this.#instruments.requestDuration.observe({ listener }, durationMs / 1000)
  }

  onLimited(listener: string, limit: LimitName, action: LimitAction, isEnforced: boolean): void {
    this.#countLimited(listener, { limit, action, isEnforced }, 1)
  }

  #countLimited(listener: string, { limit, action, isEnforced }: MeteredLimit, times: number): void {
    if (isEnforced) this.#instruments.rateLimited.inc({ listener, limit, action }, times)
    else this.#instruments.observed.inc({ listener, limit }, times)
  }

  onClosed(connection: Connection): void {
    this.onOpened(connection)
    this.#accountUpgrade(connection)
    this.#openedAs.delete(connection)
    const { listener, protocol, openedAt, end } = connection
    this.#countClosed(listener, protocol, end?.side ?? 'sidegate', end?.reason ?? 'internal_error')
    this.#instruments.duration.observe({ listener, protocol }, (this.#options.clock.now() - openedAt) / 1000)
    this.#of(listener).ended.add(connection)
  }

  /** Everything as text. All values are of the same moment: there is no turn of the event loop between them. */
  async render(): Promise<RenderedMetrics> {
    this.#collect()
    return { contentType: this.#prom.contentType, body: await this.#prom.metrics() }
  }

  /** Stops the sampling of the event loop. */
  stop(): void {
    this.#process.stop()
  }

  #initialise(listener: string, protocol: Protocol): void {
    const { duration } = this.#instruments
    this.#opened.add({ listener, protocol }, 0)
    for (const reason of reasonNames) {
      for (const side of closingSides[reason]) this.#closed.add({ listener, protocol, side, reason }, 0)
    }
    // `zero` would also reset a histogram that a reload comes across again.
    if (!this.#of(listener).durations.has(protocol)) duration.zero({ listener, protocol })
    this.#of(listener).durations.add(protocol)
  }

  #countClosed(listener: string, protocol: Protocol, side: Side, reason: Reason): void {
    this.#closed.add({ listener, protocol, side, reason })
  }

  #accountUpgrade(connection: Connection): void {
    const openedAs = this.#openedAs.get(connection)
    if (openedAs === undefined || openedAs === connection.protocol) return
    const { listener, protocol } = connection
    this.#countClosed(listener, openedAs, 'client', 'eof')
    this.#opened.add({ listener, protocol })
    this.#openedAs.set(connection, protocol)
  }

  /** A listener that was not announced still counts; its name comes from the configuration either way. */
  #of(listener: string): ListenerMetrics {
    let known = this.#listeners.get(listener)
    if (known === undefined) {
      known = new ListenerMetrics({ name: listener, protocols: [], maxConnections: Number.POSITIVE_INFINITY, bufferHighBytes: Number.POSITIVE_INFINITY }, this.#instruments)
      this.#listeners.set(listener, known)
    }
    return known
  }

  #collect(): void {
    for (const listener of this.#listeners.values()) listener.beginWalk()
    for (const connection of this.#openedAs.keys()) {
      this.#accountUpgrade(connection)
      this.#of(connection.listener).walk(connection)
    }
    for (const connection of this.#options.registry) {
      if (!this.#openedAs.has(connection)) this.#of(connection.listener).pending++
    }
    for (const [listener, count] of this.#options.arriving?.() ?? []) this.#of(listener).pending += count
    this.#show()
    this.#upstreams.show(this.#options.upstreams?.() ?? [])
    this.#process.collect()
  }

  #show(): void {
    const { buffered, backpressured, draining } = this.#instruments
    const sum = { client: 0, upstream: 0, backpressured: 0, pausesToUpstream: 0, pausesToClient: 0 }
    for (const listener of this.#listeners.values()) {
      listener.show()
      sum.client += listener.bufferedForClient
      sum.upstream += listener.bufferedForUpstream
      sum.backpressured += listener.backpressured
      sum.pausesToUpstream += listener.traffic.pausesToUpstream
      sum.pausesToClient += listener.traffic.pausesToClient
    }
    buffered.set({ side: 'client' }, sum.client)
    buffered.set({ side: 'upstream' }, sum.upstream)
    backpressured.set(sum.backpressured)
    this.#showPauses.toUpstream(sum.pausesToUpstream)
    this.#showPauses.toClient(sum.pausesToClient)
    this.#showOverload()
    this.#showTotals.drainCut(this.#options.drainCut?.() ?? 0)
    draining.set(this.#options.isDraining?.() === true ? 1 : 0)
    for (const tally of [this.#opened, this.#closed, this.#rejected, this.#dropped, this.#requests]) tally.show()
    this.#showTotals.logLinesDropped(this.#options.logLinesDropped?.() ?? 0)
    this.#showTotals.kernelLooksLost(this.#options.kernelLooksLost?.() ?? kernelQueue.lost)
    const config = this.#options.config?.()
    if (config !== undefined) this.#showConfig(config)
  }

  #showConfig({ hash, succeededAt, successes, failures, fault, restartRequired }: ConfigState): void {
    const { configSuccessful, configSuccessAt, configInfo, configRestartRequired } = this.#instruments
    configSuccessful.set(fault === null ? 1 : 0)
    configSuccessAt.set(succeededAt / 1000)
    configRestartRequired.set(restartRequired.length > 0 ? 1 : 0)
    // The series of the one before would stay at 1.
    configInfo.reset()
    configInfo.set({ hash }, 1)
    this.#showReloads.success(successes)
    this.#showReloads.failure(failures)
  }

  #showOverload(): void {
    const view = this.#options.overload?.()
    if (view === undefined) return
    const { overloadPressure, memoryLimit, memoryUsage, bufferedLimit } = this.#instruments
    overloadPressure.set(view.pressure)
    memoryLimit.set(view.limitBytes)
    memoryUsage.set(view.usageBytes)
    bufferedLimit.set(view.bufferedLimitBytes)
  }
}

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Clients choose methods, so those that are not well known are one series (CVE-2022-21698). */
function methodLabel(method: string): string {
  return methods.has(method) ? method : 'other'
}

/** Upstreams choose codes. `none`: the client got no answer. */
function codeLabel(status: number | null): string {
  if (status === null) return 'none'
  return status >= 100 && status <= 599 ? String(status) : 'other'
}
