// Plain HTTP: Node's http.Server parses, http-proxy-3 moves, and everything that they leave open is guarded here. Sockets
// come from our own listener with what was read of the first head; an upgrade never gets as far as http-proxy-3.
//
//     socket --> http.Server --> checkRequest --> forwardHeaders --> Relay (http-proxy-3) --> HttpPool --> upstream
//                    |                |                                |
//                 upgrade          our answer                      clientHead
//
// What Node's server would answer by itself (a missing Host, an unknown Expect, one request too many) it does not get to:
// that would be an answer without a record.

import type http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { makeClose } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { hasBody, isUpgrade, notRelayed, otherUpgrade } from '../http1/upgrade.ts'
import { bindsConnection } from '../http1/authentication.ts'
import { nodeHttp } from '../core/node-http.ts'
import { Binding } from './binding.ts'
import { closeFromParser } from './client-error.ts'
import { HttpConnection } from './connection.ts'
import type { HttpConnectionOptions, HttpContext } from './connection.ts'
import type { Exchange } from './exchange.ts'
import { Feed } from './feed.ts'
import { forwardedFor, forwardHeaders, forwardTrailers, toObject } from '../http1/forwarding.ts'
import type { ForwardingOptions } from '../http1/forwarding.ts'
import type { RequestHead } from '../http1/head.ts'
import { refused, SERVED_METHODS } from '../http1/refusal.ts'
import { ExchangePace } from './exchange-pace.ts'
import { Relay } from './relay.ts'
import type { RelayOptions } from './relay.ts'
import { checkRequest, toHeaders } from '../http1/request.ts'
import type { Checked } from '../http1/request.ts'
import { headBytes, HttpMeter } from './throttle.ts'

export interface HttpOptions extends HttpConnectionOptions, RelayOptions, ForwardingOptions {
  maxBodyBytes: number
}

/** Takes over a socket whose request asks for a WebSocket; `early` is what came behind its head. */
export type ServeUpgrade = (connection: Connection, socket: net.Socket, request: RequestHead, early: Buffer) => void

/** What Node's own timers add to ours, so that they never come first. */
const BACKSTOP_MS = 10_000
const kConnection = Symbol('connection')
type OwnedSocket = Duplex & { [kConnection]?: HttpConnection }

export class HttpFront {
  readonly #options: HttpOptions
  readonly #context: HttpContext
  readonly #serveUpgrade: ServeUpgrade
  readonly #server: http.Server
  readonly #relay: Relay

  constructor(options: HttpOptions, context: HttpContext, upstream: Upstream, serveUpgrade: ServeUpgrade) {
    this.#options = options
    this.#context = context
    this.#serveUpgrade = serveUpgrade
    this.#relay = new Relay(options, context, upstream)
    this.#server = this.#makeServer()
  }

  #makeServer(): http.Server {
    const { maxHeaderBytes, deadlines, keepAliveMs } = this.#options
    const server = nodeHttp.createServer({
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: backstop(deadlines.current.handshakeMs),
      requestTimeout: 0,
      keepAliveTimeout: backstop(keepAliveMs),
      // What Node answers by itself passes by the record, the metrics and the order of requests.
      requireHostHeader: false,
      shouldUpgradeCallback: (request) => isWebSocketUpgrade(request),
    })
    server.maxHeadersCount = 0 // with a bound Node drops the lines beyond it, and says nothing
    server.on('request', (request, response) => this.#onRequest(request, response, 'nothing'))
    server.on('checkContinue', (request, response) => this.#onRequest(request, response, 'continue'))
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => this.#onRequest(request, response, 'unknown'))
    server.on('connect', (request: IncomingMessage, socket: Duplex) => this.#onConnectMethod(request, socket))
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, early: Buffer) => this.#onUpgrade(request, socket, early))
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => onClientError(error, socket))
    server.emit('listening') // without it Node never starts the timers that serve as a backstop
    return server
  }

