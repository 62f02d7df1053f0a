// A client connection that carries plain HTTP: one request after the other, each an Exchange, under the same record, the same
// reasons and the same deadlines as everything else. Node's http.Server parses; its own timers are only a backstop.
//
//     idle      between requests: http.keepAlive; a head that has begun: deadlines.handshake, in total
//     busy      an exchange: its deadlines
//     closing   an answer is flushed and FIN sent, within deadlines.close
//     closed    the socket is gone; the record is reported

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { closeFromError, isForced, isPatient, makeClose, reasonRow, type Close, type PeerSide } from '../core/close.ts'
import type { Swept } from '../core/clock.ts'
import { releasePlace, type Connection, type ConnectionOwner, type Direction } from '../core/connection.ts'
import { bugDetail } from '../core/errors.ts'
import { expiresAt } from '../pair/deadlines.ts'
import type { ServeContext } from '../opening/opening.ts'
import type { Binding } from './binding.ts'
import { Exchange, type HttpDeadlines } from './exchange.ts'
import type { Live } from '../core/live.ts'
import { idleOptionsOf, IdleWait } from './idle-wait.ts'
import type { Feed } from './feed.ts'
import { answerFor, isGone } from '../http1/refusal.ts'
import type { HttpMeter } from './throttle.ts'
import { resetSocket } from '../endpoint/reset.ts'
import type { Wait } from '../core/wait.ts'
import { describeHttp } from './waits.ts'

export interface HttpConnectionOptions {
  deadlines: Live<HttpDeadlines>
  keepAliveMs: number
}

export interface HttpContext extends ServeContext {
  /** An exchange is over; `status` is what the client got, null if nothing. */
  onExchange: (connection: Connection, exchange: Exchange, status: number | null) => void
  /** Why clients are to leave with their next answer; null while they may stay. */
  leaving: () => 'drain' | 'reloaded' | null
}

/** Requests on one connection, as nginx has it: what a client leaks in our parser is given back now and then. */
const MAX_REQUESTS = 1000

type State = 'idle' | 'busy' | 'closing' | 'closed' | 'given away'

export class HttpConnection implements ConnectionOwner, Swept {
  readonly connection: Connection
  readonly #socket: Socket
  readonly #options: HttpConnectionOptions
  readonly #context: HttpContext
  /** How much of the jitter is applied to the lifetime, 0..1. */
  readonly #jitter: number
  /** What the client sends; null until Node's server has the socket. */
  feed: Feed | null = null
  /** What the byte limits say of it; null where there are none. */
  meter: HttpMeter | null = null
  /** Null while its requests may go by connections that others use, too. */
  binding: Binding | null = null
  /** What the log says of it if nothing else is to be said of its end. */
  remark: string | null = null
  #state: State = 'idle'
  #exchange: Exchange | null = null
  #requests = 0
  /** Ends the connection after the answer in flight. */
  #afterAnswer: Close | null = null
  /** Why what came cannot be read as a request. */
  #unreadable: Close | null = null
  readonly #idle: IdleWait
  #closesBy = Number.POSITIVE_INFINITY
  #error: Error | null = null
  /** What earlier exchanges moved at the upstream. */
  #readFromUpstream = 0
  #writtenToUpstream = 0

