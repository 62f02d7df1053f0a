// One listener of the configuration with all that serves it: its places, its protocol, its upstream. The composition root
// makes one for each; a connection lives with the parts that it was admitted by.

import { Clients } from './admission/clients.ts'
import { ConnectionLimit } from './admission/limits.ts'
import { Newcomers } from './admission/newcomers.ts'
import { Rates } from './admission/rates.ts'
import { deaf } from './admission/refusal.ts'
import type { Refusals } from './admission/refusal.ts'
import type { Clock, Sweep } from './clock.ts'
import { formatAddress } from './config/address.ts'
import type { ListenerConfig } from './config/schema.ts'
import type { Connection, LimitAction, LimitName, Registry } from './connection.ts'
import type { Endpoint } from './endpoint/endpoint.ts'
import { regainedEndpoint, SocketEndpoint } from './endpoint/socket-endpoint.ts'
import type { ReadOptions } from './endpoint/socket-endpoint.ts'
import { invariant } from './errors.ts'
import { Listener } from './listener/listener.ts'
import type { Log } from './log/log.ts'
import type { Rejections } from './log/rejections.ts'
import type { MeteredLimit, MeteredListener } from './metrics/listener-metrics.ts'
import type { Metrics } from './metrics/metrics.ts'
import { clientOptions, httpOptions, ratesOptions, READ_BYTES, serveOptions, toListener, toTarget, websocketOptions } from './options.ts'
import type { HttpContext } from './protocol/http/connection.ts'
import type { Exchange } from './protocol/http/exchange.ts'
import { refusal } from './protocol/http/refusal.ts'
import { HttpFront } from './protocol/http/serve.ts'
import { serveTcp } from './protocol/tcp.ts'
import { serveUpgrade, serveWebSocket } from './protocol/websocket/serve.ts'
import type { WebSocketOptions } from './protocol/websocket/serve.ts'
import type { Pacer } from './pair/pacer.ts'
import { HttpPool } from './upstream/http-pool.ts'

/** What all listeners share. */
export interface SharedParts {
  clock: Clock
  sweep: Sweep
  /** Gives turns to whom a rate limit delays. */
  pacer: Pacer
  random: () => number
  registry: Registry
  metrics: Metrics
  log: Log
  refusals: Refusals
  rejections: Rejections
  /** Sockets read into one shared buffer (`checkAdoption`). */
  isShared: boolean
  /** Connections that the descriptor limit holds, and how many of them are taken. */
  processLimit: ConnectionLimit
  /** One line for each HTTP request (`log.requests`). */
  logsRequests: boolean
  /** Both sides of a connection are gone, and its place is free again. */
  onClosed: (connection: Connection) => void
}

type Serve = (connection: Connection, client: Endpoint) => void

const DEFAULT_CONNECTIONS = 10_000
/** A refused client is told to wait 1 to this many seconds, at random: told the same, all would come back at once. */
const MAX_RETRY_AFTER_SECONDS = 5

/** What the metrics are told of a listener. */
export function meteredListener({ name, protocol, buffers, limits }: ListenerConfig): MeteredListener {
  return { name, protocols: protocol === 'tcp' ? ['tcp'] : ['http', 'websocket'], bufferHighBytes: buffers.highBytes, limits: meteredLimits(limits, protocol) }
}

function meteredLimits({ connectionsPerClient, newConnections, bytes, messages, minRate, isEnforced, connections }: ListenerConfig['limits'], protocol: 'http' | 'tcp'): MeteredLimit[] {
  const all: Array<[isOn: number, MeteredLimit]> = [
    [0, { limit: 'connections', action: 'close', isEnforced: isEnforced || connections === null }],
    [connectionsPerClient, { limit: 'connectionsPerClient', action: 'close', isEnforced }],
    [newConnections.perSec, { limit: 'newConnections', action: newConnections.onExceed, isEnforced: newConnections.isEnforced }],
    [bytes.perSec, { limit: 'bytes', action: bytes.onExceed, isEnforced: bytes.isEnforced }],
    [protocol === 'http' ? messages.perSec : Number.POSITIVE_INFINITY, { limit: 'messages', action: messages.onExceed, isEnforced: messages.isEnforced }],
    [minRate.bytesPerSec, { limit: 'minRate', action: 'close', isEnforced: minRate.isEnforced }],
  ]
  return all.filter(([perSec]) => Number.isFinite(perSec)).map(([, limit]) => limit)
}

export class ServedListener {
  readonly config: ListenerConfig
  readonly #shared: SharedParts
  readonly #read: ReadOptions
  readonly #limit: ConnectionLimit
  readonly #clients: Clients | null
  readonly #listener: Listener
  #front: HttpFront | null = null

  constructor(config: ListenerConfig, shared: SharedParts) {
    this.config = config
    this.#shared = shared
    this.#read = { readBytes: Math.min(READ_BYTES, config.buffers.highBytes), isShared: shared.isShared }
    this.#limit = this.#makeLimit()
    const perClient = clientOptions(config)
    this.#clients = perClient && new Clients({ ...perClient, report: this.#report })
    this.#listener = this.#makeListener()
  }

  /** Resolves once connections are accepted; rejects with what the system said. */
  listen(): Promise<void> {
    return this.#listener.listen()
  }

