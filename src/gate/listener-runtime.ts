// One listener of the configuration with all that serves it: its places, its protocol, its upstream. The gate
// makes one for each listener; a connection lives with the parts that admitted it. A reload that changes the
// listener makes a successor, which inherits the parts of the listener as a whole: its listening socket, its
// count of places, its deadlines.
//
//     made --listen() or takeOver()--> accepting --close()--> closed --retire(), and its last connection ended--> gone

import type { Sweep } from '../core/clock.ts'
import type { Close, Reason } from '../core/close.ts'
import type { ListenerConfig } from '../config/schema.ts'
import { releasePlace, type Connection } from '../core/connection.ts'
import type { ReadOptions } from '../endpoint/socket-endpoint.ts'
import { LiveValue } from '../core/live.ts'
import { isSame } from '../core/late.ts'
import { Acceptor, type AcceptorContext, type AcceptorOptions } from '../listener/acceptor.ts'
import { Listener } from '../listener/listener.ts'
import { requestFields } from '../log/connection-fields.ts'
import {
  asksTls,
  deadlinesOf,
  proxyRules,
  proxyVersion,
  READ_BYTES,
  serveOptions,
  shortestDeadline,
  toListener,
  type Served,
} from './options.ts'
import { httpServer } from './http-server.ts'
import type { Serve } from './http-server.ts'
import type { Exchange } from '../http1/exchange.ts'
import { grpcStatusOf } from '../http1/grpc.ts'
import { refusal } from '../http1/refusal.ts'
import type { ServeContext } from '../opening/opening.ts'
import { serveTcp } from '../opening/tcp.ts'
import { LimitsRuntime } from './limits-runtime.ts'
import { requestSettings } from './request-settings.ts'
import { UpstreamRuntime, upstreamSettings } from './upstream-runtime.ts'
import { Shared } from './shared.ts'
import { TlsParts, tlsSettings } from './tls-parts.ts'
import type { GateContext } from './gate-context.ts'

export class ListenerRuntime {
  #config: ListenerConfig
  readonly #shared: GateContext
  readonly #sweep: Sweep
  readonly #read: ReadOptions
  readonly #limits: LimitsRuntime
  readonly #upstream: Shared<UpstreamRuntime>
  /** The deadlines of all connections of this name, also those of predecessors; read at each judgement. */
  readonly #deadlines: LiveValue<ReturnType<typeof deadlinesOf>>
  readonly #tls: Shared<TlsParts>
  readonly #acceptor: Acceptor
  /** Null before `listen`, and once a successor has the socket. */
  #listener: Listener | null = null
  /** Open connections that it serves, and those that wait in its admission. */
  #open = 0
  /** Set once the configuration has it no more: gets each client that is admitted from then on. */
  #part: ((connection: Connection) => void) | null = null
  #onGone: (() => void) | null = null
  /** A successor judges requests by other settings. */
  #isOutdated = false

