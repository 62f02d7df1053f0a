// One listener of the configuration with all that serves it: its places, its protocol, its upstream. The composition root
// makes one for each; a connection lives with the parts that it was admitted by. A reload that changes the listener makes another one,
// its successor, which inherits what belongs to the listener as a whole: its listening socket, its count of places, its deadlines.
//
//     made --listen() or takeOver()--> accepting --close()--> no more --retire(), and its last connection ended--> gone

import type { ConnectionLimit } from '../limits/places.ts'
import type { Refusals } from '../admission/refusal.ts'
import type { Clock, Sweep, Sweeps } from '../core/clock.ts'
import type { Reason } from '../core/close.ts'
import { formatAddress } from '../config/address.ts'
import type { ListenerConfig } from '../config/schema.ts'
import { releasePlace, type Connection, type Registry } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { ReadOptions } from '../endpoint/socket-endpoint.ts'
import { LiveValue } from '../core/live.ts'
import { Intake, type IntakeContext, type IntakeOptions } from '../listener/intake.ts'
import { Listener } from '../listener/listener.ts'
import type { Log } from '../log/log.ts'
import type { Rejections } from '../log/rejections.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { UpstreamCounts } from '../metrics/upstream-metrics.ts'
import { accessRules, asksTls, deadlinesOf, httpOptions, proxyRules, proxyVersion, READ_BYTES, serveOptions, shortestDeadline, toListener, websocketOptions, type Served } from './options.ts'
import type { Pacer } from '../limits/pacer.ts'
import type { Strain } from '../core/strain.ts'
import type { Exchange } from '../http1/exchange.ts'
import type { HttpContext } from '../http1/options.ts'
import { refusal } from '../http1/refusal.ts'
import { serveHttp } from '../http1/serve.ts'
import type { FirstRequest } from '../http1/serve.ts'
import type { RequestHead } from '../http1/head.ts'
import type { ServeContext } from '../opening/opening.ts'
import { serveTcp } from '../opening/tcp.ts'
import { serveUpgrade, serveWebSocket } from '../websocket/serve.ts'
import type { WebSocketOptions } from '../websocket/serve.ts'
import { ServedLimits } from './served-limits.ts'
import { ServedUpstream } from './served-upstream.ts'
import { TlsParts } from './tls-parts.ts'
import type { Names } from '../upstream/names.ts'
import type { UpstreamView } from '../upstream/upstream-view.ts'

/** What all listeners share. */
export interface SharedParts {
  clock: Clock
  sweeps: Sweeps
  /** Gives turns to whom a rate limit delays. */
  pacer: Pacer
  random: () => number
  registry: Registry
  metrics: Metrics
  log: Log
  refusals: Refusals
  rejections: Rejections
  names: Names
  /** Sockets read into one shared buffer (`checkAdoption`). */
  isShared: boolean
  /** Connections that the descriptor limit holds, and how many of them are taken. */
  processLimit: ConnectionLimit
  /** What a shortage of memory asks of all of them. */
  strain: Strain
  logsRequests: boolean
  isDraining: () => boolean
  /** Both sides of a connection are gone, and its place is free again. */
  onClosed: (connection: Connection) => void
}

type Serve = (connection: Connection, client: Endpoint) => void

export class ServedListener {
  #config: ListenerConfig
  readonly #shared: SharedParts
  readonly #sweep: Sweep
  readonly #read: ReadOptions
  readonly #limits: ServedLimits
  readonly #upstream: ServedUpstream
  /** Of all connections of this name, those of predecessors too: live ones read it whenever they are judged. */
  readonly #deadlines: LiveValue<ReturnType<typeof deadlinesOf>>
  readonly #tls: TlsParts
  readonly #intake: Intake
  /** Null before it listens, and once the socket was handed to a successor. */
  #listener: Listener | null = null
  /** Connections that it serves. */
  #open = 0
  #isRemoved = false
  #onGone: (() => void) | null = null

