// The composition root: a Config to running parts. The only file that knows every folder; it maps what the configuration
// says to the options that each part declares, and wires the observer to metrics and log.

import { AdminServer } from './admin/admin-server.ts'
import { ConnectionLimit } from './admission/limits.ts'
import { Refusals } from './admission/refusal.ts'
import { Sweep, systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { makeClose } from './close.ts'
import type { Reason } from './close.ts'
import { formatAddress } from './config/address.ts'
import type { Address } from './config/address.ts'
import { checkConfig } from './config/load.ts'
import type { Config, ListenerConfig } from './config/schema.ts'
import { Registry } from './connection.ts'
import type { Connection } from './connection.ts'
import { checkAdoption } from './endpoint/read-buffer.ts'
import type { ReadOptions } from './endpoint/socket-endpoint.ts'
import { ConfigError, formatProblem } from './errors.ts'
import { connectionsThatFit, descriptorLimit } from './lifecycle/descriptors.ts'
import { HealthServer } from './lifecycle/health-server.ts'
import { revision, version } from './lifecycle/version.ts'
import { Listener } from './listener/listener.ts'
import { createLog } from './log/log.ts'
import type { Log } from './log/log.ts'
import type { LogWriter } from './log/log-writer.ts'
import { Rejections } from './log/rejections.ts'
import { Metrics } from './metrics/metrics.ts'
import type { PairOptions } from './pair/pair.ts'
import { refusal } from './protocol/http/refusal.ts'
import type { ServeContext } from './protocol/opening.ts'
import { serveTcp } from './protocol/tcp.ts'
import { serveWebSocket } from './protocol/websocket/serve.ts'
import type { WebSocketOptions } from './protocol/websocket/serve.ts'

/** The most that one read brings, and so what a half may hold at the least. Measured: smaller reads double the cost of 64 KiB messages. */
const READ_BYTES = 64 * 1024
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
    const context: ServeContext = {
      clock: this.#clock,
      sweep: this.#sweep,
      random: this.#random,
      observer: this.metrics,
      onClosed: (connection) => this.#onClosed(connection, limit),
    }
    const options = serveOptions(config, read)
    const serve = config.protocol === 'tcp' ? serveTcp : serveWebSocket
    return new Listener(
      { name: config.name, address: toListener(config.address), protocol: config.protocol, read, noDelay: config.noDelay },
      {
        clock: this.#clock,
        registry: this.registry,
        limit,
        refusals: this.#refusals,
        serve: (connection, client) => serve(connection, client, options, context),
        refusalAnswer: (close) => (config.protocol === 'tcp' ? null : refusal(close, RETRY_AFTER_SECONDS)),
        onRejected: (close, client) => {
          this.metrics.onRejected(config.name, close)
          this.#rejections.note(config.name, close, client)
        },
        onError: (error) => this.#log.warn('accept failed', { listener: config.name, error: error.message }),
      },
    )
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
    await Promise.all([this.#health.stop(), this.#admin.stop()])
    this.metrics.stop()
  }
}

/** The shortest wait that is swept, so that a deadline of 50 ms is not judged every quarter of a second. */
function shortestDeadline(config: Config): number {
  const waits = config.listeners.flatMap(({ deadlines, websocket }) => [
    ...Object.values({ ...deadlines, lifetimeJitter: Number.POSITIVE_INFINITY }),
    websocket.ping.intervalMs,
    websocket.ping.timeoutMs,
  ])
  return Math.min(...waits)
}

function refuseWhatDoesNotFit(config: Config, fits: number): void {
  const problems = config.listeners.flatMap(({ limits }, index) => {
    if (limits.connections === null || limits.connections <= fits) return []
    const message = `got ${limits.connections}, but the descriptor limit holds ${fits} (two for each connection, and a reserve): write at most ${fits} or raise the limit`
    return [{ line: 0, column: 0, path: `listeners[${index}].limits.connections`, message }]
  })
  if (problems.length > 0) throw new ConfigError('configuration', problems)
}

function cannotBind(key: string, address: Address, error: NodeJS.ErrnoException): Error {
  const why = { EADDRINUSE: 'the address is in use', EACCES: 'not permitted', EADDRNOTAVAIL: 'no such address on this machine' }[error.code ?? '']
  const message = `cannot listen on ${formatAddress(address)}: ${why ?? error.message}`
  return new ConfigError('configuration', [{ line: 0, column: 0, path: key, message }])
}

function toListener(address: Address): { host: string | null; port: number } | { path: string } {
  return address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port }
}

function toListen(address: Address): { host?: string; port: number } | { path: string } {
  if (address.kind === 'unix') return { path: address.path }
  return address.host === null ? { port: address.port } : { host: address.host, port: address.port }
}

function serveOptions(config: ListenerConfig, read: ReadOptions): WebSocketOptions {
  const { deadlines, buffers, websocket, http, upstream, tcpKeepAliveMs, noDelay } = config
  const pair: PairOptions = {
    buffers: { highBytes: buffers.highBytes, lowBytes: buffers.lowBytes, readBytes: read.readBytes },
    deadlines,
    closeMs: deadlines.closeMs,
    tcpKeepAliveMs,
  }
  return {
    dial: { target: toTarget(upstream.address), read, connectMs: deadlines.connectMs, noDelay },
    pair,
    handshakeMs: deadlines.handshakeMs,
    responseMs: deadlines.upgradeMs,
    maxHeaderBytes: http.maxHeaderBytes,
    upgrade: { origins: websocket.origins, compression: websocket.compression },
    frames: {
      maxMessageBytes: websocket.maxMessageBytes,
      maxFragments: websocket.maxFragments,
      ping: websocket.ping,
      closeMs: deadlines.closeMs,
    },
  }
}

function toTarget(address: Address): { host: string; port: number } | { path: string } {
  return address.kind === 'unix' ? { path: address.path } : { host: address.host ?? 'localhost', port: address.port }
}

/** How long a shutdown waits for connections beyond the closing handshakes of the slowest listener. */
const DRAIN_MARGIN_MS = 1000
const FLUSH_LOG_MS = 1000
const OK = 0
const INTERNAL = 70

/** The life of the process: runs the gate until a signal ends it. Resolves with the exit code. */
export async function run({ configFile }: { configFile: string }): Promise<number> {
  // Before anything else: as PID 1 a process without handlers would ignore SIGTERM.
  const signals = new Signals()
  const { config, warnings } = await checkConfig(configFile, process.env)
  const { log, writer } = createLog({ clock: systemClock, ...config.log })
  const exit = async (code: number): Promise<number> => {
    await writer.flush(FLUSH_LOG_MS)
    return code
  }
  process.on('uncaughtException', (error) => {
    log.error('uncaught error: this is a bug', { error: error.stack ?? String(error) })
    void exit(INTERNAL).then((code) => process.exit(code))
  })
  for (const warning of warnings) log.warn('risky configuration', { at: formatProblem(configFile, warning) })
  const sidegate = await Sidegate.start(config, { log, logWriter: writer })
  await signals.next()
  const drained = sidegate.drain(Math.max(...config.listeners.map(({ deadlines }) => deadlines.closeMs)) + DRAIN_MARGIN_MS)
  await Promise.race([drained, signals.next()])
  await sidegate.stop()
  log.info('stopped')
  return exit(OK)
}

/** SIGTERM and SIGINT, one after the other. */
class Signals {
  #count = 0
  #wake: (() => void) | null = null

  constructor() {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        this.#count++
        this.#wake?.()
      })
    }
  }

  /** Resolves at the next signal that was not waited for yet. */
  async next(): Promise<void> {
    if (this.#count === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#count--
  }
}
