// One listener of the configuration with all that serves it: its places, its protocol, its upstream. The composition root
// makes one for each; a connection lives with the parts that it was admitted by. A reload that changes the listener makes another one,
// its successor, which inherits what belongs to the listener as a whole: its listening socket, its count of places, its deadlines.
//
//     made --listen() or takeOver()--> accepting --close()--> no more --retire(), and its last connection ended--> gone

import type { ConnectionLimit } from './admission/limits.ts'
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
import type { ListenerContext, ListenerOptions } from './listener/listener.ts'
import type { Log } from './log/log.ts'
import type { Rejections } from './log/rejections.ts'
import type { MeteredListener } from './metrics/listener-metrics.ts'
import type { Metrics } from './metrics/metrics.ts'
import type { UpstreamCounts } from './metrics/upstream-metrics.ts'
import { httpOptions, READ_BYTES, serveOptions, toListener, websocketOptions } from './options.ts'
import type { Pacer } from './pair/pacer.ts'
import type { Strain } from './pair/strain.ts'
import type { HttpContext } from './protocol/http/connection.ts'
import type { Exchange } from './protocol/http/exchange.ts'
import { refusal } from './protocol/http/refusal.ts'
import { HttpFront } from './protocol/http/serve.ts'
import { serveTcp } from './protocol/tcp.ts'
import { serveUpgrade, serveWebSocket } from './protocol/websocket/serve.ts'
import type { WebSocketOptions } from './protocol/websocket/serve.ts'
import { meteredLimits, ServedLimits } from './served-limits.ts'
import { ServedUpstream } from './served-upstream.ts'
import type { Names } from './upstream/names.ts'
import type { UpstreamView } from './upstream/upstream-view.ts'

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


/** What the metrics are told of a listener. */
export function meteredListener(config: ListenerConfig): MeteredListener {
  const { name, protocol, buffers } = config
  return { name, protocols: protocol === 'tcp' ? ['tcp'] : ['http', 'websocket'], bufferHighBytes: buffers.highBytes, limits: meteredLimits(config) }
}

export class ServedListener {
  #config: ListenerConfig
  readonly #shared: SharedParts
  readonly #read: ReadOptions
  readonly #limits: ServedLimits
  readonly #upstream: ServedUpstream
  /** Of all connections of this name, those of predecessors too: live ones read it whenever they are judged. */
  readonly #deadlines: ListenerConfig['deadlines']
  readonly #options: ListenerOptions
  readonly #context: ListenerContext
  /** Null before it listens, and once the socket was handed to a successor. */
  #listener: Listener | null = null
  #front: HttpFront | null = null
  /** Connections that it serves. */
  #open = 0
  #isRemoved = false
  #onGone: (() => void) | null = null

  constructor(config: ListenerConfig, shared: SharedParts, predecessor: ServedListener | null = null) {
    this.#config = config
    this.#shared = shared
    this.#read = { readBytes: Math.min(READ_BYTES, config.buffers.highBytes), isShared: shared.isShared }
    this.#limits = new ServedLimits(config, shared, this.#read, predecessor === null ? null : predecessor.#limits)
    this.#deadlines = predecessor === null ? { ...config.deadlines } : predecessor.#deadlines
    this.#upstream = this.#findUpstream(predecessor).join()
    this.#options = { name: config.name, address: toListener(config.address), protocol: config.protocol, read: this.#read, noDelay: config.noDelay }
    this.#context = this.#listenerContext()
  }

  get config(): ListenerConfig {
    return this.#config
  }

  /** Resolves once connections are accepted; rejects with what the system said. */
  listen(): Promise<void> {
    this.#upstream.start()
    this.#listener = new Listener(this.#options, this.#context)
    return this.#listener.listen()
  }

  /** Accepts from now on at the socket of `other`, which has none any more. */
  takeOver(other: ServedListener): void {
    this.#listener = other.#listener
    other.#listener = null
    this.#upstream.start()
    this.#listener?.handOver(this.#options, this.#context)
  }

