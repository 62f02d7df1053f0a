// An exchange: one request and its answer, with the progress of both.

import { ORDINARY_HEAD } from '../core/early-share.ts'
import { KeptBytes } from '../endpoint/kept-bytes.ts'
import type { Half } from '../pair/half.ts'
import { answerHeadText, isChunkedFor } from './answer-head.ts'
import type { AnswerTo, JudgedAnswer } from './answer-head.ts'
import { bodyOf } from './body.ts'
import type { Body, BodySink } from './body.ts'
import { BodyWriter } from './body-writer.ts'
import type { BodyTarget } from './body-writer.ts'
import { isCall } from './grpc.ts'
import { NO_FIELDS } from './fields.ts'
import type { RequestHead } from './head.ts'
import { CONTENT_LENGTH, TRANSFER_ENCODING } from './header-name.ts'
import type { JudgedRequest } from './request-head.ts'

/** Methods whose requests may be sent twice. */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** The way to the upstream: keeps the bytes that come before the upstream is reached. */
class Outbox implements BodyTarget {
  #kept: KeptBytes | null = null
  #half: Half | null = null

  get waiting(): number {
    return this.#kept?.length ?? 0
  }

  forward(bytes: Buffer, start: number, end: number): void {
    if (this.#half !== null) this.#half.forward(bytes, start, end)
    else (this.#kept ??= new KeptBytes()).append(bytes, start, end)
  }

  open(half: Half): void {
    this.#half = half
    const kept = this.#kept?.takeAll()
    this.#kept = null
    if (kept !== undefined) half.forward(kept, 0, kept.length)
  }
}

const EMPTY: Body = bodyOf({ kind: 'none' }, false)

export class Exchange implements BodySink {
  request: RequestHead
  /** A call of gRPC: a conversation in which each side may be silent for as long as it likes. */
  readonly isCall: boolean
  /** The request came over HTTP/2. */
  isOfStream = false
  readonly startedAt: number
  /** Null for a refused request. */
  judged: JudgedRequest | null = null
  /** When the upstream was reached, and when it had the whole request; null before. */
  reachedAt: number | null = null
  askedAt: number | null = null
  /** The upstream connection has served an earlier request. */
  isReused = false
  /** The system took a part of the request for the upstream. */
  #isHanded = true
  requestBody: Body = EMPTY
  toUpstream: BodyWriter | null = null
  #outbox: Outbox | null = null
  /** Kept of a forgotten head. */
  #isBodyAnnounced: boolean | null = null
  /** The upstream has sent something. */
  hasAnswered = false
  interim = 0
  answer: JudgedAnswer | null = null
  answerBody: Body = EMPTY
  #toClient: BodyWriter | null = null
  #half: Half | null = null
  /** The unsent head for the client; it waits for the rest of its read. */
  #headText = ''
  /** The head of the answer went out to the client. */
  isAnswerBegun = false

  constructor(request: RequestHead, now: number) {
    this.request = request
    this.isCall = isCall(request)
    this.startedAt = now
  }

  /** The judged request, which goes on to the upstream. `isOfStream`: it came over HTTP/2. */
  judge(judged: JudgedRequest, isOfStream = false): void {
    this.judged = judged
    this.isOfStream = isOfStream
    this.requestBody = bodyOf(judged.framing, false, isOfStream)
    if (judged.framing.kind === 'none') return
    this.#outbox = new Outbox()
    this.toUpstream = new BodyWriter(this.#outbox, judged.framing.kind === 'chunked')
  }

  /** As its head says, whether or not anybody judged that. */
  get isBodyAnnounced(): boolean {
    return this.#isBodyAnnounced ?? announcesBody(this.request)
  }

  get isRequestComplete(): boolean {
    return this.requestBody.isComplete
  }

  /** Bytes of the request that wait for the upstream to be reached. */
  get waiting(): number {
    return this.#outbox?.waiting ?? 0
  }

  /** The client sends its body only when the upstream asks for it (or answers without it). */
  get isHeldByExpect(): boolean {
    return (
      this.judged?.isWaiting === true &&
      this.interim === 0 &&
      (this.toUpstream === null || this.toUpstream.bytes === 0)
    )
  }

  /** Sends the request to the upstream. */
  ask(half: Half, now: number, isReused: boolean): void {
    this.reachedAt = now
    this.isReused = isReused
    const { sent } = half.flow
    half.forwardHead(this.judged!.head)
    // A kept connection may be reset in the very turn that takes it: then the system refuses the first write.
    this.#isHanded = half.sink.isBroken !== true
    if (this.#isHanded) this.#outbox?.open(half)
    else half.flow.sent = sent
  }

  /**
   * The kept connection had just ended, and either the system took none of the request, or the upstream has
   * not answered and a second execution does no harm.
   */
  get isWorthRetrying(): boolean {
    return this.isReused && !this.hasAnswered && (!this.#isHanded || this.isRepeatable)
  }

  /** A second execution does no harm, and nothing of the request is lost once it was sent. */
  get isRepeatable(): boolean {
    return this.judged?.framing.kind === 'none' && idempotent.has(this.request.method)
  }

  /**
   * Drops what nothing reads any more. The heads would stay for as long as a long poll or a stream of events
   * does: each with its cookies, twice.
   */
  shed(): void {
    if (this.reachedAt === null || (this.isReused && !this.hasAnswered)) return
    if (this.judged!.head !== '') this.#shedRequest(this.judged!)
    // The end of a call reads its status in the head.
    if (this.isAnswerBegun && !this.isCall && this.answer!.headers.length > 0)
      this.answer = { ...this.answer!, headers: [] }
  }

  /** The request waits for its upstream; returns the size of the head that goes on. */
  wait(): number {
    const { head } = this.judged!
    if (head.length <= ORDINARY_HEAD) return head.length
    this.#shedReceived()
    // Its parts are parts of the received one.
    this.judged = { ...this.judged!, head: copyOf(head) }
    return head.length
  }

  #shedReceived(): void {
    const { method, target, version } = this.request
    this.request = { method, target: copyOf(target), version, headers: NO_FIELDS }
  }

  /** The connection ends, and its client may take a while to see it: the request goes nowhere any more. */
  forget(): void {
    this.#outbox = null
    this.#isBodyAnnounced = this.isBodyAnnounced
    if (this.judged === null) this.#shedReceived()
    else if (this.judged.head !== '') this.#shedRequest(this.judged)
  }

  #shedRequest(judged: JudgedRequest): void {
    this.#shedReceived()
    this.judged = { ...judged, head: '' }
  }

  /** How the upstream left, in the words of the log. */
  lost(detail: string): string {
    return this.isReused ? `${detail}, on a connection that had served before` : detail
  }

  /** Returns to the state before the request was sent. */
  rewind(): void {
    this.reachedAt = this.askedAt = null
    this.isReused = false
  }

  /** Begins the answer. */
  begin(answer: JudgedAnswer, half: Half, isLenient: boolean, to: AnswerTo): void {
    this.answer = answer
    this.answerBody = bodyOf(answer.framing, isLenient, half.isOfStream)
    this.#half = half
    this.#toClient = new BodyWriter(half, isChunkedFor(answer, to.version))
    this.#headText = answerHeadText(answer, to)
  }

  /** Takes the body of the answer, for `answerBody.read`. */
  data(bytes: Buffer, start: number, end: number): void {
    // Ungathered bytes go at once, and so must their head.
    if (!this.#toClient!.isChunked) this.sendHead()
    this.#toClient!.data(bytes, start, end)
  }

  /** The part of the answer in this read was well-formed. */
  flush(): void {
    this.sendHead()
    this.#toClient!.flush()
  }

  end(trailers: Parameters<BodyWriter['end']>[0]): void {
    this.#toClient!.end(trailers)
  }

  sendHead(): void {
    if (this.isAnswerBegun) return
    this.isAnswerBegun = true
    this.#half!.forwardHead(this.#headText)
    this.#headText = ''
  }
}

/** For copies: a buffer for each would be garbage outside the heap, which V8 lets wait. */
let scratch = Buffer.allocUnsafeSlow(16_384)

/** In latin1. A part of a text keeps the whole. */
function copyOf(text: string): string {
  if (text.length > scratch.length) scratch = Buffer.allocUnsafeSlow(text.length)
  return scratch.toString('latin1', 0, scratch.write(text, 'latin1'))
}

function announcesBody({ headers }: RequestHead): boolean {
  return headers.has(CONTENT_LENGTH) || headers.has(TRANSFER_ENCODING)
}
