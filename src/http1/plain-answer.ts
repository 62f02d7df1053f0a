// The plain HTTP answer of an upstream that declined an upgrade, relayed by the pair with its buffers and
// deadlines. This dialogue finds its end: the pair ends when the body is complete, and a truncated body stays
// visibly so.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Farewell } from '../core/manner.ts'
import type { Dialogue } from '../pair/dialogue.ts'
import type { Half } from '../pair/half.ts'
import { earliest } from '../core/wait.ts'
import { fixed } from '../core/live.ts'
import type { Live } from '../core/live.ts'
import type { Wait } from '../core/wait.ts'
import { isChunkedFor } from './answer-head.ts'
import type { JudgedAnswer } from './answer-head.ts'
import { bodyOf } from './body.ts'
import type { Body } from './body.ts'
import { BodyWriter } from './body-writer.ts'
import { forwardTrailers } from './forwarding.ts'

/** How long an answer may stall in its body. */
export interface AnswerIdle {
  readonly answerIdleMs: number
}

/** An answer made of events owes nothing between two of them. */
const FOR_EVENTS: Live<AnswerIdle> = fixed({ answerIdleMs: Number.POSITIVE_INFINITY })

export interface PlainAnswerOptions {
  /** The body may be written loosely (`http.lenient`). */
  isLenient: boolean
  idle: Live<AnswerIdle>
}

export class PlainAnswer implements Dialogue {
  readonly #connection: Connection
  readonly #answer: JudgedAnswer
  readonly #body: Body
  readonly #idle: Live<AnswerIdle>
  #writer: BodyWriter | null = null
  #isComplete = false
  #toClient: Half | null = null
  #received = -1
  /** When the upstream last sent something, or was not read, as of the last sweep. */
  #movedAt = 0

  constructor(connection: Connection, answer: JudgedAnswer, { isLenient, idle }: PlainAnswerOptions) {
    this.#connection = connection
    this.#answer = answer
    this.#body = bodyOf(answer.framing, isLenient)
    this.#idle = answer.isEventStream ? FOR_EVENTS : idle
  }

  /** Called once the pair is made: an empty body is complete at once. */
  attach(toClient: Half): void {
    this.#toClient = toClient
    // Only an HTTP/1.1 request asks for an upgrade.
    this.#writer = new BodyWriter(toClient, isChunkedFor(this.#answer, '1.1'))
    if (this.#body.isComplete) this.#complete()
  }

  relay(half: Half, bytes: Buffer, length: number): void {
    // After a declined upgrade, a client's bytes belong to no request: they go nowhere.
    if (half.direction === 'to_upstream') return
    half.activity++
    if (this.#body.read(bytes, 0, length, this.#writer!) < 0)
      return this.#connection.owner?.close(
        makeClose('protocol_error', 'upstream', 'relay', this.#body.problem),
      )
    this.#writer!.flush()
    if (this.#body.isComplete) this.#complete()
  }

  #complete(): void {
    this.#finish()
    this.#connection.owner?.close(this.#declined())
  }

  #finish(): void {
    this.#isComplete = true
    this.#writer!.end(forwardTrailers(this.#body.trailers))
  }

  #declined(): Close {
    return {
      ...makeClose('eof', 'upstream', 'relay', 'declined the upgrade'),
      httpStatus: this.#answer.status,
    }
  }

  onSourceEnd(half: Half): Close | null {
    if (half.direction === 'to_upstream') return null
    if (this.#answer.framing.kind === 'end') {
      this.#finish()
      return this.#declined()
    }
    return makeClose('aborted', 'upstream', 'relay', 'FIN inside the body')
  }

  /** An end that can wait comes after the answer, which ends the connection anyway. */
  postpone(): boolean {
    return !this.#isComplete
  }

  /** The client finds the end of the body without a goodbye: a FIN before it shows the truncation. */
  farewell(): Farewell {
    return 'nothing'
  }

  isAnswered(): boolean {
    return false
  }

  isOwing(half: Half): boolean {
    return half.direction === 'to_client'
  }

  sweep(now: number): Close | null {
    const half = this.#toClient!
    if (half.flow.received !== this.#received || half.isPaused || half.isDelayed || half.sink.queued > 0)
      this.#movedAt = now
    this.#received = half.flow.received
    return now - this.#movedAt < this.#idle.current.answerIdleMs
      ? null
      : makeClose('idle_timeout', 'upstream', 'relay', 'no more of the answer (deadlines.upstreamIdle)')
  }

  describe(): Omit<Wait, 'state'> {
    return {
      waitsFor: 'more of the answer',
      next: earliest([
        {
          key: 'deadlines.upstreamIdle',
          reason: 'idle_timeout',
          side: 'upstream',
          at: this.#movedAt + this.#idle.current.answerIdleMs,
        },
      ]),
    }
  }
}