  /**
   * `config` is what holds for this listener from now on: its deadlines for the connections that are open as well (a wait for a head
   * or a dial that has begun keeps the end that it has), its number of places for new ones.
   */
  settle(config: ListenerConfig): void {
    this.#config = config
    Object.assign(this.#deadlines, config.deadlines)
    this.#limits.settle(config)
    this.#front?.retime()
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

  /** Accepts no more; connections go on. */
  close(): void {
    this.#listener?.close()
  }

  /** It is not in the configuration any more: HTTP clients are told so with their next answer. */
  remove(): void {
    this.#isRemoved = true
  }

  /** The deadlines that it shares were changed by a successor. */
  retime(): void {
    this.#front?.retime()
  }

  /** Accepts no more, and stops what it keeps for connections as soon as there is none left, or at once. */
  retire(onGone: () => void = () => {}, isAtOnce = false): void {
    this.close()
    this.#onGone = () => {
      this.#onGone = null
      this.#front?.close()
      this.#upstream.leave()
      onGone()
    }
    if (this.#open === 0 || isAtOnce) this.#onGone()
  }

  #findUpstream(predecessor: ServedListener | null): ServedUpstream {
    if (predecessor !== null && predecessor.#upstream.fits(this.#config)) return predecessor.#upstream
    return new ServedUpstream({ ...this.#config, deadlines: this.#deadlines }, this.#shared)
  }

  #listenerContext(): ListenerContext {
    const { clock, registry, refusals, rejections, metrics, log, strain } = this.#shared
    const { name, protocol } = this.#config
    const { places, clients, newcomers } = this.#limits
    const context = this.#serveContext()
    // The deadlines by reference.
    const config = { ...this.#config, deadlines: this.#deadlines }
    const serve = protocol === 'tcp' ? this.#tcpServer(config, context) : this.#httpServer(config, context)
    return {
      clock,
      registry,
      isRefusing: () => strain.isRefusing,
      limit: places,
      clients,
      newcomers,
      refusals,
      serve: (connection, client) => {
        this.#open++
        serve(connection, client)
      },
      refusalAnswer: (close) => (protocol === 'tcp' ? null : refusal(close)),
      onRejected: (close, client) => {
        metrics.onRejected(name, close)
        rejections.note(name, close, client)
      },
      onError: (error) => log.warn('accept failed', { listener: name, error: error.message }),
    }
  }

  #serveContext(): HttpContext {
    const { clock, sweep, random, strain, metrics, onClosed, isDraining } = this.#shared
    const { rates } = this.#limits
    return {
      ...(rates === null ? {} : { limits: rates }),
      clock,
      sweep,
      random,
      strain,
      observer: metrics,
      onClosed: (connection) => {
        releasePlace(connection)
        this.#limits.release(connection)
        onClosed(connection)
        if (--this.#open === 0) this.#onGone?.()
      },
      leaving: () => (this.#isRemoved ? 'reloaded' : isDraining() ? 'drain' : null),
      onExchange: (connection, exchange, status) => this.#onExchange(connection, exchange, status),
    }
  }

  #tcpServer(config: ListenerConfig, context: HttpContext): Serve {
    const options = serveOptions(config, this.#read, this.#upstream.upstream)
    return (connection, client) => serveTcp(connection, client, options, context)
  }

  #httpServer(config: ListenerConfig, context: HttpContext): Serve {
    const front = new HttpFront(httpOptions(config), context, this.#upstream.upstream, (connection, socket, request, early) => {
      serveUpgrade(connection, regainedEndpoint(socket, this.#read, deaf), request, early, options, context)
    })
    const options: WebSocketOptions = Object.assign(websocketOptions(config, this.#read, this.#upstream.upstream), {
      servePlain: (connection: Connection, client: Endpoint, bytes: Buffer) => {
        invariant(client instanceof SocketEndpoint, 'a client that is no socket')
        front.serve(connection, client.release(), bytes)
      },
    })
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
