// Kept-alive connections to an upstream, for plain HTTP. Node's Agent holds them; what it leaves open is closed here:
// an idle one that says something (its answer would be taken for that of the next request), and one that idles so long that
// the upstream may be closing it at the very moment we use it.

import type http from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock, Sweep, Swept } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { Live } from '../core/live.ts'
import { nodeHttp } from '../core/node-http.ts'
import { Dial } from './dial.ts'
import type { DialOptions, SocketDialler } from './dial.ts'
import { proxyHeader } from './proxy-header.ts'
import type { Introduced, ProxyVersion } from './proxy-header.ts'

/** Below the 5 s that Node's and Apache's servers keep an idle connection; an upstream that keeps longer loses nothing. */
const IDLE_MS = 4000
/** How long before the time that an upstream announces its connection is not used any more. */
const HINT_MARGIN_MS = 1000
/** Idle connections kept; more are closed after their answer. */
const MAX_IDLE = 64

export interface HttpPoolOptions {
  dial: Omit<DialOptions, 'connectMs'>
  /** Each dial keeps the end that it begins with. */
  deadlines: Live<{ connectMs: number }>
  /** Each connection begins with the address of its client, so none is kept: the next request may be another client's. */
  proxyProtocol: ProxyVersion | null
}

/** What `http.ClientRequest` gets for a dial that failed. */
export interface DialError extends Error {
  close?: Close
}

/** The request that Node makes next, and how: `HttpPool` is told just before, because http-proxy-3 makes it. */
export interface NextRequest {
  client: Introduced
  /** The target as the client wrote it: http-proxy-3 would drop an empty query. */
  path: string
  /** Not on a connection that was used before. */
  isFresh: boolean
  /** Bytes of the head of its answer. */
  maxHeaderBytes: number
  /** The client's connection that alone may use the connection; null for one that all share. */
  binding: string | null
}

type Created = (error: Error | null, socket?: Socket) => void

export class HttpPool extends nodeHttp.Agent implements Swept {
  readonly #options: HttpPoolOptions
  readonly #clock: Clock
  readonly #sweep: Sweep
  readonly #dials = new Set<Dial>()
  /** How long the dials of connections took that nobody has asked about yet. */
  readonly #dialMs = new WeakMap<Socket, number>()
  readonly #usableUntil = new Map<Socket, number>()
  /** Milliseconds that the upstream keeps a connection open, where it said so. */
  readonly #hints = new WeakMap<Socket, number>()
  readonly #watched = new WeakSet<Socket>()
  readonly #bindings = new WeakMap<Socket, string>()
  next: NextRequest | null = null
  /** The request that was made last. */
  made: http.ClientRequest | null = null

  constructor(options: HttpPoolOptions, clock: Clock, sweep: Sweep) {
    const { dial: { noDelay, target }, proxyProtocol } = options
    // All requests of this agent go there, so that it may say how the name is looked up.
    const lookup = 'host' in target && target.lookup !== undefined ? { lookup: target.lookup } : {}
    const keepAlive = proxyProtocol === null
    const agent = { keepAlive, maxFreeSockets: MAX_IDLE, maxTotalSockets: Number.POSITIVE_INFINITY, scheduling: 'lifo', noDelay, ...lookup } as const
    super(agent)
    this.#options = options
    this.#clock = clock
    this.#sweep = sweep
  }

  get idle(): number {
    return this.#usableUntil.size
  }

  /** Called by `http.request`, in the same turn as the call that makes it. */
  addRequest(request: http.ClientRequest, options: http.RequestOptions): void {
    const { next } = this
    this.made = request
    if (next !== null) {
      request.path = next.path
      // Without a bound of ours Node would drop the header lines beyond its own, and say nothing.
      Object.assign(request, { maxHeaderSize: next.maxHeaderBytes, maxHeadersCount: 0 })
      if (next.isFresh) this.dropBound(next.binding)
      if (next.binding !== null) Object.assign(options, { binding: next.binding })
    }
    // @ts-expect-error `addRequest` is what http.ClientRequest calls; it is documented by its use only.
    super.addRequest(request, options)
  }

