// One listener of the configuration with all that serves it: its places, its protocol, its upstream. The composition root
// makes one for each; a connection lives with the parts that it was admitted by.

import { ConnectionLimit } from './admission/limits.ts'
import { deaf } from './admission/refusal.ts'
import type { Refusals } from './admission/refusal.ts'
import type { Clock, Sweep } from './clock.ts'
import { formatAddress } from './config/address.ts'
import type { ListenerConfig } from './config/schema.ts'
import type { Connection, Registry } from './connection.ts'
import type { Endpoint } from './endpoint/endpoint.ts'
import { regainedEndpoint, SocketEndpoint } from './endpoint/socket-endpoint.ts'
import type { ReadOptions } from './endpoint/socket-endpoint.ts'
import { invariant } from './errors.ts'
import { Listener } from './listener/listener.ts'
import type { ListenerOptions } from './listener/listener.ts'
import type { Log } from './log/log.ts'
import type { Rejections } from './log/rejections.ts'
import type { MeteredListener } from './metrics/listener-metrics.ts'
import type { Metrics } from './metrics/metrics.ts'
import { accessRules, dialOptions, httpOptions, proxyRules, proxyVersion, READ_BYTES, serveOptions, toListener, websocketOptions } from './options.ts'
import type { HttpContext } from './protocol/http/connection.ts'
import type { Exchange } from './protocol/http/exchange.ts'
import { refusal } from './protocol/http/refusal.ts'
import { HttpFront } from './protocol/http/serve.ts'
import { serveTcp } from './protocol/tcp.ts'
import { serveUpgrade, serveWebSocket } from './protocol/websocket/serve.ts'
import type { WebSocketOptions } from './protocol/websocket/serve.ts'
import { TlsParts } from './tls-parts.ts'
import { HttpPool } from './upstream/http-pool.ts'

/** What all listeners share. */
export interface SharedParts {
  clock: Clock
  sweep: Sweep
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
const RETRY_AFTER_SECONDS = 5

/** What the metrics are told of a listener. */
export function meteredListener({ name, protocol, buffers }: ListenerConfig): MeteredListener {
  return { name, protocols: protocol === 'tcp' ? ['tcp'] : ['http', 'websocket'], bufferHighBytes: buffers.highBytes }
}

export class ServedListener {
  readonly config: ListenerConfig
  readonly #shared: SharedParts
  readonly #read: ReadOptions
  readonly #limit: ConnectionLimit
  readonly #tls: TlsParts
  readonly #listener: Listener
  #front: HttpFront | null = null

  /** `key` is where it stands in the configuration: `listeners[0]`. */
  constructor(config: ListenerConfig, key: string, shared: SharedParts) {
    this.config = config
    this.#shared = shared
    this.#read = { readBytes: Math.min(READ_BYTES, config.buffers.highBytes), isShared: shared.isShared }
    this.#limit = new ConnectionLimit(this.#maxConnections(), shared.processLimit)
    this.#tls = new TlsParts(config, key, shared)
    this.#listener = this.#makeListener()
  }

  /** Resolves once connections are accepted; rejects with what the system said, or with a ConfigError for files of TLS. */
  async listen(): Promise<void> {
    await this.#tls.start()
    await this.#listener.listen()
  }

  /** The port that was bound; null for a unix socket. */
  get port(): number | null {
    return this.#listener.port
  }

  /** Connections that gates still wait for. */
  get arriving(): number {
    return this.#listener.arriving
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
    this.#tls.stop()
    this.#front?.close()
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
    const { clock, sweep, registry, refusals, rejections, metrics, log } = this.#shared
    const { name, protocol } = this.config
    const context = this.#context()
    return new Listener(
      this.#listenerOptions(),
      {
        clock,
        sweep,
        registry,
        limit: this.#limit,
        refusals,
        serve: protocol === 'tcp' ? this.#tcpServer(context) : this.#httpServer(context),
        // In the clear, to who expects TLS, an answer would be noise.
        refusalAnswer: (close) => (protocol === 'tcp' || this.#tls.gate !== null ? null : refusal(close, close.reason === 'too_many' ? RETRY_AFTER_SECONDS : null)),
        onRejected: (close, client) => {
          metrics.onRejected(name, close)
          // A probe of a load balancer, every few seconds.
          if (close.reason !== 'eof') rejections.note(name, close, client)
        },
        onError: (error) => log.warn('accept failed', { listener: name, error: error.message }),
      },
    )
  }

  #listenerOptions(): ListenerOptions {
    const { name, address, protocol, noDelay, deadlines } = this.config
    const [proxy, { gate: tls }] = [proxyRules(this.config), this.#tls]
    return {
      name,
      address: toListener(address),
      protocol,
      read: this.#read,
      noDelay,
      access: accessRules(this.config),
      slow: proxy === null && tls === null ? null : { proxy, tls, handshakeMs: deadlines.handshakeMs },
      recordsLocal: proxyVersion(this.config) !== null,
    }
  }

  #context(): HttpContext {
    const { clock, sweep, random, metrics, onClosed } = this.#shared
    return {
      clock,
      sweep,
      random,
      observer: metrics,
      onClosed: (connection) => {
        this.#limit.release()
        onClosed(connection)
      },
      onExchange: (connection, exchange, status) => this.#onExchange(connection, exchange, status),
    }
  }

  #tcpServer(context: HttpContext): Serve {
    const options = serveOptions(this.config, this.#read, this.#tls.secure)
    return (connection, client) => serveTcp(connection, client, options, context)
  }

  #httpServer(context: HttpContext): Serve {
    const { config } = this
    const { secure } = this.#tls
    const pool = new HttpPool({ dial: dialOptions(config, this.#read, secure), proxyProtocol: proxyVersion(config) }, context.clock, context.sweep)
    const front = new HttpFront(httpOptions(config), context, pool, (connection, socket, request, early) => {
      serveUpgrade(connection, regainedEndpoint(socket, this.#read, deaf), request, early, options, context)
    })
    const options: WebSocketOptions = {
      ...websocketOptions(config, this.#read, secure),
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