  constructor(connection: Connection, socket: Socket, options: HttpConnectionOptions, context: HttpContext) {
    this.connection = connection
    this.#socket = socket
    this.#options = options
    this.#context = context
    this.#idle = new IdleWait(context.clock.now())
    this.#jitter = context.random()
    connection.owner = this
    connection.phase = 'relay'
    socket.on('error', this.#onError).on('end', this.#onClientEnd).on('close', this.#onSocketClosed)
    // Node calls this behind the last answer, and would close at once: with bytes of the client unread the kernel then
    // sends RST, which can destroy the answer.
    socket.destroySoon = () => this.endAfterAnswer(makeClose('eof', 'client', 'relay'))
    context.sweep.add(this)
  }

  get isClosing(): boolean {
    return this.#state !== 'idle' && this.#state !== 'busy'
  }

  /** A request is under way. */
  get isServing(): boolean {
    return this.#state === 'busy'
  }

  /** An answer begins now: the last one (`isLast`), if clients are to leave, whenever its request came. */
  beginAnswer(): void {
    const reason = this.#context.leaving()
    if (reason !== null) this.endAfterAnswer(makeClose(reason, 'sidegate', 'relay'))
  }

  /** Whether the answer that begins now is the last one. */
  get isLast(): boolean {
    return this.#afterAnswer !== null
  }

  queued(side: PeerSide): number {
    return side === 'client' ? this.#socket.writableLength : (this.#exchange?.queuedForUpstream ?? 0) + (this.feed?.held ?? 0)
  }

  takenAt(side: PeerSide): number {
    return this.#state === 'busy' ? this.#exchange!.takenAt(side) : this.#context.clock.now()
  }

  isPaused(direction: Direction): boolean {
    const source = direction === 'to_client' ? this.#exchange?.answer : this.#exchange?.request
    return source?.isPaused() ?? false
  }

  /** Between two requests. */
  quietMs(now: number): number {
    return this.#state === 'idle' ? this.#idle.quietMs(now) : 0
  }

  isOwed(): boolean {
    return this.#state === 'busy'
  }

  activeAt(): number {
    return this.#exchange?.activeAt ?? this.#idle.since
  }

  describe(): Wait {
    const times = { idleSince: this.#idle.since, headSince: this.#idle.headSince, closesBy: this.#closesBy, expiresAt: expiresAt(this.connection.openedAt, this.#options.deadlines.current, this.#jitter) }
    return describeHttp({ state: this.#state, exchange: this.#exchange?.describe() ?? null, end: this.connection.end, ...times }, idleOptionsOf(this.#options))
  }

  begin(request: IncomingMessage, response: ServerResponse): Exchange {
    const exchange = new Exchange(request, response, this.#options.deadlines, this.#context.clock.now())
    exchange.meter = this.meter
    this.#exchange = exchange
    this.#state = 'busy'
    if (++this.#requests >= MAX_REQUESTS) this.endAfterAnswer(makeClose('eof', 'sidegate', 'relay', `${MAX_REQUESTS} requests`))
    response.once('close', () => this.#onAnswered(exchange))
    response.on('error', ignore) // a write behind the end of its socket, which tells of itself
    return exchange
  }

  #onAnswered(exchange: Exchange): void {
    if (this.#exchange !== exchange) return
    this.#report(exchange, exchange.response.headersSent ? exchange.response.statusCode : null)
    this.#count()
    if (this.#state !== 'busy') return
    this.#state = 'idle'
    // What came of the next request meanwhile is its beginning.
    this.#idle.begin(this.#context.clock.now(), this.#socket.bytesRead - this.feed!.held)
    if (this.#afterAnswer !== null) return this.#closeNow(this.#afterAnswer)
    this.feed!.next()
  }

  #report(exchange: Exchange, status: number | null): void {
    this.#readFromUpstream += exchange.upstreamRead
    this.#writtenToUpstream += exchange.upstreamWritten
    this.#exchange = null
    this.meter?.end()
    exchange.search?.cancel()
    releasePlace(this.connection)
    this.#context.onExchange(this.connection, exchange, status)
  }

  /** The socket and what it has read go to another owner (an upgrade), which counts the bytes behind the head. */
  giveAway(): Buffer {
    const early = this.feed!.stop()
    this.binding?.release()
    this.#count()
    this.connection.toUpstream.received -= early.length
    this.#state = 'given away'
    this.#context.sweep.delete(this)
    Reflect.deleteProperty(this.#socket, 'destroySoon')
    this.#socket.off('error', this.#onError).off('end', this.#onClientEnd).off('close', this.#onSocketClosed)
    return early
  }

  close(close: Close): void {
    if (this.#state === 'closing' && isForced(close)) resetSocket(this.#socket)
    if (this.isClosing) return
    if (isPatient(close)) this.endAfterAnswer(close)
    else this.#closeNow(close)
  }

  /** The first call wins. */
  endAfterAnswer(close: Close): void {
    this.#afterAnswer ??= close
    if (this.#state === 'idle') this.#closeNow(this.#afterAnswer)
  }

  /** What the client sends cannot be read any more. */
  fail(close: Close): void {
    if (this.isClosing) return
    this.#unreadable = close
    this.#closeNow(close)
  }

  #closeNow(close: Close): void {
    const exchange = this.#exchange
    this.connection.isCut = close.side === 'sidegate' && exchange !== null && !exchange.response.writableFinished
    this.#state = 'closing'
    this.connection.end = close
    this.connection.phase = 'close'
    this.#closesBy = this.#context.clock.now() + this.#options.deadlines.current.closeMs
    if (exchange === null || exchange.response.writableFinished) this.#part(close)
    else this.#cut(exchange, close)
    if (!this.#socket.destroyed) this.#socket.resume()
  }

  /** No answer is due, unless what the client sent could not be read as a request. */
  #part(close: Close): void {
    const answer = close.phase === 'handshake' || close === this.#unreadable ? answerFor(close) : null
    if (answer !== null) this.#socket.end(answer)
    else if (reasonRow(close.reason).manner === 'flush') this.#socket.end()
    else resetSocket(this.#socket)
  }

  #cut(exchange: Exchange, close: Close): void {
    const { request, response, outgoing } = exchange
    const refused = response.headersSent ? null : answerFor(close)
    const isCutVisible = response.headersSent && exchange.isDelimited && reasonRow(close.reason).manner === 'flush'
    this.#report(exchange, response.headersSent ? response.statusCode : refused === null ? null : Number(refused.toString('latin1', 9, 12)))
    outgoing?.destroy()
    // Where only RST would say that something is missing, or nobody takes what there is.
    if ((refused === null && !isCutVisible) || isGone(close)) return resetSocket(this.#socket)
    request.unpipe()
    request.resume()
    response.detachSocket(this.#socket)
    if (refused === null) this.#socket.end()
    else this.#socket.end(request.method === 'HEAD' ? refused.subarray(0, refused.indexOf('\r\n\r\n') + 4) : refused)
  }

  sweep(now: number): void {
    this.#count()
    if (this.#state === 'closing') {
      if (now >= this.#closesBy) resetSocket(this.#socket)
      return
    }
    const close = this.#state === 'busy' ? this.#exchange!.check(now, this.#context.strain.idleScale) : this.#idle.check(now, this.#socket.bytesRead, idleOptionsOf(this.#options), this.#context.strain.idleScale)
    if (close?.reason === 'connect_timeout') return this.#exchange!.onConnectTimeout!(close)
    if (close !== null) return this.close(close)
    if (this.#afterAnswer === null && now >= expiresAt(this.connection.openedAt, this.#options.deadlines.current, this.#jitter)) this.close(makeClose('lifetime_timeout', 'sidegate', 'relay', 'deadlines.lifetime'))
  }

  onBroken(error: unknown): void {
    this.close(makeClose('internal_error', 'sidegate', 'relay', bugDetail(error)))
  }

  #count(): void {
    const { toUpstream, toClient } = this.connection
    toUpstream.received = this.#socket.bytesRead
    toClient.sent = this.#socket.bytesWritten
    toClient.received = this.#readFromUpstream + (this.#exchange?.upstreamRead ?? 0)
    toUpstream.sent = this.#writtenToUpstream + (this.#exchange?.upstreamWritten ?? 0)
  }

  readonly #onError = (error: Error): void => {
    this.#error ??= error
  }

  /** A client that ends its half while it waits has left, as for nginx: the rare one that only half-closes is not told apart. */
  readonly #onClientEnd = (): void => {
    if (this.#state !== 'busy' || this.#exchange!.response.writableFinished) return
    this.close(makeClose('aborted', 'client', 'relay', 'left before its answer was complete'))
  }

  readonly #onSocketClosed = (): void => {
    if (this.#state === 'closed' || this.#state === 'given away') return
    this.#count()
    const exchange = this.#exchange
    this.connection.end ??= this.#endOf(exchange)
    if (this.remark !== null && this.connection.end.detail === undefined) this.connection.end = { ...this.connection.end, detail: this.remark }
    this.#state = 'closed'
    if (exchange !== null) this.#report(exchange, exchange.response.headersSent ? exchange.response.statusCode : null)
    exchange?.outgoing?.destroy()
    this.binding?.release()
    this.#context.sweep.delete(this)
    this.#context.onClosed(this.connection)
  }

  #endOf(exchange: Exchange | null): Close {
    if (this.#afterAnswer !== null && exchange === null) return this.#afterAnswer
    if (this.#error !== null) return closeFromError(this.#error, 'client', 'relay')
    if (exchange !== null && !exchange.response.writableFinished) return makeClose('aborted', 'client', 'relay', 'left before its answer was complete')
    return makeClose('eof', 'client', 'relay')
  }
}

function ignore(): void {}
