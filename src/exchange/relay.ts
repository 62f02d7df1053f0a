// The upstream half of an exchange: http-proxy-3 sends the request over a connection of the pool; its answer is judged and
// written here (`selfHandleResponse`: it would go on to write an answer that was refused).
//
// What is guarded, each of it reproduced once: a request body behind a false length (its pass `deleteLength` is taken out), a
// path that it would rewrite, hop-by-hop headers, an upstream that dies inside a body (a hanging client), a head that
// waits for its body, and an answer that http.ServerResponse refuses to write (an uncaught error).

import type http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type net from 'node:net'
import type { Stream } from 'node:stream'
import type { createProxyServer, ProxyServer } from 'http-proxy-3'
import { closeFromDialError, makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Target } from '../upstream/dial.ts'
import type { DialError, HttpPool } from '../upstream/http-pool.ts'
import { Search } from '../upstream/search.ts'
import type { Seeker } from '../upstream/search.ts'
import type { UpstreamTarget } from '../upstream/target.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { clientHead } from '../http1/answer.ts'
import { asksToBind } from '../http1/authentication.ts'
import type { ClientHead } from '../http1/answer.ts'
import type { HttpConnection, HttpContext } from './connection.ts'
import type { Exchange } from './exchange.ts'
import { forwardTrailers } from '../http1/forwarding.ts'
import { encodeHead, endToEndHeaders } from '../http1/head.ts'
import type { Header } from '../http1/head.ts'
import { toHeaders } from '../http1/request.ts'
import { headBytes } from './throttle.ts'

const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)

export interface RelayOptions {
  maxHeaderBytes: number
}

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])
/** Hints that an upstream may send before its answer (103); more are dropped. */
const MAX_INTERIM = 8

export class Relay {
  readonly #options: RelayOptions
  readonly #context: HttpContext
  readonly #upstream: Upstream
  #madeProxy: ProxyServer | null = null

  constructor(options: RelayOptions, context: HttpContext, upstream: Upstream) {
    this.#options = options
    this.#context = context
    this.#upstream = upstream
  }

  /** Made for the first request: it loads HTTP/2 among others, 8 MB that a gate with WebSockets alone need not hold. */
  get #proxy(): ProxyServer {
    return (this.#madeProxy ??= this.#makeProxy())
  }

  #makeProxy(): ProxyServer {
    const { createProxyServer: create } = require('http-proxy-3') as { createProxyServer: typeof createProxyServer }
    const proxy = create({ toProxy: true, xfwd: false, selfHandleResponse: true })
    const passes = proxy as unknown as { webPasses: Array<{ name: string }> }
    passes.webPasses = passes.webPasses.filter((pass) => pass.name !== 'deleteLength')
    proxy.on('proxyRes', (answer, request, response) => this.#onAnswer(answer, relayed.get(request), response))
    proxy.on('error', () => {}) // what fails upstream we hear from the request, who leaves downstream from the socket
    return proxy
  }

