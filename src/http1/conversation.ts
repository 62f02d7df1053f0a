// HTTP/1.1 and 1.0 as a dialogue of the pair: one request after the other on a client's connection, each with
// its own upstream connection.
//
//     rest ---head---> reaching ---an endpoint---> asking ---head of the answer---> answering ---its end---> rest
//      \-- an upgrade: the client is given away    (the pair turns to it)             (it is kept, or closed)
//
// The same functions judge every head, the tenth like the first. Bodies pass as they come, in a framing of
// ours. Bytes after a request wait in the client's socket; at most the rest of one read is held here.

import { closeFromError, httpStatus, makeClose, reasonRow, type Close } from '../core/close.ts'
import type { Farewell } from '../core/manner.ts'
import { letReturn, releasePlace, type Connection } from '../core/connection.ts'
import { refuses } from '../core/strain.ts'
import { noteFailedDial } from '../core/timeline.ts'
import type { Wait } from '../core/wait.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Dialogue, Watched } from '../pair/dialogue.ts'
import type { Half } from '../pair/half.ts'
import type { Pair } from '../pair/pair.ts'
import { Reach, type Reacher } from '../upstream/reach.ts'
import { Behalf } from './behalf.ts'
import { endOfClient, endUnread } from './client-end.ts'
import { isDelimitedFor, type JudgedAnswer } from './answer-head.ts'
import { Answers, type AnswersOwner } from './answers.ts'
import { Exchange } from './exchange.ts'
import { forwardedFor, forwardTrailers } from './forwarding.ts'
import type { Forwarded } from './forwarding.ts'
import type { RequestHead } from './head.ts'
import { Intake, type IntakeOwner } from './intake.ts'
import type { HttpContext, HttpOptions } from './options.ts'
import { refusalOf } from './refusal.ts'
import { judgeRequest } from './request-head.ts'
import { LastAnswer } from './last-answer.ts'
import { isUpgrade, notRelayed, otherUpgrade } from './upgrade.ts'
import { UpstreamEnd } from './upstream-end.ts'
import { Waits } from './waits.ts'

/** The bytes that a byte limit must have before a head is read, instead of a whole read. */
const HEAD_BYTES = 4096

export class Conversation implements Dialogue, Reacher, IntakeOwner, AnswersOwner {
  readonly #connection: Connection
  readonly #options: HttpOptions
  readonly #context: HttpContext
  readonly #client: Forwarded
  readonly #waits: Waits
  readonly #behalf: Behalf
  #madePair: Pair | null = null
  #intake: Intake | null = null
  #answers: Answers | null = null
  #reach: Reach | null = null
  exchange: Exchange | null = null
  #upstream: UpstreamEnd | null = null
  #hasClientEnded = false
  readonly #last: LastAnswer
  /** The detail in the log if the connection's end has no other. */
  #remark: string | null = null
  isOver = false
  /** The last words to the client. */
  #refusal: Buffer | null = null

  constructor(connection: Connection, options: HttpOptions, context: HttpContext) {
    this.#connection = connection
    this.#options = options
    this.#context = context
    this.#client = forwardedFor(connection, options)
    this.#behalf = new Behalf(connection, options, context)
    this.#last = new LastAnswer(options, context)
    this.#waits = new Waits(options, context.clock.now())
  }

  attach(pair: Pair): void {
    this.#madePair = pair
    this.#intake = new Intake(pair.toUpstream, this.#options, this, this.#context)
    this.#answers = new Answers(pair.toClient, this.#options, this)
    this.#reach = new Reach(this.#options.reach, this.#connection, this.#context, this)
    this.#upstream = new UpstreamEnd(pair, this.#connection, this.#reach)
    this.#expect(HEAD_BYTES, HEAD_BYTES)
  }