  /** `key` is its place in the configuration: `listeners[0]`. */
  constructor(
    config: ListenerConfig,
    key: string,
    shared: GateContext,
    predecessor: ListenerRuntime | null = null,
  ) {
    this.#config = config
    this.#shared = shared
    this.#sweep = shared.sweeps.of(config.name, shortestDeadline(config))
    this.#read = {
      readBytes: Math.min(READ_BYTES, config.buffers.highBytes),
      usesSharedBuffer: shared.usesSharedBuffer,
    }
    this.#deadlines = predecessor === null ? new LiveValue(deadlinesOf(config)) : predecessor.#deadlines
    this.#limits = new LimitsRuntime(
      config,
      shared,
      { read: this.#read, deadlines: this.#deadlines },
      predecessor === null ? null : predecessor.#limits,
    )
    this.#tls = this.#findTls(key, predecessor).join()
    this.#upstream = this.#findUpstream(predecessor).join()
    this.#acceptor = new Acceptor(this.#intakeOptions(), this.#intakeContext())
  }

  /** Its limits count where a successor would count them. */
  get isInPlace(): boolean {
    return this.#limits.isInPlace(this.#config)
  }

  get config(): ListenerConfig {
    return this.#config
  }

  /** Reads its files; rejects with a ConfigError where one cannot be used. */
  prepare(): Promise<void> {
    return this.#tls.value.start()
  }

  /**
   * Resolves once it accepts connections; rejects with the system's error, or like `prepare`. `port`: as
   * another gate has bound it.
   */
  async listen(port: number | null): Promise<void> {
    await this.prepare()
    this.#upstream.value.start()
    const { name } = this.#config
    this.#listener = new Listener(
      toListener(this.#config, { port, isAlone: this.#shared.workers === 1 }),
      this.#acceptor,
      (error) => this.#shared.log.warn('accept failed', { listener: name, error: error.message }),
    )
    await this.#listener.listen()
  }

  /** Accepts from now on at the socket of `other`, which loses it. `prepare` comes first. */
  takeOver(other: ListenerRuntime): void {
    this.#listener = other.#listener
    other.#listener = null
    this.#upstream.value.start()
    this.#listener?.handOver(this.#acceptor)
    if (this.#config.mode !== other.#config.mode) this.#listener?.setMode(this.#config.mode)
  }

  /**
   * `config` holds for this listener from now on: its deadlines for open connections too (a wait for a head
   * or a dial that has begun keeps its end), its number of places for new ones. `key` is its place in the
   * configuration.
   */
  settle(config: ListenerConfig, key: string): void {
    this.#config = config
    this.#tls.value.key = key
    this.#deadlines.set(deadlinesOf(config))
    this.#limits.settle(config)
    this.#upstream.value.settle(config)
    this.#sweep.retune(shortestDeadline(config))
  }

  /** The bound port; null for a unix socket. */
  get port(): number | null {
    return this.#listener?.port ?? null
  }

  get upstream(): UpstreamRuntime {
    return this.#upstream.value
  }

  /** When its certificates and authorities expire, by name. */
  get certificates(): ReadonlyMap<string, number> {
    return this.#tls.value.ends
  }

  /** It has a listening socket, which no successor has taken. */
  get hasSocket(): boolean {
    return this.#listener !== null
  }

  /** Connections that wait in admission. */
  get arriving(): number {
    return this.#acceptor.arriving
  }

  /** Connections that its socket has accepted so far. */
  get accepted(): number {
    return this.#listener?.accepted ?? 0
  }

  /** Accepts no more. Open connections go on, and those in admission. */
  close(): void {
    this.#listener?.close()
  }

  /** Connections in admission end with `reason`. */
  refuseArriving(reason: Reason): void {
    this.#acceptor.refuseAll(reason)
  }

  /**
   * The configuration has it no more. Clients of HTTP learn it with their next answer; `part` gets each that
   * is admitted yet.
   */
  remove(part: (connection: Connection) => void): void {
    this.#part = part
  }

  /**
   * A client of HTTP that keeps a busy connection for days would be served by what `successor` has replaced
   * as long: it is asked to open another one with its next answer, if that would be served otherwise.
   */
  outdate({ config }: ListenerRuntime): void {
    this.#isOutdated ||= !isSame(requestSettings(this.#config), requestSettings(config))
  }

  /** Accepts no more, and stops its upstream and TLS once no connection is left, or at once. */
  retire(onGone: () => void = () => {}, isAtOnce = false): void {
    this.close()
    if (isAtOnce) this.refuseArriving('drain')
    this.#onGone = () => {
      this.#onGone = null
      this.#upstream.leave()
      this.#tls.leave()
      onGone()
    }
    if (this.#open === 0 || isAtOnce) this.#onGone()
  }

  #findTls(key: string, predecessor: ListenerRuntime | null): Shared<TlsParts> {
    const settings = tlsSettings(this.#config)
    const known = predecessor === null ? null : predecessor.#tls
    if (known?.fits(settings) === true) return known
    const parts = new TlsParts(this.#config, key, this.#shared, known === null ? null : known.value)
    return new Shared(parts, settings, () => parts.stop())
  }

  #findUpstream(predecessor: ListenerRuntime | null): Shared<UpstreamRuntime> {
    const settings = upstreamSettings(this.#config)
    // With other TLS files the upstream is not shared: its kept connections were dialled with the old ones.
    if (predecessor !== null && predecessor.#tls === this.#tls && predecessor.#upstream.fits(settings))
      return predecessor.#upstream
    const served = new UpstreamRuntime(this.#config, this.#deadlines, this.#shared, this.#tls.value.secure)
    return new Shared(served, settings, () => served.upstream.stop())
  }

  #intakeOptions(): AcceptorOptions {
    const { name, address, protocol, noDelay } = this.#config
    const [proxy, tls] = [proxyRules(this.#config), this.#tls.value.gate]
    return {
      name,
      protocol,
      isUnix: address.kind === 'unix',
      read: this.#read,
      noDelay,
      slow: { proxy, tls, deadlines: this.#deadlines },
      recordsLocal: proxyVersion(this.#config) !== null,
      recordsTls: asksTls(this.#config),
    }
  }

  #intakeContext(): AcceptorContext {
    const { clock, registry, refusals, rejections, metrics, strain, onAdmitted } = this.#shared
    const { name, protocol } = this.#config
    const { places, gate: clients, connectRate } = this.#limits
    const context = this.#serveContext()
    const serve = protocol === 'tcp' ? this.#tcpServer(context) : this.#httpServer(context)
    return {
      clock,
      sweep: this.#sweep,
      registry,
      isRefusing: () => strain.isRefusing,
      limit: places,
      clients,
      connectRate,
      refusals,
      onPending: (change) => this.#onPending(change),
      serve: (connection, client) => {
        this.#open++
        serve(connection, client)
        onAdmitted(connection)
        this.#part?.(connection)
      },
      // A client that expects TLS could not read an answer in the clear.
      refusalAnswer: (close) => (protocol === 'tcp' || this.#tls.value.gate !== null ? null : refusal(close)),
      onRejected: (close, client) => {
        metrics.onRejected(name, close)
        this.#shared.observerOf(name).habits.onCut(close)
        rejections.note(name, close, client)
      },
    }
  }

  #onPending(change: 1 | -1): void {
    this.#open += change
    this.#shared.registry.arrive(change)
    if (this.#open === 0) this.#onGone?.()
  }

  #serveContext(): ServeContext {
    const { clock, random, strain, onClosed } = this.#shared
    const { rates } = this.#limits
    return {
      ...(rates === null ? {} : { limits: rates }),
      clock,
      sweep: this.#sweep,
      random,
      strain,
      observer: this.#shared.observerOf(this.#config.name),
      onClosed: (connection) => {
        releasePlace(connection)
        this.#limits.release(connection)
        onClosed(connection)
        if (--this.#open === 0) this.#onGone?.()
      },
    }
  }

  #served(): Served {
    return { deadlines: this.#deadlines, read: this.#read, upstream: this.#upstream.value.upstream }
  }

  #tcpServer(context: ServeContext): Serve {
    const options = serveOptions(this.#config, this.#served())
    return (connection, client) => serveTcp(connection, client, options, context)
  }

  #httpServer(serving: ServeContext): Serve {
    return httpServer(this.#config, this.#served(), serving, {
      clients: this.#limits.gate,
      registry: this.#shared.registry,
      leaving: () => this.#leaving,
      onExchange: (connection, exchange, status, end) => this.#onExchange(connection, exchange, status, end),
      onStreamClosed: (connection) => {
        releasePlace(connection)
        this.#limits.gate.leave(connection)
        this.#shared.onClosed(connection)
      },
    })
  }

  /** The reason for which clients of HTTP go after their next answer. */
  get #leaving(): 'drain' | 'reloaded' | null {
    if (this.#part !== null) return 'reloaded'
    if (this.#shared.isDraining()) return 'drain'
    return this.#isOutdated ? 'reloaded' : null
  }

  #onExchange(connection: Connection, exchange: Exchange, status: number | null, end: Close | null): void {
    const { clock, log, logsRequests, observerOf } = this.#shared
    const { request, startedAt, toUpstream } = exchange
    const durationMs = clock.now() - startedAt
    const { method, target } = request
    const answered = {
      method,
      status,
      durationMs,
      end,
      bodyBytes: toUpstream?.bytes ?? 0,
      ...(exchange.isCall ? { grpcStatus: grpcStatusOf(exchange, end) } : {}),
    }
    observerOf(connection.listener).onRequest(connection, answered)
    if (!logsRequests) return
    log.info('request', requestFields(connection, { method, target, status, durationMs, end }))
  }
}