  /** Finds a place for the request, sends it to `path`, byte for byte, and relays its answer. */
  send(owner: HttpConnection, exchange: Exchange, path: string): void {
    // Each try of http-proxy-3 listens to both anew, and there may be twenty.
    exchange.request.setMaxListeners(0)
    exchange.response.setMaxListeners(0)
    const seeker: Seeker = {
      onPlace: (target, connectMs) => {
        exchange.expectConnect(connectMs, this.#context.clock.now())
        exchange.onConnectTimeout = (close) => this.#onNotConnected(owner, exchange, close)
        this.#ask(owner, exchange, { target, path, isFresh: false })
      },
      onNoPlace: (close) => {
        if (close.reason === 'no_upstream') this.#context.observer.onConnectFailed(owner.connection, close)
        owner.close(close)
      },
    }
    exchange.search = new Search(this.#upstream, owner.connection, seeker, owner.binding?.target ?? null)
    exchange.search.start()
  }

  #ask(owner: HttpConnection, exchange: Exchange, asked: Asked): void {
    const { target, path, isFresh } = asked
    const pool = this.#upstream.poolOf(target)
    owner.connection.upstreamAddress = target.name
    relayed.set(exchange.request, { owner, exchange, pool })
    pool.made = null
    const { connection, binding } = owner
    if (binding !== null) binding.target = target
    pool.next = { client: connection, path, isFresh, maxHeaderBytes: this.#options.maxHeaderBytes, binding: binding?.name ?? null }
    try {
      this.#proxy.web(exchange.request, exchange.response, { target: whereOf(target.address), agent: pool, ...this.#bodyOf(exchange) })
    } catch (error) {
      return owner.close(makeClose('internal_error', 'sidegate', 'relay', (error as Error).message))
    } finally {
      pool.next = null
    }
    const made = pool.made as http.ClientRequest | null
    if (made === null) return owner.close(makeClose('internal_error', 'sidegate', 'relay', 'no request was made'))
    exchange.outgoing = made
    made.once('socket', (socket) => this.#onUpstreamSocket(owner, exchange, socket, pool))
    made.once('error', (error) => this.#onUpstreamError(owner, exchange, made, asked, error))
    made.on('upgrade', (_, socket) => {
      socket.destroy()
      owner.close(makeClose('protocol_error', 'upstream', 'relay', '101 that was not asked for'))
    })
    relayInterim(made, exchange)
  }

  /** The body, at the pace of its limit. No byte of it is read before the connection stands: till then it can go to another address. */
  #bodyOf(exchange: Exchange): { buffer?: Stream } {
    exchange.startBody = null
    if (!exchange.hasBody) return {}
    const { request, meter } = exchange
    const throttle = meter?.throttleBody() ?? null
    const body = (): Stream => (throttle === null ? request : request.pipe(throttle))
    const held = { pipe: (outgoing: http.ClientRequest) => (exchange.startBody = () => void body().pipe(outgoing)) }
    return { buffer: held as unknown as Stream }
  }

  #onUpstreamSocket(owner: HttpConnection, exchange: Exchange, socket: net.Socket, pool: HttpPool): void {
    const { clock, observer } = this.#context
    const startedAt = clock.now()
    exchange.useUpstream(socket, startedAt)
    if (owner.binding !== null) pool.bind(socket, owner.binding.name)
    // What connect() refuses by itself (no route, no port left) is over by now, and says so next.
    if (socket.destroyed) return
    if (!socket.connecting) {
      const dialMs = pool.takeDialMs(socket)
      if (dialMs !== null) {
        observer.onConnected(owner.connection, dialMs)
        exchange.search?.succeed()
      }
      owner.connection.connectedAt ??= startedAt
      return exchange.startBody?.()
    }
    socket.once('connect', () => {
      owner.connection.connectedAt ??= clock.now()
      observer.onConnected(owner.connection, clock.now() - startedAt)
      exchange.search?.succeed()
      exchange.startBody?.()
    })
  }

  /** Nothing was sent: the request may go to another address. */
  #onNotConnected(owner: HttpConnection, exchange: Exchange, close: Close): void {
    const { outgoing } = exchange
    exchange.outgoing = null
    outgoing?.destroy()
    this.#context.observer.onConnectFailed(owner.connection, close)
    exchange.search!.retry(close)
  }

  #onAnswer(answer: IncomingMessage, known: Relayed | undefined, response: ServerResponse): void {
    if (known === undefined || known.owner.isClosing) return void answer.destroy()
    const { owner, exchange, pool } = known
    const { request, outgoing } = exchange
    const head = clientHead(answer, { method: request.method ?? '', version: request.httpVersion })
    if (typeof head === 'string') return owner.close(makeClose('protocol_error', 'upstream', 'relay', head))
    exchange.answer = answer
    exchange.isDelimited = head.isDelimited
    exchange.isEventStream = answer.headers['content-type']?.toLowerCase().startsWith('text/event-stream') === true
    if (!response.shouldKeepAlive || !head.isDelimited || !request.complete) owner.endAfterAnswer(makeClose('eof', 'client', 'relay'))
    if (!this.#writeHead(owner, response, head)) return
    pool.hint(answer.socket, String(answer.headers['keep-alive']))
    if (owner.binding === null && asksToBind(head.headers)) pool.leave(answer.socket)
    answer.once('end', () => {
      response.addTrailers(forwardTrailers(toHeaders(answer.rawTrailers)) as never)
      // An upstream that answered before it had the whole request may read the rest of it as another one.
      if (!request.complete) outgoing?.destroy()
    })
    answer.once('close', () => {
      if (!answer.complete && !owner.isClosing) owner.close(makeClose('aborted', 'upstream', 'relay', 'ended inside its answer'))
    })
    const throttle = exchange.meter?.throttleReply(headBytes(13 + head.reason.length, answer.rawHeaders)) ?? null
    if (throttle === null) answer.pipe(response)
    else answer.pipe(throttle).pipe(response)
  }

  /** False: Node refused to write it. */
  #writeHead(owner: HttpConnection, response: ServerResponse, { status, reason, headers }: ClientHead): boolean {
    owner.beginAnswer()
    const connection = owner.isLast ? 'close' : 'keep-alive'
    const all: Header[] = [...headers, ['Connection', status === 426 ? `${connection}, Upgrade` : connection]]
    try {
      response.writeHead(status, reason, all.flat())
    } catch {
      owner.close(makeClose('protocol_error', 'upstream', 'relay', 'a header that may not be written'))
      return false
    }
    // A body that is there already goes out with its head; a client must not wait for one that is not.
    const { socket } = response
    const before = socket?.bytesWritten
    this.#context.clock.nextTurn(() => {
      if (!owner.isClosing && response.socket !== null && socket?.bytesWritten === before) response.flushHeaders()
    })
    return true
  }

  #onUpstreamError(owner: HttpConnection, exchange: Exchange, made: http.ClientRequest, asked: Asked, error: NodeJS.ErrnoException): void {
    // Behind a whole answer it concerns nobody but the connection that it came by; that of an earlier try nobody at all.
    if (owner.isClosing || exchange.answer?.complete === true || exchange.outgoing !== made) return
    if (isWorthRetrying(exchange)) return this.#ask(owner, exchange, { ...asked, isFresh: true })
    if (exchange.isConnected) return owner.close(answerLost(error))
    this.#onNotConnected(owner, exchange, (error as DialError).close ?? closeFromDialError(error))
  }
}

