// One listener of the configuration with all that serves it: its places, its protocol, its upstream. The composition root
// makes one for each; a connection lives with the parts that it was admitted by.

import { ConnectionLimit } from './admission/limits.ts'
import { deaf } from './admission/refusal.ts'
import type { Refusals } from './admission/refusal.ts'
import type { Clock, Sweep } from './clock.ts'
import { formatAddress } from './config/address.ts'
import type { ListenerConfig } from './config/schema.ts'
import { releasePlace } from './connection.ts'
import type { Connection, Registry } from './connection.ts'
import type { Endpoint } from './endpoint/endpoint.ts'
import { regainedEndpoint, SocketEndpoint } from './endpoint/socket-endpoint.ts'
import type { ReadOptions } from './endpoint/socket-endpoint.ts'
import { invariant } from './errors.ts'
import { Listener } from './listener/listener.ts'
import type { Log } from './log/log.ts'
import type { Rejections } from './log/rejections.ts'
import type { MeteredListener } from './metrics/listener-metrics.ts'
import type { Metrics } from './metrics/metrics.ts'
import type { UpstreamCounts } from './metrics/upstream-metrics.ts'
import { httpOptions, READ_BYTES, serveOptions, toListener, upstreamOptions, websocketOptions } from './options.ts'
import type { HttpContext } from './protocol/http/connection.ts'
import type { Exchange } from './protocol/http/exchange.ts'
import { refusal } from './protocol/http/refusal.ts'
import { HttpFront } from './protocol/http/serve.ts'
import { serveTcp } from './protocol/tcp.ts'
import { serveUpgrade, serveWebSocket } from './protocol/websocket/serve.ts'
import type { WebSocketOptions } from './protocol/websocket/serve.ts'
import type { Names } from './upstream/names.ts'
import type { UpstreamTarget } from './upstream/target.ts'
import { Upstream } from './upstream/upstream.ts'
import type { UpstreamView } from './upstream/upstream-view.ts'

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
  names: Names
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
  readonly #upstream: Upstream
  readonly #listener: Listener
  #front: HttpFront | null = null

  constructor(config: ListenerConfig, shared: SharedParts) {
    this.config = config
    this.#shared = shared
    this.#read = { readBytes: Math.min(READ_BYTES, config.buffers.highBytes), isShared: shared.isShared }
    this.#limit = new ConnectionLimit(this.#maxConnections(), shared.processLimit)
    this.#upstream = this.#makeUpstream()
    this.#listener = this.#makeListener()
  }

  /** Resolves once connections are accepted; rejects with what the system said. */
  listen(): Promise<void> {
    this.#upstream.start()
    return this.#listener.listen()
  }

  /** The port that was bound; null for a unix socket. */
  get port(): number | null {
    return this.#listener.port
  }

  /** As the admin server shows it. */
  get view(): { name: string; address: string; protocol: 'tcp' | 'http'; upstream: string } {
    const { name, address, protocol, upstream } = this.config
    return { name, address: formatAddress(address), protocol, upstream: upstream.addresses.map(formatAddress).join(',') }
  }

  get upstreamView(): UpstreamView & { listener: string } {
    return { listener: this.config.name, ...this.#upstream.view }
  }

  get upstreamCounts(): UpstreamCounts {
    const counts = { listener: this.config.name, unknown: 0, healthy: 0, unhealthy: 0, queued: this.#upstream.queued }
    for (const { check } of this.#upstream.targets) counts[check?.state ?? 'unknown']++
    return counts
  }

  /** Accepts no more; connections go on. */
  close(): void {
    this.#listener.close()
  }

  /** Once no connection of it is left: stops what it keeps for the next ones. */
  retire(): void {
    this.#listener.close()
    this.#front?.close()
    this.#upstream.stop()
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

  #makeUpstream(): Upstream {
    const { clock, sweep, random, names, registry, metrics, log } = this.#shared
    const listener = this.config.name
    if (this.config.upstream.healthCheck.type !== 'off') metrics.announceHealthChecks(listener)
    return new Upstream(upstreamOptions(this.config), {
      clock,
      sweep,
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
    const { name: listener } = this.config
    if (check?.state === 'unhealthy') log.warn('upstream unhealthy', { listener, upstream, problem: check.last?.problem ?? null })
    else log.info('upstream healthy', { listener, upstream })
  }

  #makeListener(): Listener {
    const { clock, registry, refusals, rejections, metrics, log } = this.#shared
    const { name, address, protocol, noDelay } = this.config
    const context = this.#context()
    return new Listener(
      { name, address: toListener(address), protocol, read: this.#read, noDelay },
      {
        clock,
        registry,
        limit: this.#limit,
        refusals,
        serve: protocol === 'tcp' ? this.#tcpServer(context) : this.#httpServer(context),
        refusalAnswer: (close) => (protocol === 'tcp' ? null : refusal(close, RETRY_AFTER_SECONDS)),
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
    return {
      clock,
      sweep,
      random,
      observer: metrics,
      onClosed: (connection) => {
        releasePlace(connection)
        this.#limit.release()
        onClosed(connection)
      },
      onExchange: (connection, exchange, status) => this.#onExchange(connection, exchange, status),
    }
  }

  #tcpServer(context: HttpContext): Serve {
    const options = serveOptions(this.config, this.#read, this.#upstream)
    return (connection, client) => serveTcp(connection, client, options, context)
  }

  #httpServer(context: HttpContext): Serve {
    const { config } = this
    const front = new HttpFront(httpOptions(config), context, this.#upstream, (connection, socket, request, early) => {
      serveUpgrade(connection, regainedEndpoint(socket, this.#read, deaf), request, early, options, context)
    })
    const options: WebSocketOptions = {
      ...websocketOptions(config, this.#read, this.#upstream),
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