  /** `key` is where it stands in the configuration: `listeners[0]`. */
  constructor(config: ListenerConfig, key: string, shared: SharedParts, predecessor: ServedListener | null = null) {
    this.#config = config
    this.#shared = shared
    this.#sweep = shared.sweeps.of(config.name, shortestDeadline(config))
    this.#read = { readBytes: Math.min(READ_BYTES, config.buffers.highBytes), isShared: shared.isShared }
    this.#deadlines = predecessor === null ? new LiveValue(deadlinesOf(config)) : predecessor.#deadlines
    this.#limits = new ServedLimits(config, shared, { read: this.#read, deadlines: this.#deadlines }, predecessor === null ? null : predecessor.#limits)
    this.#tls = this.#findTls(key, predecessor).join()
    this.#upstream = this.#findUpstream(predecessor).join()
    this.#intake = new Intake(this.#intakeOptions(), this.#intakeContext())
  }

  get config(): ListenerConfig {
    return this.#config
  }

  /** Reads the files that it needs; rejects with a ConfigError where they cannot be used. */
  prepare(): Promise<void> {
    return this.#tls.start()
  }

  /** Resolves once connections are accepted; rejects with what the system said, or as `prepare`. */
  async listen(): Promise<void> {
    await this.prepare()
    this.#upstream.start()
    const { name } = this.#config
    this.#listener = new Listener(toListener(this.#config), this.#intake, (error) => this.#shared.log.warn('accept failed', { listener: name, error: error.message }))
    await this.#listener.listen()
  }