/** A request at the place that was found for it. */
interface Asked {
  target: UpstreamTarget
  path: string
  isFresh: boolean
}

interface Relayed {
  owner: HttpConnection
  exchange: Exchange
  pool: HttpPool
}
/** What a request belongs to: http-proxy-3 hands back only the request. */
const relayed = new WeakMap<IncomingMessage, Relayed>()

function whereOf(address: Target) {
  if ('path' in address) return { protocol: 'http:', socketPath: address.path, host: 'localhost', port: 80 }
  return { protocol: 'http:', host: address.host, hostname: address.host, port: address.port }
}

/** 103 goes on (RFC 8297), to who can know it; 100 was answered by us, and 102 says nothing to a client of ours. */
function relayInterim(made: http.ClientRequest, { request, response }: Exchange): void {
  let count = 0
  made.on('information', ({ statusCode, rawHeaders }) => {
    if (statusCode !== 103 || response.headersSent || request.httpVersion !== '1.1' || ++count > MAX_INTERIM) return
    const headers = endToEndHeaders(toHeaders(rawHeaders))
    if (typeof headers !== 'string') response.socket?.write(encodeHead('HTTP/1.1 103 Early Hints', headers))
  })
}

/** The upstream may close an idle connection at the moment that we use it: it has seen nothing of this request then. A fresh one is no such. */
function isWorthRetrying({ request, outgoing, hasBody, answer, upstreamRead }: Exchange): boolean {
  return outgoing?.reusedSocket === true && answer === null && upstreamRead === 0 && !hasBody && idempotent.has(request.method ?? '')
}

/** The upstream was there, and no whole head came of it. */
function answerLost(error: NodeJS.ErrnoException): Close {
  const { code = error.message } = error
  if (code === 'HPE_HEADER_OVERFLOW') return makeClose('message_too_big', 'upstream', 'relay', 'answer head (http.maxHeader)')
  if (code.startsWith('HPE_')) return makeClose('protocol_error', 'upstream', 'relay', code)
  return makeClose(code === 'ECONNRESET' && error.message === 'socket hang up' ? 'aborted' : 'reset', 'upstream', 'relay', code)
}
