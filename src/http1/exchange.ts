// One request and its answer: how far both have come.

import { KeptBytes } from '../endpoint/kept-bytes.ts'
import type { Half } from '../pair/half.ts'
import { answerHeadText, isChunkedFor } from './answer-head.ts'
import type { AnswerTo, JudgedAnswer } from './answer-head.ts'
import { bodyOf } from './body.ts'
import type { Body, BodySink } from './body.ts'
import { BodyWriter } from './body-writer.ts'
import type { BodyTarget } from './body-writer.ts'
import { isCall } from './grpc.ts'
import type { RequestHead } from './head.ts'
import type { JudgedRequest } from './request-head.ts'

/** Requests that may be sent twice. */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** The way to the upstream: what comes before it is there is kept. */
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
  readonly request: RequestHead
  /** A call of gRPC: a conversation, of which each side may be silent for as long as it likes. */
  readonly isCall: boolean
  readonly startedAt: number
  /** Null for a request that is refused. */
  judged: JudgedRequest | null = null
  /** When the upstream was there, and when it had the whole request; null before. */
  reachedAt: number | null = null
  askedAt: number | null = null
  /** The connection to the upstream had served before. */
  isReused = false
  /** The system took some of it for the upstream. */
  #isHanded = true
  requestBody: Body = EMPTY
  toUpstream: BodyWriter | null = null
  #outbox: Outbox | null = null
  /** The upstream has sent something. */
  hasAnswered = false
  interim = 0
  answer: JudgedAnswer | null = null
  answerBody: Body = EMPTY
  #toClient: BodyWriter | null = null
  #half: Half | null = null
  /** The head that the client has not been sent yet; it waits for the rest of the read that it came in. */
  #headText = ''
  /** The client was sent the head of the answer. */
  isAnswerBegun = false

  constructor(request: RequestHead, now: number) {
    this.request = request
    this.isCall = isCall(request)
    this.startedAt = now
  }

  /** The request goes on with this. */
  judge(judged: JudgedRequest): void {
    this.judged = judged
    this.requestBody = bodyOf(judged.framing, false)
    if (judged.framing.kind === 'none') return
    this.#outbox = new Outbox()
    this.toUpstream = new BodyWriter(this.#outbox, judged.framing.kind === 'chunked')
  }

  get isRequestComplete(): boolean {
    return this.requestBody.isComplete
  }

  /** Bytes of the request that wait for the upstream to be there. */
  get waiting(): number {
    return this.#outbox?.waiting ?? 0
  }

  /** The client sends its body when the upstream says so (or answers without it). */
  get isHeldByExpect(): boolean {
    return (
      this.judged?.isWaiting === true &&
      this.interim === 0 &&
      (this.toUpstream === null || this.toUpstream.bytes === 0)
    )
  }

  /** Sends the request to an upstream that was reached. */
  ask(half: Half, now: number, isReused: boolean): void {
    this.reachedAt = now
    this.isReused = isReused
    const { sent } = half.flow
    half.forwardHead(this.judged!.head)
    // One that was kept may be reset in the very turn that takes it: then the first write is refused.
    this.#isHanded = half.sink.isBroken !== true
    if (this.#isHanded) this.#outbox?.open(half)
    else half.flow.sent = sent
  }

  /** It met a connection that had just ended: none of it was handed over, or nothing was done and doing it twice would do no harm. */
  get isWorthRetrying(): boolean {
    return (
      this.isReused &&
      !this.hasAnswered &&
      (!this.#isHanded || (this.judged?.framing.kind === 'none' && idempotent.has(this.request.method)))
    )
  }

  /** How its upstream left, in the words of the log. */
  lost(detail: string): string {
    return this.isReused ? `${detail}, on a connection that had served before` : detail
  }

  /** As before it was sent. */
  rewind(): void {
    this.reachedAt = this.askedAt = null
    this.isReused = false
  }

  /** The answer begins. */
  begin(answer: JudgedAnswer, half: Half, isLenient: boolean, to: AnswerTo): void {
    this.answer = answer
    this.answerBody = bodyOf(answer.framing, isLenient)
    this.#half = half
    this.#toClient = new BodyWriter(half, isChunkedFor(answer, to.version))
    this.#headText = answerHeadText(answer, to)
  }

  /** The body of the answer, for `answerBody.read`. */
  data(bytes: Buffer, start: number, end: number): void {
    // Bytes that are not gathered go at once, and so must their head.
    if (!this.#toClient!.isChunked) this.sendHead()
    this.#toClient!.data(bytes, start, end)
  }

  /** The part of the answer that came in one read was well-formed. */
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