  get #pair(): Pair {
    return this.#madePair!
  }

  get afterAnswer(): Close | null {
    return this.#last.close
  }

  get isAtRest(): boolean {
    return this.exchange === null && this.#waits.headSince === null
  }

  get held(): number {
    return this.#intake!.held + (this.exchange?.waiting ?? 0)
  }

  relay(half: Half, bytes: Buffer, length: number): void {
    if (half === this.#pair.toUpstream) this.#intake!.onBytes(bytes, length)
    else this.#onUpstreamBytes(bytes, length)
  }

  /** The bytes that a limit must have before either side is read. */
  #expect(fromClient: number, fromUpstream: number): void {
    const { toUpstream, toClient } = this.#pair
    if (toUpstream.meter !== null) toUpstream.meter.expected = fromClient
    if (toClient.meter !== null) toClient.meter.expected = fromUpstream
  }

  onHeadBegun(): void {
    this.#waits.headSince = this.#context.clock.now()
  }

  onRequest(request: RequestHead, early: Buffer, headBytes: number): void {
    this.#context.observer.onHead(this.#connection, 'client', headBytes)
    if (isUpgrade(request)) this.#giveAway(request, early)
    else this.begin(request)
  }

  #giveAway(request: RequestHead, early: Buffer): void {
    this.isOver = true
    this.#upstream!.drop()
    const client = this.#pair.giveAway()
    this.#connection.toUpstream.received -= early.length
    this.#context.serveUpgrade(this.#connection, client, request, early)
    if (this.#hasClientEnded) client.owner.onEnd(client)
  }

  /** Serves a request whose head is complete, from the first bytes of a connection or later. */
  begin(request: RequestHead): void {
    const exchange = new Exchange(request, this.#context.clock.now())
    this.exchange = exchange
    this.#waits.headSince = null
    this.#last.onRequest(exchange)
    if (!this.#behalf.mustWait(request, () => this.#onKnown(exchange))) this.#serve(exchange)
  }

  /** The client's bytes were held meanwhile. */
  #onKnown(exchange: Exchange): void {
    this.#serve(exchange)
    if (!this.isOver) this.#goOn()
  }

  #serve(exchange: Exchange): void {
    const { request } = exchange
    // Before the limits of its client, as where clients come by themselves: a refused request uses up none of
    // them.
    if (refuses(this.#context.strain, this.#connection))
      return this.close(makeClose('overloaded', 'sidegate', 'relay', 'memory.refuseAt'))
    if (!this.#behalf.take(this.#pair, this.#upstream!)) return
    const judged = judgeRequest(request, this.#options, this.#client)
    if ('reason' in judged) return this.close(judged)
    const other = otherUpgrade(request.headers)
    if (other !== null) this.#remark = notRelayed(other)
    exchange.judge(judged, this.#pair.toUpstream.isOfStream)
    this.#answers!.reset()
    this.#expect(exchange.isRequestComplete ? HEAD_BYTES : exchange.requestBody.remaining, HEAD_BYTES)
    if (this.#upstream!.isThere) return this.#ask(exchange, true)
    this.#reach!.start(exchange.isRepeatable)
    if (!this.isOver && exchange.reachedAt === null) this.#intake!.weighHead(exchange.wait())
  }

  #endOfClient(): Close | null {
    return endOfClient(this.exchange, this.#intake!, this.#options.abortsOnHalfClose)
  }

  onReached(endpoint: Endpoint, dialMs: number | null): void {
    const { clock, observer } = this.#context
    if (dialMs !== null) observer.onConnected(this.#connection, dialMs)
    this.#connection.connectedAt ??= clock.now()
    this.#upstream!.take(endpoint)
    this.#intake!.weighHead(0)
    this.#ask(this.exchange!, dialMs === null)
    if (!this.#intake!.isTaking) this.#goOn()
  }

  #ask(exchange: Exchange, isReused: boolean): void {
    this.#pair.toUpstream.activity++
    exchange.ask(this.#pair.toUpstream, this.#context.clock.now(), isReused)
  }

  onConnectFailed(close: Close): void {
    noteFailedDial(this.#connection, close, this.#context.clock.now())
    this.#context.observer.onConnectFailed(this.#connection, close)
  }

  #onUpstreamBytes(bytes: Buffer, length: number): void {
    const exchange = this.exchange
    // Bytes from a connection that is kept for this client belong to no request.
    if (exchange === null) return this.#upstream!.drop()
    const close = this.#answers!.read(exchange, bytes, length)
    if (close !== null) this.close(close)
    else if (exchange.answer === null) return
    else if (exchange.answerBody.isComplete) this.#finish(exchange, this.#answers!.isClean)
    else this.#expect(this.#pair.toUpstream.meter?.expected ?? 0, exchange.answerBody.remaining)
  }

  isLast(exchange: Exchange, answer: JudgedAnswer): boolean {
    this.#last.onAnswer(exchange, answer)
    if (this.#last.asksToGo) letReturn(this.#connection)
    return this.#last.due !== null || (this.#hasClientEnded && this.#intake!.held === 0)
  }

  onAnswer({ reachedAt, startedAt }: Exchange, headBytes: number): void {
    const { clock, observer } = this.#context
    observer.onHead(this.#connection, 'upstream', headBytes)
    observer.onAnswer(this.#connection, clock.now() - (reachedAt ?? startedAt))
  }

  /** The answer is complete. `isClean`: nothing came after it. */
  #finish(exchange: Exchange, isClean: boolean): void {
    exchange.end(forwardTrailers(exchange.answerBody.trailers))
    this.exchange = null
    this.#context.onExchange(this.#connection, exchange, exchange.answer!.status, null)
    this.#upstream!.release(exchange, isClean)
    const due = this.#last.finish(exchange)
    if (due !== null) return this.close(due)
    this.#behalf.leave(this.#pair)
    this.#waits.since = this.#context.clock.now()
    this.#expect(HEAD_BYTES, HEAD_BYTES)
    this.#goOn()
  }

  /** Reads the client again, and serves what it has sent meanwhile. */
  #goOn(): void {
    this.#intake!.goOn()
    const close = this.#hasClientEnded && !this.isOver ? this.#endOfClient() : null
    if (close !== null) this.close(close)
  }

  /** True if the request, whose kept connection had just ended, is on its way again. */
  #retry(exchange: Exchange): boolean {
    if (exchange.isReused && !exchange.hasAnswered) this.#upstream!.doubt()
    if (!exchange.isWorthRetrying) return false
    exchange.rewind()
    this.#answers!.reset()
    this.#upstream!.again()
    return true
  }

  onSourceEnd(half: Half): Close | 'kept' {
    return half === this.#pair.toUpstream ? this.#onClientEnd() : this.#onUpstreamEnd()
  }

  #onClientEnd(): Close | 'kept' {
    this.#hasClientEnded = true
    return this.#endOfClient() ?? 'kept'
  }

  #onUpstreamEnd(): Close | 'kept' {
    const exchange = this.exchange
    if (exchange === null) this.#upstream!.drop()
    else if (exchange.answer?.framing.kind === 'end') this.#finish(exchange, true)
    else if (!this.#retry(exchange))
      return makeClose(
        'aborted',
        'upstream',
        'relay',
        exchange.lost(`FIN ${this.#answers!.whereEnded(exchange)}`),
      )
    return 'kept'
  }

  onUpstreamClosed(error: NodeJS.ErrnoException | null): boolean {
    const exchange = this.exchange
    if (exchange === null) this.#upstream!.drop()
    else if (!this.#retry(exchange)) {
      const close =
        error === null
          ? makeClose('aborted', 'upstream', 'relay', 'closed without FIN')
          : closeFromError(error, 'upstream', 'relay')
      this.close({ ...close, detail: exchange.lost(close.detail ?? '') })
    }
    return true
  }

  close(close: Close): void {
    this.#pair.close(close)
  }

  explain(close: Close): Close {
    return this.#remark === null || close.detail !== undefined ? close : { ...close, detail: this.#remark }
  }

  postpone(close: Close): boolean {
    if ((this.exchange === null && !this.#last.isLoggingIn) || this.isOver) return false
    this.#last.close ??= close
    return true
  }

  onClosing(close: Close): void {
    this.isOver = true
    this.#intake!.drop()
    this.#behalf.stop()
    const exchange = this.exchange
    this.#reach!.cancel()
    this.#refusal = this.#pair.toClient.sink.isClosed ? null : refusalOf(close, exchange)
    releasePlace(this.#connection)
    if (exchange === null) return
    const refused = this.#refusal === null ? null : httpStatus(close)
    const status = exchange.isAnswerBegun ? exchange.answer!.status : refused
    this.#context.onExchange(this.#connection, exchange, status, close)
    exchange.forget()
  }

  farewell(half: Half, close: Close): Farewell {
    const { manner } = reasonRow(close.reason)
    if (half === this.#pair.toUpstream)
      return manner === 'reset' && close.side === 'upstream' ? 'nothing' : 'done'
    const exchange = this.exchange
    if (this.#refusal !== null) {
      half.forward(this.#refusal, 0, this.#refusal.length)
      return 'answered'
    }
    if (exchange === null || manner === 'reset') return 'nothing'
    return exchange.isAnswerBegun &&
      isDelimitedFor(exchange.answer!, exchange.request.version) &&
      close.side !== 'client'
      ? 'nothing'
      : 'cut'
  }

  unwanted(close: Close): number | null {
    const isTold = this.exchange === null || this.#refusal !== null
    return isTold ? this.#last.unwanted(close) : null
  }

  isOwing(half: Half): boolean {
    return this.#waits.isOwing(this.exchange, half)
  }

  owingSince(half: Half): number | null {
    return half === this.#pair.toUpstream ? this.#intake!.heldSince : null
  }

  sweep(): Close | null {
    this.exchange?.shed()
    const left = endUnread(this.exchange, this.#pair.toUpstream, this.#options.abortsOnHalfClose)
    if (this.exchange !== null || this.#last.isLoggingIn) return left
    this.#upstream!.yield()
    return this.#last.close
  }

  judge(toUpstream: Watched, toClient: Watched, now: number, scale: number): Close | null {
    return this.#waits.judge(this.exchange, this.#pair, { toUpstream, toClient }, now, scale)
  }

  describe(): Omit<Wait, 'state'> {
    return this.#waits.describe(this.exchange, this.#reach!)
  }
}