  /** Takes a socket whose first bytes were read already. */
  serve(connection: Connection, socket: net.Socket, bytes: Buffer): void {
    this.#context.observer.onOpened(connection)
    const owner = new HttpConnection(connection, socket, this.#options, this.#context)
    const { limits } = this.#context
    const rates = limits?.ratesOf(connection) ?? null
    if (limits !== undefined && rates !== null) owner.meter = new HttpMeter(rates, limits, (close) => owner.close(close))
    ;(socket as OwnedSocket)[kConnection] = owner
    this.#server.emit('connection', socket)
    owner.feed = new Feed(socket, owner, this.#options.maxBodyBytes)
    socket.unshift(bytes)
    socket.resume()
  }

  /** The deadlines are others now: Node's timers must stay behind them. */
  retime(): void {
    this.#server.headersTimeout = backstop(this.#options.deadlines.current.handshakeMs)
  }

  /** Stops Node's timers and closes idle upstream connections. */
  close(): void {
    this.#server.close()
  }

  #onRequest(request: IncomingMessage, response: ServerResponse, expectation: Expectation): void {
    const owner = (request.socket as OwnedSocket)[kConnection]!
    if (owner.isClosing) return void request.resume()
    this.#begin(owner, request, response, expectation)
  }

  #begin(owner: HttpConnection, request: IncomingMessage, response: ServerResponse, expectation: Expectation): void {
    const exchange = owner.begin(request, response)
    if (this.#context.strain.isRefusing) return owner.close(makeClose('overloaded', 'sidegate', 'relay', 'memory.refuseAt'))
    const { limits } = this.#context
    if (limits !== undefined && limits.minRate !== null) exchange.pace = new ExchangePace(limits.minRate, limits.report, request.socket)
    const { method = '', url = '', httpVersion, rawHeaders } = request
    const checked = checkRequest({ method, target: url, version: httpVersion, headers: toHeaders(rawHeaders) }, this.#options.maxBodyBytes)
    if ('reason' in checked) return owner.close(checked)
    owner.feed!.expectBody(checked.bodyBytes)
    const other = otherUpgrade(toHeaders(rawHeaders))
    if (other !== null) owner.remark = notRelayed(other)
    if (expectation === 'unknown') return owner.close(refused('an expectation that is not known here', 417))
    if (checked.target === '*') return answerOptions(owner, response)
    const go = (): void => {
      this.#forward(owner, exchange, checked)
      if (expectation === 'continue' && !owner.isClosing) response.writeContinue()
    }
    if (owner.meter === null) go()
    else owner.meter.payHead(headBytes(method.length + url.length + 11, rawHeaders), go)
  }

  #forward(owner: HttpConnection, exchange: Exchange, checked: Checked): void {
    const { request } = exchange
    const outgoing = forwardHeaders(checked.headers, forwardedFor(owner.connection, this.#options))
    // One framing, ours: what the check understood, not what the client wrote.
    if (checked.bodyBytes === null) outgoing.push(['Transfer-Encoding', 'chunked'])
    request.headers = toObject(outgoing)
    exchange.hasBody = checked.bodyBytes !== 0
    if (bindsConnection(checked.headers)) owner.binding ??= new Binding(String(owner.connection.id))
    // Before http-proxy-3 listens: it ends the request to the upstream with this event.
    request.once('end', () => exchange.outgoing?.addTrailers(forwardTrailers(toHeaders(request.rawTrailers)) as never))
    this.#relay.send(owner, exchange, checked.target)
  }

  #onConnectMethod(request: IncomingMessage, socket: Duplex): void {
    ;(socket as OwnedSocket)[kConnection]!.fail(refused(`${request.method} is not served`, 405))
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, early: Buffer): void {
    const owner = (socket as OwnedSocket)[kConnection]!
    if (!(socket instanceof net.Socket)) return void socket.destroy()
    if (owner.isClosing) return
    const rest = owner.giveAway()
    socket.removeAllListeners()
    socket.setTimeout(0)
    this.#serveUpgrade(owner.connection, socket, headOf(request), Buffer.concat([early, rest]))
  }
}

type Expectation = 'nothing' | 'continue' | 'unknown'

function backstop(ms: number): number {
  return Number.isFinite(ms) ? ms + BACKSTOP_MS : 0
}

function headOf({ method = '', url = '', httpVersion, rawHeaders }: IncomingMessage): RequestHead {
  return { method, target: url, version: httpVersion === '1.1' ? '1.1' : '1.0', headers: toHeaders(rawHeaders) }
}

/** Only to `websocket`, and only where no body could be read in two ways; other upgrades are plain requests. */
function isWebSocketUpgrade(request: IncomingMessage): boolean {
  const { headers } = headOf(request)
  return isUpgrade({ headers }) && !hasBody(headers)
}

function answerOptions(owner: HttpConnection, response: ServerResponse): void {
  owner.beginAnswer()
  if (!response.shouldKeepAlive) owner.endAfterAnswer(makeClose('eof', 'client', 'relay'))
  response.writeHead(204, { Allow: SERVED_METHODS, Connection: owner.isLast ? 'close' : 'keep-alive' }).end()
}

function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  const close = closeFromParser(error)
  if (close !== null) (socket as OwnedSocket)[kConnection]?.fail(close)
}
