// The operator: the parts that exist once in a process, its configuration, its drain, its reloads, its watch
// over the memory, and the servers that report on them. It has no connection: the gates have them, and it
// speaks to those only by messages (gate/messages.ts).

import { AdminServer } from '../admin/admin-server.ts'
import type { ListenerView } from '../admin/types.ts'
import { systemClock } from '../core/clock.ts'
import type { Clock } from '../core/clock.ts'
import type { Reason } from '../core/close.ts'
import type { Address } from '../config/address.ts'
import type { Config } from '../config/schema.ts'
import { OFF, parseDuration } from '../config/units.ts'
import { checkAdoption } from '../endpoint/read-buffer.ts'
import { ConfigError, ofFiles, type Written } from '../core/errors.ts'
import type { Ports } from '../gate/messages.ts'
import { connectionsThatFit, descriptorLimit } from '../lifecycle/descriptors.ts'
import { Drain } from '../lifecycle/drain.ts'
import type { DrainResult, DrainState, DrainTimes, DrainTrigger } from '../lifecycle/drain.ts'
import { HealthServer, readinessOf } from '../ops/health-server.ts'
import type { Readiness } from '../ops/health-server.ts'
import type { MemoryGauge } from '../overload/memory.ts'
import { makeOverload } from '../overload/overload.ts'
import type { Overload } from '../overload/overload.ts'
import { ReloadRefused, Reloads } from '../lifecycle/reload.ts'
import type { ConfigFault, ConfigSource, Content, ReloadResult, ReloadTrigger } from '../lifecycle/reload.ts'
import { build, version } from '../core/version.ts'
import type { Log } from '../log/log.ts'
import { History } from '../metrics/history.ts'
import type { Figure } from '../metrics/history.ts'
import { Metrics } from '../metrics/metrics.ts'
import {
  cannotBind,
  cannotUse,
  keepUntilRestart,
  refuseWhatDoesNotFit,
  restartRequired,
  toListen,
} from '../gate/options.ts'
import type { Crew } from './crew.ts'
import { Gates } from './gates.ts'
import { listenersOf, listenerViews } from './listener-views.ts'
import { leveled, logSettings } from './log-level.ts'
import { gateMaker, makeGates } from './make-gates.ts'
import type { ThreadParts } from './make-gates.ts'
import { tokenWatch } from './token-watch.ts'
import { workersOfAdmin } from './workers-view.ts'
import { tellWorkers, workersOf } from './workers.ts'

export interface OperatorParts extends ThreadParts {
  /** The limit of open descriptors; null where the system does not report it. */
  descriptors?: number | null
  /** Measures how much memory there is and is used. */
  memory?: MemoryGauge
  /** Source and content of the first configuration, and its hash; without it a reload has nothing to read. */
  source?: { source: ConfigSource<Config>; content: Content | null; hash: string; written?: Written }
  /** Reads through Node's `data` events even where the shared buffer works: for tests of the fallback. */
  withoutSharedBuffer?: boolean
  /** Overrides the number in the configuration. */
  workers?: number
}

export class Operator {
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #clock: Clock
  readonly #fits: number
  readonly #workers: number
  readonly #gates = new Gates()
  /** Null where there is one gate, in this thread. */
  readonly #crew: Crew | null
  readonly #health: HealthServer
  readonly #admin: AdminServer
  readonly #history: History
  readonly #overload: Overload
  readonly #drain: Drain
  readonly #reloads: Reloads<Config>
  #config: Config
  #state: 'starting' | 'running' | 'stopped' = 'starting'
  /** Bound ports; null for unix sockets. */
  healthPort = 0
  adminPort = 0
  /** The bound port of each listener; null for a unix socket. */
  ports: Ports = []

  /** Binds everything; rejects with a ConfigError, or with the system's error if a port is taken. */
  static async start(config: Config, parts: OperatorParts): Promise<Operator> {
    const usesSharedBuffer =
      parts.withoutSharedBuffer === true ? false : await checkAdoption(parts.clock ?? systemClock)
    const workers = workersOf(parts.workers ?? config.workers)
    const maker = await gateMaker(workers)
    const operator = new Operator(config, { ...maker, ...parts, workers }, usesSharedBuffer)
    await operator.#start(parts.source?.written ?? null)
    return operator
  }

