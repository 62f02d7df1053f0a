// The composition root: a Config to running parts, and their common life. With served-listener.ts, which wires one listener, the
// only file that knows every folder; options.ts maps what the configuration says.

import { AdminServer } from '../admin/admin-server.ts'
import { ConnectionLimit } from '../limits/places.ts'
import { Refusals } from '../admission/refusal.ts'
import { Sweep, Sweeps, systemClock } from '../core/clock.ts'
import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Reason } from '../core/close.ts'
import type { Address } from '../config/address.ts'
import type { Config } from '../config/schema.ts'
import { OFF, parseDuration } from '../config/units.ts'
import { Registry } from '../core/connection.ts'
import type { Connection } from '../core/connection.ts'
import { checkAdoption } from '../endpoint/read-buffer.ts'
import { ConfigError } from '../core/errors.ts'
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
import type { LogWriter } from '../log/log-writer.ts'
import { Rejections } from '../log/rejections.ts'
import { Metrics } from '../metrics/metrics.ts'
import { ListenerSet } from '../gate/listener-set.ts'
import { cannotBind, cannotUse, keepUntilRestart, listenersOf, refuseWhatDoesNotFit, restartRequired, toListen } from '../gate/options.ts'
import { Pacer } from '../limits/pacer.ts'
import { calm } from '../core/strain.ts'
import { meteredListener } from '../gate/served-limits.ts'
import type { SharedParts } from '../gate/served-listener.ts'
import { tokenWatch } from './token-watch.ts'
import { Names, systemNames } from '../upstream/names.ts'
import type { NameOptions } from '../upstream/names.ts'

export interface SidegateParts {
  log: Log
  logWriter: Pick<LogWriter, 'dropped'>
  clock?: Clock
  random?: () => number
  /** How names of upstreams are resolved. */
  names?: NameOptions
  /** The limit of open descriptors; null where the system does not tell. */
  descriptors?: number | null
  /** How much memory there is and is used. */
  memory?: MemoryGauge
  /** Where the configuration came from, and what was there; without it there is nothing to reload. `hash` is of the one that it starts with. */
  source?: { source: ConfigSource<Config>; content: Content | null; hash: string }
  /** Read through Node's `data` events even where the shared buffer works: for tests of the fallback. */
  withoutSharedBuffer?: boolean
}

export class Sidegate {
  readonly registry = new Registry()
  readonly metrics: Metrics
  readonly #log: Log
  readonly #clock: Clock
  readonly #fits: number
  readonly #shared: SharedParts
  readonly #listeners: ListenerSet
  readonly #health: HealthServer
  readonly #admin: AdminServer
  readonly #strain = calm()
  readonly #overload: Overload
  readonly #drain: Drain
  readonly #reloads: Reloads<Config>
  #config: Config
  #state: 'starting' | 'running' | 'stopped' = 'starting'
  /** Ports as bound; null for unix sockets. */
  healthPort = 0
  adminPort = 0

  /** Binds everything; rejects with a ConfigError if it does not fit this machine, with the system's error if a port is taken. */
  static async start(config: Config, parts: SidegateParts): Promise<Sidegate> {
    const isShared = parts.withoutSharedBuffer === true ? false : await checkAdoption(parts.clock ?? systemClock)
    const sidegate = new Sidegate(config, parts, isShared)
    await sidegate.#start()
    return sidegate
  }

  private constructor(config: Config, parts: SidegateParts, isShared: boolean) {
    const { log, clock = systemClock, random = Math.random } = parts
    this.#config = config
    this.#log = log
    this.#clock = clock
    if (!isShared) log.warn('this Node does not read accepted sockets into a shared buffer: more memory and CPU for each connection')
    this.#fits = connectionsThatFit(parts.descriptors ?? descriptorLimit() ?? Number.POSITIVE_INFINITY)
    refuseWhatDoesNotFit(config, this.#fits)
    this.#drain = new Drain({ clock, random, registry: this.registry, log, stopAccepting: () => this.#listeners.close() })
    this.#reloads = new Reloads({ clock, log, source: parts.source?.source ?? null, content: parts.source?.content ?? null, hash: parts.source?.hash ?? '', apply: (next) => this.#apply(next) })
    this.#overload = makeOverload(config.memory, { clock, log, registry: this.registry, strain: this.#strain }, parts.memory)
    this.metrics = this.#makeMetrics(parts)
    this.#health = this.#makeHealthServer()
    this.#admin = this.#makeAdminServer()
    this.#shared = this.#sharedParts(parts, isShared)
    this.#listeners = new ListenerSet(config, this.#shared)
  }

  #makeMetrics({ logWriter }: SidegateParts): Metrics {
    return new Metrics({
      listeners: this.#config.listeners.map((listener) => meteredListener(listener, { processLimit: { max: this.#fits } })),
      registry: this.registry,
      clock: this.#clock,
      ...build(),
      isDraining: () => this.#drain.isUnderway,
      drainCut: () => this.#drain.totalCut,
      arriving: () => this.#listeners.current.map(({ config: { name }, arriving }) => [name, arriving] as const),
      config: () => this.#reloads,
      overload: () => this.#overload.view,
      logLinesDropped: () => logWriter.dropped,
      upstreams: () => this.#listeners.current.map(({ upstreamCounts }) => upstreamCounts),
    })
  }

