// The composition root: a Config to running parts. The only file that knows every folder; options.ts
// maps what the configuration says, and here it is wired: the observer to metrics and log, listeners to protocols.

import { AdminServer } from './admin/admin-server.ts'
import { ConnectionLimit } from './admission/limits.ts'
import { deaf, Refusals } from './admission/refusal.ts'
import { Sweep, systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { makeClose } from './close.ts'
import type { Reason } from './close.ts'
import { formatAddress } from './config/address.ts'
import type { Address } from './config/address.ts'
import type { Config, ListenerConfig } from './config/schema.ts'
import { Registry } from './connection.ts'
import type { Connection } from './connection.ts'
import { checkAdoption } from './endpoint/read-buffer.ts'
import { regainedEndpoint, SocketEndpoint } from './endpoint/socket-endpoint.ts'
import type { ReadOptions } from './endpoint/socket-endpoint.ts'
import { invariant } from './errors.ts'
import { connectionsThatFit, descriptorLimit } from './lifecycle/descriptors.ts'
import { HealthServer } from './lifecycle/health-server.ts'
import { revision, version } from './lifecycle/version.ts'
import { Listener } from './listener/listener.ts'
import type { Log } from './log/log.ts'
import type { LogWriter } from './log/log-writer.ts'
import { Rejections } from './log/rejections.ts'
import { Metrics } from './metrics/metrics.ts'
import { cannotBind, httpOptions, READ_BYTES, refuseWhatDoesNotFit, serveOptions, shortestDeadline, toListen, toListener, toTarget, websocketOptions } from './options.ts'
import { refusal } from './protocol/http/refusal.ts'
import type { HttpContext } from './protocol/http/connection.ts'
import { HttpFront } from './protocol/http/serve.ts'
import type { Exchange } from './protocol/http/exchange.ts'
import { HttpPool } from './upstream/http-pool.ts'
import type { Endpoint } from './endpoint/endpoint.ts'
import { serveTcp } from './protocol/tcp.ts'
import { serveUpgrade, serveWebSocket } from './protocol/websocket/serve.ts'
import type { WebSocketOptions } from './protocol/websocket/serve.ts'

type Serve = (connection: Connection, client: Endpoint) => void

const DEFAULT_CONNECTIONS = 10_000
const RETRY_AFTER_SECONDS = 5

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
  readonly #random: () => number
  readonly #sweep: Sweep
  readonly #refusals: Refusals
  readonly #rejections: Rejections
  readonly #isShared: boolean
  readonly #processLimit: ConnectionLimit
  readonly #listeners: Listener[] = []
  readonly #fronts: HttpFront[] = []
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
    const { log, logWriter, clock = systemClock, random = Math.random } = parts
    this.#config = config
    this.#log = log
    this.#clock = clock
    this.#random = random
    this.#isShared = isShared
    this.#sweep = new Sweep(clock, shortestDeadline(config))
    this.#refusals = new Refusals(clock, this.#sweep)
    this.#rejections = new Rejections(log, clock)
    if (!isShared) log.warn('this Node does not read accepted sockets into a shared buffer: more memory and CPU for each connection')
    const fits = connectionsThatFit(parts.descriptors ?? descriptorLimit() ?? Number.POSITIVE_INFINITY)
    refuseWhatDoesNotFit(config, fits)
    this.#processLimit = new ConnectionLimit(fits)
    const build = { version: version(), revision: revision() }
    this.metrics = new Metrics({
      listeners: config.listeners.map((listener) => ({
        name: listener.name,
        protocols: listener.protocol === 'tcp' ? ['tcp'] : ['http', 'websocket'],
        bufferHighBytes: listener.buffers.highBytes,
      })),
      registry: this.registry,
      clock,
      ...build,
      isDraining: () => this.#state === 'draining',
      logLinesDropped: () => logWriter.dropped,
    })
    this.#health = new HealthServer({
      clock,
      isStarted: () => this.#state !== 'starting',
      readiness: () => this.#readiness(),
      renderMetrics: () => this.metrics.render(),
    })
    this.#admin = new AdminServer({ clock, registry: this.registry, ...build, listeners: () => this.#listenerViews() })
    for (const listener of config.listeners) this.#listeners.push(this.#makeListener(listener, fits))
  }

  async #start(): Promise<void> {
    try {
      // Health first: a kubelet that asks while the rest binds gets an answer.
      this.healthPort = await this.#bind('health.address', this.#config.health.address, (address) => this.#health.start(address))
      this.adminPort = await this.#bind('admin.address', this.#config.admin.address, (address) => this.#admin.start(address))
      for (const [index, listener] of this.#listeners.entries()) {
        await this.#bind(`listeners[${index}].address`, this.#config.listeners[index]!.address, () => listener.listen())
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
      throw cannotBind(key, address, error as NodeJS.ErrnoException)
    }
  }

  /** The port of each listener as bound; null for a unix socket. */
  get ports(): Array<number | null> {
    return this.#listeners.map((listener) => listener.port)
  }

  #makeListener(config: ListenerConfig, fits: number): Listener {
    const read: ReadOptions = { readBytes: Math.min(READ_BYTES, config.buffers.highBytes), isShared: this.#isShared }
    const max = config.limits.connections ?? Math.min(DEFAULT_CONNECTIONS, fits)
    if (config.limits.connections === null && max < DEFAULT_CONNECTIONS) {
      this.#log.warn('fewer connections than by default: the descriptor limit holds no more', { listener: config.name, connections: max })
    }
    const limit = new ConnectionLimit(max, this.#processLimit)
    const context: HttpContext = {
      clock: this.#clock,
      sweep: this.#sweep,
      random: this.#random,
      observer: this.metrics,
      onClosed: (connection) => this.#onClosed(connection, limit),
      onExchange: (connection, exchange, status) => this.#onExchange(connection, exchange, status),
    }
    const serve = config.protocol === 'tcp' ? this.#tcpServer(config, read, context) : this.#httpServer(config, read, context)
    return new Listener(
      { name: config.name, address: toListener(config.address), protocol: config.protocol, read, noDelay: config.noDelay },
      {
        clock: this.#clock,
        registry: this.registry,
        limit,
        refusals: this.#refusals,
        serve,
        refusalAnswer: (close) => (config.protocol === 'tcp' ? null : refusal(close, RETRY_AFTER_SECONDS)),
        onRejected: (close, client) => {
          this.metrics.onRejected(config.name, close)
          this.#rejections.note(config.name, close, client)
        },
        onError: (error) => this.#log.warn('accept failed', { listener: config.name, error: error.message }),
      },
    )
  }

  #tcpServer(config: ListenerConfig, read: ReadOptions, context: HttpContext): Serve {
    const options = serveOptions(config, read)
    return (connection, client) => serveTcp(connection, client, options, context)
  }

  #httpServer(config: ListenerConfig, read: ReadOptions, context: HttpContext): Serve {
    const target = toTarget(config.upstream.address)
    const front = new HttpFront(httpOptions(config), context, new HttpPool({ target, noDelay: config.noDelay }, this.#clock, this.#sweep), (connection, socket, request, early) => {
      serveUpgrade(connection, regainedEndpoint(socket, read, deaf), request, early, options, context)
    })
    const options: WebSocketOptions = {
      ...websocketOptions(config, read),
      servePlain: (connection, client, bytes) => {
        invariant(client instanceof SocketEndpoint, 'a client that is no socket')
        front.serve(connection, client.release(), bytes)
      },
    }
    this.#fronts.push(front)
    return (connection, client) => serveWebSocket(connection, client, options, context)
  }

  #onExchange(connection: Connection, { request, startedAt }: Exchange, status: number | null): void {
    const now = this.#clock.now()
    const { method = '' } = request
    this.metrics.onRequest(connection, { method, status, durationMs: now - startedAt })
    if (!this.#config.log.requests) return
    const { id, listener, clientAddress: client } = connection
    // The query is left out: it is where tokens are.
    const path = (request.url ?? '').split('?', 1)[0]!
    this.#log.info('request', { id, listener, client, method, path, status, durationMs: now - startedAt })
  }

  #onClosed(connection: Connection, limit: ConnectionLimit): void {
    this.registry.delete(connection)
    limit.release()
    this.metrics.onClosed(connection)
    this.#log.connection(connection, this.#clock.now())
    if (this.registry.size === 0) this.#whenEmpty?.()
  }

  #readiness(): { ready: boolean; checks: Array<{ name: string; ok: boolean; detail?: string }> } {
    const isRunning = this.#state === 'running'
    const checks = [{ name: 'listening', ok: isRunning, ...(isRunning ? {} : { detail: this.#state }) }]
    return { ready: isRunning, checks }
  }

  #listenerViews(): Array<{ name: string; address: string; protocol: 'tcp' | 'http'; upstream: string }> {
    return this.#config.listeners.map(({ name, address, protocol, upstream }) => ({
      name,
      address: formatAddress(address),
      protocol,
      upstream: formatAddress(upstream.address),
    }))
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
    for (const front of this.#fronts) front.close()
    await Promise.all([this.#health.stop(), this.#admin.stop()])
    this.metrics.stop()
  }
}