  private constructor(config: Config, parts: OperatorParts, usesSharedBuffer: boolean) {
    const { log, clock = systemClock } = parts
    this.#config = config
    this.#log = log
    this.#clock = clock
    if (!usesSharedBuffer)
      log.warn(
        'this Node does not read accepted sockets into a shared buffer: more memory and CPU for each connection',
      )
    this.#workers = parts.workers ?? 1
    this.#fits = connectionsThatFit(parts.descriptors ?? descriptorLimit() ?? Number.POSITIVE_INFINITY, {
      workers: this.#workers,
      listeners: config.listeners.length,
    })
    refuseWhatDoesNotFit(config, this.#fits)
    this.#crew = this.#makeGates(parts, usesSharedBuffer)
    this.#drain = new Drain({ clock, log, gates: this.#gates })
    this.#reloads = new Reloads({
      clock,
      log,
      source: parts.source?.source ?? null,
      content: parts.source?.content ?? null,
      hash: parts.source?.hash ?? '',
      apply: (next, written) => this.#apply(next, written),
    })
    this.#overload = makeOverload(config.memory, { clock, log, gates: this.#gates }, parts.memory)
    this.#metrics = this.#makeMetrics(parts)
    this.#history = new History(clock, () => this.#metrics.figures())
    this.#health = this.#makeHealthServer()
    this.#admin = this.#makeAdminServer()
  }

  #makeGates(parts: OperatorParts, usesSharedBuffer: boolean): Crew | null {
    return makeGates(this.#gates, {
      ...parts,
      clock: this.#clock,
      settings: () => ({
        workers: this.#workers,
        config: this.#config,
        fits: this.#fits,
        usesSharedBuffer,
        log: logSettings(this.#log),
      }),
      isWanted: () => this.#state !== 'stopped' && ['none', 'announced'].includes(this.#drain.state),
      onEmpty: () => this.#drain.onEmpty(),
    })
  }

  #makeMetrics({ logWriter }: OperatorParts): Metrics {
    return new Metrics({
      ...build(),
      gates: () => this.#gates.metrics(),
      gateFigures: () => this.#gates.figures(),
      isDraining: () => this.#drain.isUnderway,
      config: () => this.#reloads,
      overload: () => this.#overload.view,
      logLinesDropped: () => logWriter.dropped,
      workersEnded: () => this.#crew?.ended ?? 0,
    })
  }

  #makeHealthServer(): HealthServer {
    return new HealthServer({
      clock: this.#clock,
      isStarted: () => this.#state !== 'starting',
      readiness: () => this.#readiness(),
      renderMetrics: () => this.#metrics.render(),
      waitDrained: (onGone) => this.#drain.waitDrained(onGone),
    })
  }

  #makeAdminServer(): AdminServer {
    return new AdminServer({
      ...build(),
      clock: this.#clock,
      connections: this.#gates,
      log: leveled(this.#log, (settings) => this.#gates.log(settings)),
      listeners: () => this.#listenerViews(),
      upstreams: async () => (await this.#gates.views()).upstreams,
      shared: async () => (await this.#gates.views()).shared,
      state: () => (this.#drain.isUnderway ? 'draining' : this.#state),
      // It loads the schema, 5 MB that a gate saves until the first such request.
      config: async () => (await import('../config/effective.ts')).effectiveConfig(this.#config),
      configState: () => this.#reloads,
      configOrigins: () => this.#reloads.origins(),
      configError: () => this.configError,
      memory: () => this.#overload.view,
      history: (after) => this.#history.view(after),
      recent: (query) => this.#gates.recent(query),
      habits: { habits: () => this.#gates.habits(), forgetHabits: () => this.#gates.forgetHabits() },
      lifecycle: this,
      parseDuration: (text) => parseDuration(text, { min: 1, max: OFF, isOffAllowed: false }),
      tokenFile: this.#config.admin.tokenFile,
      tokens: tokenWatch(this.#config.admin.tokenFile, {
        log: this.#log,
        clock: this.#clock,
        metrics: this.#metrics,
      }),
      workers: workersOfAdmin(this.#workers, this.#gates, this.#crew),
      onError: (error) =>
        this.#log.error('the admin server failed', { error: error instanceof Error ? error : String(error) }),
    })
  }

  async #start(written: Written | null): Promise<void> {
    this.#overload.start()
    try {
      // Health first: a kubelet that asks while the rest binds gets an answer.
      this.healthPort = await this.#bind('health.address', this.#config.health.address, (address) =>
        this.#health.start(address),
      )
      const tokenProblem = await this.#admin.tokenProblem()
      if (tokenProblem !== null)
        throw cannotUse('admin.tokenFile', this.#config.admin.tokenFile ?? '', tokenProblem)
      this.adminPort = await this.#bind('admin.address', this.#config.admin.address, (address) =>
        this.#admin.start(address),
      )
      this.#crew?.start(this.#workers)
      this.ports = await this.#gates.apply(this.#config, () => {}, written)
    } catch (error) {
      await this.stop()
      throw error
    }
    this.#history.start()
    this.#state = 'running'
    tellWorkers(this.#config.workers, this.#log)
    this.#log.info('started', { version: version(), listeners: listenersOf(this.#listenerViews()) })
  }

  /** Empty before they are bound. */
  #listenerViews(): ListenerView[] {
    return this.#state === 'starting' ? [] : listenerViews(this.#config, this.ports)
  }

  async #bind<T>(
    key: string,
    address: Address,
    listen: (address: { host?: string; port: number } | { path: string }) => Promise<T>,
  ): Promise<T> {
    try {
      return await listen(toListen(address))
    } catch (error) {
      if (error instanceof ConfigError) throw error
      throw cannotBind(key, address, error as NodeJS.ErrnoException)
    }
  }

  #readiness(): Readiness {
    const isRunning = this.#state === 'running' && !this.#drain.isUnderway
    return readinessOf({
      listening: isRunning ? null : this.#drain.isUnderway ? 'draining' : this.#state,
      memory: this.#overload.isRefusing ? 'overloaded' : null,
    })
  }

  /**
   * Empties the gates (lifecycle/drain.ts) as `drain` of the configuration says. SIGINT comes from a
   * terminal, so it leaves load balancers no time to notice. Resolves when no connection is left; the health
   * server still answers.
   */
  drain(trigger: DrainTrigger, times: Partial<DrainTimes> = {}): Promise<DrainResult> {
    const atOnce = trigger === 'SIGINT' ? { minDurationMs: 0, spreadMs: 0, tcp: 'spread' as const } : {}
    return this.#drain.begin(trigger, { ...this.#config.drain, ...atOnce, ...times })
  }

  /** Takes a drain back while the listeners are still open; false if there is none to take back. */
  undrain(): boolean {
    return this.#drain.undo()
  }

  get drainState(): DrainState {
    return this.#drain.state
  }

  /** Resolves when a drain is finished, and after five seconds if none has begun. */
  waitDrained(): Promise<DrainResult | null> {
    return this.#drain.waitDrained()
  }

  /** Reads the configuration file again and applies it, all or nothing. Never rejects. */
  reload(trigger: ReloadTrigger = 'admin'): Promise<ReloadResult> {
    return this.#reloads.reload(trigger)
  }

  /** Reloads if the content of the file differs from the last one tried. */
  reloadIfChanged(): Promise<void> {
    return this.#reloads.reloadIfChanged()
  }

  /** Why the configuration file is not in effect; null if it is. */
  get configError(): ConfigFault | null {
    return this.#reloads.fault
  }

  /** Keys of the file whose values wait for a restart. */
  get restartRequired(): readonly string[] {
    return this.#reloads.restartRequired
  }

  /** The configuration in effect. */
  get effectiveConfig(): Config {
    return this.#config
  }

  async #apply(next: Config, written: Written): Promise<string[]> {
    const check = (): void => {
      if (this.#drain.isUnderway) throw new ReloadRefused('a drain is under way')
      if (this.#state !== 'running')
        throw new ReloadRefused(`it is ${this.#state === 'starting' ? 'starting' : 'stopping'}`)
    }
    check()
    refuseWhatDoesNotFit(next, this.#fits)
    this.ports = await this.#gates.apply(next, check, ofFiles(written))
    // Read by name only, as sections of keys.
    const waiting = restartRequired({ ...this.#config }, { ...next })
    this.#config = keepUntilRestart(this.#config, next)
    const { format, probes, timeline } = next.log
    Object.assign(this.#log, { format, probes, timeline })
    this.#gates.log(logSettings(this.#log))
    this.#admin.configureLogLevel(next.log.level)
    this.#overload.options = next.memory
    return waiting
  }

  /** Ends every connection at once. */
  reset(reason: Reason): Promise<void> {
    return this.#gates.reset(reason)
  }

  /** The present figures for the history. */
  figures(): Promise<Figure[]> {
    return this.#metrics.figures()
  }

  get open(): number {
    return this.#gates.open
  }

  /** All metrics for Prometheus. */
  renderMetrics(): Promise<{ contentType: string; body: string }> {
    return this.#metrics.render()
  }

  /** Closes every server, and resets the remaining connections. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    await this.#drain.stop()
    await this.#gates.stop()
    await this.#crew?.stop()
    await Promise.all([this.#health.stop(), this.#admin.stop()])
    this.#overload.stop()
    this.#history.stop()
    this.#metrics.stop()
  }
}