  /** The port that was bound; null for a unix socket. */
  get port(): number | null {
    return this.#listener.port
  }

  /** As the admin server shows it. */
  get view(): { name: string; address: string; protocol: 'tcp' | 'http'; upstream: string } {
    const { name, address, protocol, upstream } = this.config
    return { name, address: formatAddress(address), protocol, upstream: formatAddress(upstream.address) }
  }

  /** Accepts no more; connections go on. */
  close(): void {
    this.#listener.close()
  }

  /** Once no connection of it is left: stops what it keeps for the next ones. */
  retire(): void {
    this.#listener.close()
    this.#front?.close()
  }

  readonly #report = (limit: LimitName, action: LimitAction, isEnforced: boolean): void => {
    this.#shared.metrics.onLimited(this.config.name, limit, action, isEnforced)
  }

  #makeLimit(): ConnectionLimit {
    const { connections, isEnforced } = this.config.limits
    const onFull = (isFull: boolean): void => this.#report('connections', 'close', isFull)
    return new ConnectionLimit(this.#maxConnections(), this.#shared.processLimit, { isEnforced: isEnforced || connections === null, onFull })
  }

  #makeNewcomers(): Newcomers | null {
    const { limits, deadlines } = this.config
    const { perSec, per } = limits.newConnections
    if (!Number.isFinite(perSec) || per === 'client') return null
    const report = (action: LimitAction, isEnforced: boolean): void => this.#report('newConnections', action, isEnforced)
    return new Newcomers({ ...limits.newConnections, maxWaitMs: deadlines.handshakeMs, report }, this.#shared)
  }

  #makeRates(): Rates | null {
    const options = ratesOptions(this.config, this.#read)
    const { clock, pacer } = this.#shared
    return options && new Rates(options, { clock, pacer, clients: this.#clients, report: this.#report })
  }

  #maxConnections(): number {
    const { processLimit, log } = this.#shared
    const { name, limits } = this.config
    const max = limits.connections ?? Math.min(DEFAULT_CONNECTIONS, processLimit.max)
    if (limits.connections === null && max < DEFAULT_CONNECTIONS) {
      log.warn('fewer connections than by default: the descriptor limit holds no more', { listener: name, connections: max })
    }
    return max
  }

  #makeListener(): Listener {
    const { clock, registry, refusals, rejections, metrics, log, random } = this.#shared
    const { name, address, protocol, noDelay } = this.config
    const context = this.#context()
    return new Listener(
      { name, address: toListener(address), protocol, read: this.#read, noDelay },
      {
        clock,
        registry,
        limit: this.#limit,
        clients: this.#clients,
        newcomers: this.#makeNewcomers(),
        refusals,
        serve: protocol === 'tcp' ? this.#tcpServer(context) : this.#httpServer(context),
        refusalAnswer: (close) => (protocol === 'tcp' ? null : refusal(close, 1 + Math.floor(random() * MAX_RETRY_AFTER_SECONDS))),
        onRejected: (close, client) => {
          metrics.onRejected(name, close)
          rejections.note(name, close, client)
        },
        onError: (error) => log.warn('accept failed', { listener: name, error: error.message }),
      },
    )
  }

  #context(): HttpContext {
    const { clock, sweep, random, metrics, onClosed } = this.#shared
    const limits = this.#makeRates()
    return {
      ...(limits === null ? {} : { limits }),
      clock,
      sweep,
      random,
      observer: metrics,
      onClosed: (connection) => {
        this.#limit.release()
        this.#clients?.release(connection.clientAddress, clock.now())
        onClosed(connection)
      },
      onExchange: (connection, exchange, status) => this.#onExchange(connection, exchange, status),
    }
  }

  #tcpServer(context: HttpContext): Serve {
    const options = serveOptions(this.config, this.#read)
    return (connection, client) => serveTcp(connection, client, options, context)
  }

  #httpServer(context: HttpContext): Serve {
    const { config } = this
    const pool = new HttpPool({ target: toTarget(config.upstream.address), noDelay: config.noDelay }, context.clock, context.sweep)
    const front = new HttpFront(httpOptions(config), context, pool, (connection, socket, request, early) => {
      serveUpgrade(connection, regainedEndpoint(socket, this.#read, deaf), request, early, options, context)
    })
    const options: WebSocketOptions = {
      ...websocketOptions(config, this.#read),
      servePlain: (connection, client, bytes) => {
        invariant(client instanceof SocketEndpoint, 'a client that is no socket')
        front.serve(connection, client.release(), bytes)
      },
    }
    this.#front = front
    return (connection, client) => serveWebSocket(connection, client, options, context)
  }

  #onExchange(connection: Connection, { request, startedAt }: Exchange, status: number | null): void {
    const { clock, metrics, log, logsRequests } = this.#shared
    const durationMs = clock.now() - startedAt
    const { method = '' } = request
    metrics.onRequest(connection, { method, status, durationMs })
    if (!logsRequests) return
    const { id, listener, clientAddress: client } = connection
    // The query is left out: it is where tokens are.
    const path = (request.url ?? '').split('?', 1)[0]!
    log.info('request', { id, listener, client, method, path, status, durationMs })
  }
}