  /** Node keeps idle connections by this name: one that is bound is found only by whom it is bound to. */
  override getName(options: Parameters<http.Agent['getName']>[0] & { binding?: string }): string {
    const name = super.getName(options)
    return options.binding === undefined ? name : `${name}:${options.binding}`
  }

  /** A request got this connection. */
  bind(socket: Socket, binding: string): void {
    this.#bindings.set(socket, binding)
  }

  /** Closes the idle connections that are bound to so-and-so; null: those that are bound to nobody. */
  dropBound(binding: string | null): void {
    for (const socket of [...this.#usableUntil.keys()]) if ((this.#bindings.get(socket) ?? null) === binding) discard(socket)
  }

  /** By Node's own means where TCP is all there is to it; else what `Dial` does. */
  override createConnection(options: http.ClientRequestArgs, created?: (error: Error | null, socket: Duplex) => void): Duplex | null | undefined {
    const { dial, proxyProtocol } = this.#options
    if (dial.secure === null && proxyProtocol === null) return super.createConnection(options, created)
    this.#dial(proxyProtocol === null ? null : proxyHeader(proxyProtocol, this.next!.client), created as Created)
    return undefined
  }

  #dial(head: Buffer | null, created: Created): void {
    const over = (): void => void this.#dials.delete(dial)
    const dialler: SocketDialler = {
      onSocket: (socket, dialMs) => {
        over()
        this.#dialMs.set(socket, dialMs)
        created(null, socket)
      },
      onDialFailed: (close) => {
        over()
        created(Object.assign(new Error(close.detail ?? close.reason), { close }))
      },
    }
    const dial = new Dial({ ...this.#options.dial, connectMs: this.#options.deadlines.current.connectMs }, { clock: this.#clock, sweep: this.#sweep }, dialler, head)
    this.#dials.add(dial)
  }

  /** How long the dial of a connection took that was dialled here; null for others, and from the second time on. */
  takeDialMs(socket: Socket): number | null {
    const dialMs = this.#dialMs.get(socket) ?? null
    this.#dialMs.delete(socket)
    return dialMs
  }

  /** `Keep-Alive: timeout=5` of an answer on that connection. */
  hint(socket: Socket, keepAlive: string): void {
    const seconds = /(?:^|[\s,])timeout=([0-9]{1,9})/i.exec(keepAlive)?.[1]
    if (seconds !== undefined) this.#hints.set(socket, Number(seconds) * 1000)
  }

  /** The connection is not used again. */
  leave(socket: Socket): void {
    this.#hints.set(socket, 0)
  }

  override keepSocketAlive(socket: Socket): boolean {
    const keptMs = Math.min(IDLE_MS, (this.#hints.get(socket) ?? Number.POSITIVE_INFINITY) - HINT_MARGIN_MS)
    // Its type says void; it says false for a socket that the upstream announced to close.
    if (keptMs <= 0 || (super.keepSocketAlive(socket) as unknown) === false) return false
    if (!this.#watched.has(socket)) {
      this.#watched.add(socket)
      socket.once('close', () => this.#forget(socket))
    }
    socket.once('data', discardThis) // as later versions of Node do themselves
    if (this.#usableUntil.size === 0) this.#sweep.add(this)
    this.#usableUntil.set(socket, this.#clock.now() + keptMs)
    return true
  }

  override reuseSocket(socket: Socket, request: http.ClientRequest): void {
    socket.off('data', discardThis)
    this.#forget(socket)
    super.reuseSocket(socket, request)
  }

  sweep(now: number): void {
    for (const [socket, until] of this.#usableUntil) if (now >= until) discard(socket)
  }

  /** Closes those that no request uses: their address is given up. */
  dropIdle(): void {
    for (const socket of [...this.#usableUntil.keys()]) discard(socket)
  }

  override destroy(): void {
    super.destroy()
    for (const dial of this.#dials) dial.cancel()
    this.#dials.clear()
    this.#usableUntil.clear()
    this.#sweep.delete(this)
  }

  #forget(socket: Socket): void {
    if (this.#usableUntil.delete(socket) && this.#usableUntil.size === 0) this.#sweep.delete(this)
  }
}

/** Gone from the free ones at once, not with its `close` event: a request in between would be given it. */
function discard(socket: Socket): void {
  socket.destroy()
  socket.emit('agentRemove')
}

function discardThis(this: Socket): void {
  discard(this)
}
