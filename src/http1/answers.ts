// The answers of an upstream: reads its bytes into interim answers and the final one, which goes on in a
// framing of ours.

import { http2Codes, makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { CHUNK_COST } from '../core/turns.ts'
import type { Half } from '../pair/half.ts'
import { judgeAnswer, readAnswerHead } from './answer-head.ts'
import type { JudgedAnswer } from './answer-head.ts'
import type { Exchange } from './exchange.ts'
import { Field } from './fields.ts'
import { encodeHead, endToEndHeaders, without } from './head.ts'
import type { AnswerHead } from './head.ts'
import { HeadCollector, MORE, TOO_BIG } from './head-collector.ts'
import { CONTENT_LENGTH } from './header-name.ts'
import { MAX_INTERIM, MAX_INTERIM_READ, TOO_MANY_INTERIM } from './interim.ts'
import type { HttpOptions } from './options.ts'

/** A field counts as 32 bytes more than its name and value (RFC 9113 section 6.5.2), and its line as 4. */
const PER_FIELD = 32 - 4
/** What a client gets beside the fields of the service: `:status`, a length, `via`. */
const OURS = 150

export interface AnswersOwner {
  /**
   * Whether the client's connection ends with this answer, whose head goes out next. It does not while a
   * client that has ended its half is owed further answers.
   */
  isLast(exchange: Exchange, answer: JudgedAnswer): boolean
  /** The head of a final answer is complete, and has so many bytes. */
  onAnswer?(exchange: Exchange, headBytes: number): void
}

export class Answers {
  readonly #half: Half
  readonly #options: HttpOptions
  readonly #owner: AnswersOwner
  readonly #head: HeadCollector
  /** Nothing came after the complete answer. */
  isClean = true

  constructor(half: Half, options: HttpOptions, owner: AnswersOwner) {
    this.#half = half
    this.#options = options
    this.#owner = owner
    this.#head = new HeadCollector(options.maxHeaderBytes, options.lenient !== 'off')
  }

  /** Another exchange begins: drops the unfinished head of an earlier one. */
  reset(): void {
    this.#head.reset()
  }

  /** Where in the answer to `exchange` its service has ended. */
  whereEnded({ answer }: Exchange): string {
    if (answer !== null) return 'inside its answer'
    return this.#head.isEmpty ? 'without an answer' : 'inside the head of its answer'
  }

  /**
   * Relays the bytes of the answer to `exchange`; returns why the pair ends, or null. A part of a head is no
   * activity, as with heads of clients: a byte at a time would be waited for without end.
   */
  read(exchange: Exchange, bytes: Buffer, length: number): Close | null {
    exchange.hasAnswered = true
    if (exchange.answer !== null) {
      this.#half.activity++
      return this.#readBody(exchange, bytes, 0, length)
    }
    // Corked, so that the head and the bytes that come with it go out together.
    this.#half.sink.cork()
    const close = this.#readHeads(exchange, bytes, length)
    this.#half.sink.uncork()
    return close
  }

  #readHeads(exchange: Exchange, bytes: Buffer, length: number): Close | null {
    for (let at = 0; ;) {
      at = this.#head.read(bytes, at, length)
      if (at === TOO_BIG)
        return makeClose('message_too_big', 'upstream', 'relay', 'answer head (http.maxHeader)')
      if (at === MORE)
        return this.#head.isOf('HTTP/1.')
          ? null
          : broken('malformed status line at byte 0: expected HTTP/1.1 or HTTP/1.0')
      const close = this.#onHead(exchange)
      if (close !== null) return close
      if (exchange.answer !== null) return this.#readBody(exchange, bytes, at, length)
    }
  }

  #onHead(exchange: Exchange): Close | null {
    const isLenient = this.#options.lenient !== 'off'
    const text = this.#head.take()
    const head = readAnswerHead(text, isLenient)
    if (typeof head === 'string') return broken(head)
    if (head.status < 200) {
      const problem = this.#onInterim(exchange, head)
      return problem === null ? null : broken(problem)
    }
    const answer = judgeAnswer(head, exchange.request.method, isLenient)
    if (typeof answer === 'string') return broken(answer)
    const tooBig = this.#tooBig(answer.headers, 'an answer head')
    if (tooBig !== null) return tooBig
    this.#half.activity++
    this.#owner.onAnswer?.(exchange, text.length)
    exchange.begin(answer, this.#half, isLenient, {
      version: exchange.request.version,
      isLast: this.#owner.isLast(exchange, answer),
      hasVia: this.#options.hasVia,
    })
    return null
  }

  /**
   * A client of HTTP/2 may end its whole connection for fields that are over its limit (Netty does), and all
   * that its other streams are at.
   */
  #tooBig(fields: readonly Field[], what: string): Close | null {
    const { maxHead } = this.#half.sink
    if (maxHead === undefined || fields.length === 0) return null
    const size = Field.lines(fields).length + PER_FIELD * fields.length + OURS
    if (size <= maxHead) return null
    const words = `${what} of ${size} bytes for a client that takes ${maxHead} (its SETTINGS_MAX_HEADER_LIST_SIZE)`
    // Callers of gRPC make RESOURCE_EXHAUSTED of it.
    const http2Code = http2Codes.ENHANCE_YOUR_CALM
    return { ...makeClose('message_too_big', 'upstream', 'relay', words), http2Code }
  }

  /** A 100 goes only to a client that waits for it; a client that cannot know interim answers gets none. */
  #onInterim(exchange: Exchange, { status, reason, headers }: AnswerHead): string | null {
    if (status === 101) return '101 that was not asked for'
    if (++exchange.interim > MAX_INTERIM_READ) return TOO_MANY_INTERIM
    // The service says that it works on the final one.
    if (exchange.interim <= MAX_INTERIM) this.#half.activity++
    const isWanted = status !== 100 || exchange.judged!.isWaiting
    if (!isWanted || exchange.request.version !== '1.1' || exchange.interim > MAX_INTERIM) return null
    const passed = endToEndHeaders(headers, { isLenient: this.#options.lenient !== 'off' })
    if (typeof passed === 'string' || this.#tooBig(passed, 'an interim head') !== null) return null
    // An interim answer has no body (RFC 9110 section 8.6), whatever it announces: a client that believed the
    // length would take the final answer for the body.
    const bytes = encodeHead(`HTTP/1.1 ${status} ${reason}`, without(passed, CONTENT_LENGTH))
    this.#half.forward(bytes, 0, bytes.length)
    return null
  }

  #readBody(exchange: Exchange, bytes: Buffer, start: number, end: number): Close | null {
    const { answerBody: body } = exchange
    const before = body.chunks
    const at = body.read(bytes, start, end, exchange)
    this.#half.spend((body.chunks - before) * CHUNK_COST)
    if (at < 0) return broken(body.problem)
    exchange.flush()
    this.isClean = at === end
    return this.#tooBig(body.trailers.list, 'trailers')
  }
}

function broken(rule: string): Close {
  return makeClose('protocol_error', 'upstream', 'relay', rule)
}