  #makeHealthServer(): HealthServer {
    return new HealthServer({
      clock: this.#clock,
      isStarted: () => this.#state !== 'starting',
      readiness: () => this.#readiness(),
      renderMetrics: () => this.metrics.render(),
      waitDrained: (onGone) => this.#drain.waitDrained(onGone),
    })
  }

  #makeAdminServer(): AdminServer {
    return new AdminServer({
      ...build(),
      clock: this.#clock,
      registry: this.registry,
      log: this.#log,
      listeners: () => this.#listeners.current.map(({ view }) => view),
      upstreams: () => this.#listeners.current.map(({ upstreamView }) => upstreamView),
      state: () => (this.#drain.isUnderway ? 'draining' : this.#state),
      // With it comes the schema, 5 MB that a gate does without until somebody asks.
      config: async () => (await import('../config/effective.ts')).effectiveConfig(this.#config),
      configError: () => this.configError,
      lifecycle: this,
      parseDuration: (text) => parseDuration(text, { min: 1, max: OFF, isOffAllowed: false }),
      tokenFile: this.#config.admin.tokenFile,
      tokens: tokenWatch(this.#config.admin.tokenFile, { log: this.#log, clock: this.#clock, metrics: this.metrics }),
      onError: (error) => this.#log.error('the admin server failed', { error: error instanceof Error ? error : String(error) }),
    })
  }

  #sharedParts({ random = Math.random, names = systemNames }: SidegateParts, isShared: boolean): SharedParts {
    const clock = this.#clock
    const log = this.#log
    return {
      clock,
      sweeps: new Sweeps(clock),
      pacer: new Pacer(clock),
      random,
      registry: this.registry,
      metrics: this.metrics,
      log,
      refusals: new Refusals(clock, new Sweep(clock)),
      rejections: new Rejections(log, clock),
      names: new Names(names, clock, random),
      isShared,
      strain: this.#strain,
      processLimit: new ConnectionLimit(this.#fits),
      logsRequests: this.#config.log.requests,
      isDraining: () => this.#drain.isUnderway,
      onClosed: (connection) => this.#onClosed(connection),
    }
  }

  async #start(): Promise<void> {
    this.#overload.start()
    try {
      // Health first: a kubelet that asks while the rest binds gets an answer.
      this.healthPort = await this.#bind('health.address', this.#config.health.address, (address) => this.#health.start(address))
      const tokenProblem = await this.#admin.tokenProblem()
      if (tokenProblem !== null) throw cannotUse('admin.tokenFile', this.#config.admin.tokenFile ?? '', tokenProblem)
      this.adminPort = await this.#bind('admin.address', this.#config.admin.address, (address) => this.#admin.start(address))
      await this.#listeners.listen()
    } catch (error) {
      await this.stop()
      throw error
    }
    this.#state = 'running'
    this.#log.info('started', { version: version(), listeners: listenersOf(this.#config) })
  }

  async #bind<T>(key: string, address: Address, listen: (address: { host?: string; port: number } | { path: string }) => Promise<T>): Promise<T> {
    try {
      return await listen(toListen(address))
    } catch (error) {
      if (error instanceof ConfigError) throw error
      throw cannotBind(key, address, error as NodeJS.ErrnoException)
    }
  }

  /** The port of each listener as bound; null for a unix socket. */
  get ports(): Array<number | null> {
    return this.#listeners.current.map((listener) => listener.port)
  }

  #onClosed(connection: Connection): void {
    this.registry.delete(connection)
    this.metrics.onClosed(connection)
    this.#log.connection(connection, this.#clock.now())
    this.#drain.onClosed(connection)
  }

  #readiness(): Readiness {
    const isRunning = this.#state === 'running' && !this.#drain.isUnderway
    return readinessOf({ listening: isRunning ? null : this.#drain.isUnderway ? 'draining' : this.#state, memory: this.#strain.isRefusing ? 'overloaded' : null })
  }

  /**
   * Empties the gate (lifecycle/drain.ts) as `drain` of the configuration says; SIGINT, of somebody at a terminal, waits for nobody to
   * notice. Resolves when no connection is left. The health server goes on to answer.
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

  /** The same, if the file has another content than was tried last. */
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

  /** What is in effect. */
  get effectiveConfig(): Config {
    return this.#config
  }

  async #apply(next: Config): Promise<string[]> {
    const check = (): void => {
      if (this.#drain.isUnderway) throw new ReloadRefused('a drain is under way')
      if (this.#state !== 'running') throw new ReloadRefused(`it is ${this.#state === 'starting' ? 'starting' : 'stopping'}`)
    }
    check()
    refuseWhatDoesNotFit(next, this.#fits)
    await this.#listeners.change(next, check)
    // Read by name only, as sections of keys.
    const waiting = restartRequired({ ...this.#config }, { ...next })
    this.#config = keepUntilRestart(this.#config, next)
    Object.assign(this.#log, { format: next.log.format, probes: next.log.probes })
    this.#admin.configureLogLevel(next.log.level)
    this.#shared.logsRequests = next.log.requests
    this.#overload.options = next.memory
    return waiting
  }

  /** Ends every connection at once. */
  reset(reason: Reason): void {
    for (const connection of [...this.registry]) connection.owner?.close(makeClose(reason, 'sidegate', connection.phase))
  }

  /** Closes every server; connections that are left are reset. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#drain.stop()
    this.#listeners.close()
    this.reset('drain_timeout')
    this.#listeners.retire()
    await Promise.all([this.#health.stop(), this.#admin.stop()])
    this.#overload.stop()
    this.metrics.stop()
  }
}
