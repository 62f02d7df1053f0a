// The composition root: a Config to running parts, and their common life. With served-listener.ts, which wires one listener, the
// only file that knows every folder; options.ts maps what the configuration says.

import { AdminServer } from './admin/admin-server.ts'
import { ConnectionLimit } from './admission/limits.ts'
import { Refusals } from './admission/refusal.ts'
import { Sweep, systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { makeClose } from './close.ts'
import type { Reason } from './close.ts'
import { formatAddress } from './config/address.ts'
import type { Address } from './config/address.ts'
import type { Config } from './config/schema.ts'
import { Registry } from './connection.ts'
import type { Connection } from './connection.ts'
import { checkAdoption } from './endpoint/read-buffer.ts'
import { ConfigError } from './errors.ts'
import { connectionsThatFit, descriptorLimit } from './lifecycle/descriptors.ts'
import { HealthServer } from './lifecycle/health-server.ts'
import { revision, version } from './lifecycle/version.ts'
import type { Log } from './log/log.ts'
import type { LogWriter } from './log/log-writer.ts'
import { Rejections } from './log/rejections.ts'
import { Metrics } from './metrics/metrics.ts'
import { cannotBind, refuseWhatDoesNotFit, shortestDeadline, toListen } from './options.ts'
import { meteredListener, ServedListener } from './served-listener.ts'
import type { SharedParts } from './served-listener.ts'

export interface SidegateParts {
  log: Log
  logWriter: Pick<LogWriter, 'dropped'>
  clock?: Clock
  random?: () => number
  /** The limit of open descriptors; null where the system does not tell. */
  descriptors?: number | null
  /** Read through Node's `data` events even where the shared buffer works: for tests of the fallback. */
  withoutSharedBuffer?: boolean
}

export class Sidegate {
  readonly registry = new Registry()
  readonly metrics: Metrics
  readonly #config: Config
  readonly #log: Log
  readonly #clock: Clock
  readonly #listeners: ServedListener[]
  readonly #health: HealthServer
  readonly #admin: AdminServer
  #state: 'starting' | 'running' | 'draining' | 'stopped' = 'starting'
  #whenEmpty: (() => void) | null = null
  /** Ports as bound; null for unix sockets. */
  healthPort = 0
  adminPort = 0

  /** Binds everything; rejects with a ConfigError if it does not fit this machine, with the system's error if a port is taken. */
  static async start(config: Config, parts: SidegateParts): Promise<Sidegate> {
    const isShared = parts.withoutSharedBuffer === true ? false : await checkAdoption()
    const sidegate = new Sidegate(config, parts, isShared)
    await sidegate.#start()
    return sidegate
  }

  private constructor(config: Config, parts: SidegateParts, isShared: boolean) {
    const { log, logWriter, clock = systemClock } = parts
    this.#config = config
    this.#log = log
    this.#clock = clock
    if (!isShared) log.warn('this Node does not read accepted sockets into a shared buffer: more memory and CPU for each connection')
    const fits = connectionsThatFit(parts.descriptors ?? descriptorLimit() ?? Number.POSITIVE_INFINITY)
    refuseWhatDoesNotFit(config, fits)
    const build = { version: version(), revision: revision() }
    this.metrics = new Metrics({
      listeners: config.listeners.map(meteredListener),
      registry: this.registry,
      clock,
      ...build,
      arriving: () => this.#listeners.map(({ config: { name }, arriving }) => [name, arriving] as const),
      isDraining: () => this.#state === 'draining',
      logLinesDropped: () => logWriter.dropped,
    })
    this.#health = new HealthServer({
      clock,
      isStarted: () => this.#state !== 'starting',
      readiness: () => this.#readiness(),
      renderMetrics: () => this.metrics.render(),
    })
    this.#admin = new AdminServer({ clock, registry: this.registry, ...build, listeners: () => this.#listeners.map(({ view }) => view) })
    const shared = this.#sharedParts(parts, isShared, new ConnectionLimit(fits))
    this.#listeners = config.listeners.map((listener, index) => new ServedListener(listener, `listeners[${index}]`, shared))
  }

  #sharedParts({ random = Math.random }: SidegateParts, isShared: boolean, processLimit: ConnectionLimit): SharedParts {
    const clock = this.#clock
    const log = this.#log
    const sweep = new Sweep(clock, shortestDeadline(this.#config))
    return {
      clock,
      sweep,
      random,
      registry: this.registry,
      metrics: this.metrics,
      log,
      refusals: new Refusals(clock, sweep),
      rejections: new Rejections(log, clock),
      isShared,
      processLimit,
      logsRequests: this.#config.log.requests,
      onClosed: (connection) => this.#onClosed(connection),
    }
  }

  async #start(): Promise<void> {
    try {
      // Health first: a kubelet that asks while the rest binds gets an answer.
      this.healthPort = await this.#bind('health.address', this.#config.health.address, (address) => this.#health.start(address))
      this.adminPort = await this.#bind('admin.address', this.#config.admin.address, (address) => this.#admin.start(address))
      for (const [index, listener] of this.#listeners.entries()) {
        await this.#bind(`listeners[${index}].address`, listener.config.address, () => listener.listen())
      }
    } catch (error) {
      await this.stop()
      throw error
    }
    this.#state = 'running'
    this.#log.info('started', { version: version(), listeners: this.#config.listeners.map(({ name, address }) => `${name} ${formatAddress(address)}`).join(', ') })
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
    return this.#listeners.map((listener) => listener.port)
  }

  #onClosed(connection: Connection): void {
    this.registry.delete(connection)
    this.metrics.onClosed(connection)
    this.#log.connection(connection, this.#clock.now())
    if (this.registry.size === 0) this.#whenEmpty?.()
  }

  #readiness(): { ready: boolean; checks: Array<{ name: string; ok: boolean; detail?: string }> } {
    const isRunning = this.#state === 'running'
    const checks = [{ name: 'listening', ok: isRunning, ...(isRunning ? {} : { detail: this.#state }) }]
    return { ready: isRunning, checks }
  }

  /**
   * Stops accepting, asks every connection to go, and after `timeoutMs` resets those that are left.
   * Resolves when none is left. The health server goes on to answer.
   */
  async drain(timeoutMs: number): Promise<void> {
    if (this.#state !== 'running') return
    this.#state = 'draining'
    this.#log.info('draining', { connections: this.registry.size })
    for (const listener of this.#listeners) listener.close()
    this.#closeAll('drain')
    if (await this.#emptyWithin(timeoutMs)) return
    this.reset('drain_timeout')
    await this.#emptyWithin(1000)
  }

  /** Ends every connection at once. */
  reset(reason: Reason): void {
    this.#closeAll(reason)
  }

  #closeAll(reason: Reason): void {
    for (const connection of [...this.registry]) connection.owner?.close(makeClose(reason, 'sidegate', connection.phase))
  }

  #emptyWithin(ms: number): Promise<boolean> {
    if (this.registry.size === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const done = (isEmpty: boolean): void => {
        cancel()
        this.#whenEmpty = null
        resolve(isEmpty)
      }
      const cancel = this.#clock.after(ms, () => done(false))
      this.#whenEmpty = () => done(true)
    })
  }

  /** Closes every server; connections that are left are reset. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    for (const listener of this.#listeners) listener.close()
    this.#closeAll('drain_timeout')
    for (const listener of this.#listeners) listener.retire()
    await Promise.all([this.#health.stop(), this.#admin.stop()])
    this.metrics.stop()
  }
}
