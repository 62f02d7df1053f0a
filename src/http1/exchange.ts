// One request and its answer: how far both have come.

import { KeptBytes } from '../endpoint/kept-bytes.ts'
import type { Half } from '../pair/half.ts'
import { answerHeadText, isChunkedFor } from './answer-head.ts'
import type { AnswerTo, JudgedAnswer } from './answer-head.ts'
import { bodyOf } from './body.ts'
import type { Body, BodySink } from './body.ts'
import { BodyWriter } from './body-writer.ts'
import type { BodyTarget } from './body-writer.ts'
import type { RequestHead } from './head.ts'
import type { JudgedRequest } from './request-head.ts'

/** What may be sent twice. */
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
  readonly startedAt: number
  /** Null for a request that is refused. */
  judged: JudgedRequest | null = null
  /** When the upstream was there, and when it had the whole request; null before. */
  reachedAt: number | null = null
  askedAt: number | null = null
  /** The connection to the upstream had served before. */
  isReused = false
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
    return this.judged?.isWaiting === true && this.interim === 0 && (this.toUpstream === null || this.toUpstream.bytes === 0)
  }

  /** Sends the request to an upstream that was reached. */
  ask(half: Half, now: number, isReused: boolean): void {
    this.reachedAt = now
    this.isReused = isReused
    forwardText(half, this.judged!.head)
    this.#outbox?.open(half)
  }

  /** It met a connection that had just ended: nothing was done, and doing it twice would do no harm. */
  get isWorthRetrying(): boolean {
    return this.isReused && !this.hasAnswered && this.judged?.framing.kind === 'none' && idempotent.has(this.request.method)
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
    // What is not gathered first goes at once, and so must its head.
    if (!this.#toClient!.isChunked) this.sendHead()
    this.#toClient!.data(bytes, start, end)
  }

  /** What came of the answer in one read was well-formed. */
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
    forwardText(this.#half!, this.#headText)
    this.#headText = ''
  }
}

/** Heads are written here on their way: one for the process. */
let scratch: Buffer = Buffer.allocUnsafeSlow(16_384)

function forwardText(half: Half, text: string): void {
  // In latin1 a character is a byte. Headers of ours may make a head longer than its bound.
  if (text.length > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * text.length)
  half.forward(scratch, 0, scratch.write(text, 0, 'latin1'))
}