  /** Accepts from now on at the socket of `other`, which has none any more. It was prepared. */
  takeOver(other: ServedListener): void {
    this.#listener = other.#listener
    other.#listener = null
    this.#upstream.start()
    this.#listener?.handOver(this.#intake)
    if (this.#config.mode !== other.#config.mode) this.#listener?.setMode(this.#config.mode)
  }

  /**
   * `config` is what holds for this listener from now on: its deadlines for the connections that are open as well (a wait for a head
   * or a dial that has begun keeps the end that it has), its number of places for new ones.
   */
  settle(config: ListenerConfig): void {
    this.#config = config
    this.#deadlines.set(deadlinesOf(config))
    this.#limits.settle(config)
    this.#sweep.retune(shortestDeadline(config))
  }

  /** The port that was bound; null for a unix socket. */
  get port(): number | null {
    return this.#listener?.port ?? null
  }

  /** As the admin server shows it. */
  get view(): { name: string; address: string; protocol: 'tcp' | 'http'; upstream: string } {
    const { name, address, protocol, upstream } = this.#config
    return { name, address: formatAddress(address), protocol, upstream: upstream.addresses.map(formatAddress).join(',') }
  }

  get upstreamView(): UpstreamView & { listener: string } {
    return this.#upstream.view
  }

  get upstreamCounts(): UpstreamCounts {
    return this.#upstream.counts
  }

  /** Connections that gates still wait for. */
  get arriving(): number {
    return this.#listener?.arriving ?? 0
  }

  /** Accepts no more; connections go on, but for those that are not admitted yet: they end with `reason`. */
  close(reason: Reason = 'drain'): void {
    this.#listener?.close(reason)
  }

  /** It is not in the configuration any more: HTTP clients are told so with their next answer. */
  remove(): void {
    this.#isRemoved = true
  }

  /** Accepts no more, and stops what it keeps for connections as soon as there is none left, or at once. */
  retire(onGone: () => void = () => {}, isAtOnce = false): void {
    this.close(isAtOnce ? 'drain' : 'reloaded')
    this.#onGone = () => {
      this.#onGone = null
      this.#upstream.leave()
      this.#tls.leave()
      onGone()
    }
    if (this.#open === 0 || isAtOnce) this.#onGone()
  }

  #findTls(key: string, predecessor: ServedListener | null): TlsParts {
    const tls = predecessor === null ? null : predecessor.#tls
    return tls !== null && tls.fits(this.#config) ? tls : new TlsParts(this.#config, key, this.#shared, tls)
  }

  #findUpstream(predecessor: ServedListener | null): ServedUpstream {
    // Where the files of its TLS are others, so is all that was dialled with them.
    if (predecessor !== null && predecessor.#tls === this.#tls && predecessor.#upstream.fits(this.#config)) return predecessor.#upstream
    return new ServedUpstream(this.#config, this.#deadlines, this.#shared, this.#tls.secure)
  }

  #intakeOptions(): IntakeOptions {
    const { name, address, protocol, noDelay } = this.#config
    const [proxy, tls] = [proxyRules(this.#config), this.#tls.gate]
    return {
      name,
      protocol,
      isUnix: address.kind === 'unix',
      read: this.#read,
      noDelay,
      access: accessRules(this.#config),
      slow: proxy === null && tls === null ? null : { proxy, tls, deadlines: this.#deadlines },
      recordsLocal: proxyVersion(this.#config) !== null,
      recordsTls: asksTls(this.#config),
    }
  }

  #intakeContext(): IntakeContext {
    const { clock, registry, refusals, rejections, metrics, strain } = this.#shared
    const { name, protocol } = this.#config
    const { places, clients, newcomers } = this.#limits
    const context = this.#serveContext()
    const serve = protocol === 'tcp' ? this.#tcpServer(context) : this.#httpServer(context)
    return {
      clock,
      sweep: this.#sweep,
      registry,
      isRefusing: () => strain.isRefusing,
      limit: places,
      clients,
      newcomers,
      refusals,
      serve: (connection, client) => (this.#open++, serve(connection, client)),
      // In the clear, to who expects TLS, an answer would be noise.
      refusalAnswer: (close) => (protocol === 'tcp' || this.#tls.gate !== null ? null : refusal(close)),
      onRejected: (close, client) => {
        metrics.onRejected(name, close)
        // A probe of a load balancer, every few seconds.
        if (close.reason !== 'eof') rejections.note(name, close, client)
      },
    }
  }

  #serveContext(): ServeContext {
    const { clock, random, strain, metrics, onClosed } = this.#shared
    const { rates } = this.#limits
    return {
      ...(rates === null ? {} : { limits: rates }),
      clock,
      sweep: this.#sweep,
      random,
      strain,
      observer: metrics,
      onClosed: (connection) => {
        releasePlace(connection)
        this.#limits.release(connection)
        onClosed(connection)
        if (--this.#open === 0) this.#onGone?.()
      },
    }
  }

  #served(): Served {
    return { deadlines: this.#deadlines, read: this.#read, upstream: this.#upstream.upstream }
  }

  #tcpServer(context: ServeContext): Serve {
    const options = serveOptions(this.#config, this.#served())
    return (connection, client) => serveTcp(connection, client, options, context)
  }

  #httpServer(serving: ServeContext): Serve {
    const context: HttpContext = Object.assign(serving, {
      leaving: () => (this.#isRemoved ? 'reloaded' as const : this.#shared.isDraining() ? 'drain' as const : null),
      onExchange: (connection: Connection, exchange: Exchange, status: number | null) => this.#onExchange(connection, exchange, status),
      serveUpgrade: (connection: Connection, client: Endpoint, request: RequestHead, early: Buffer) => serveUpgrade(connection, client, request, early, options, context),
    })
    const plain = httpOptions(this.#config, this.#served())
    const options: WebSocketOptions = Object.assign(websocketOptions(this.#config, this.#served()), {
      servePlain: (connection: Connection, client: Endpoint, first: FirstRequest) => serveHttp(connection, client, first, plain, context),
    })
    return (connection, client) => serveWebSocket(connection, client, options, context)
  }

  #onExchange(connection: Connection, { request, startedAt }: Exchange, status: number | null): void {
    const { clock, metrics, log, logsRequests } = this.#shared
    const durationMs = clock.now() - startedAt
    const { method, target } = request
    metrics.onRequest(connection, { method, status, durationMs })
    if (!logsRequests) return
    const { id, listener, clientAddress: client } = connection
    // The query is left out: it is where tokens are.
    const path = target.split('?', 1)[0]!
    log.info('request', { id, listener, client, method, path, status, durationMs })
  }
}
