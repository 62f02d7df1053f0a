// The answers of an upstream: reads its bytes into interim answers and the final one, which goes on in a
// framing of ours.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { CHUNK_COST } from '../core/turns.ts'
import type { Half } from '../pair/half.ts'
import { judgeAnswer, readAnswerHead } from './answer-head.ts'
import type { JudgedAnswer } from './answer-head.ts'
import type { Exchange } from './exchange.ts'
import { encodeHead, endToEndHeaders, without } from './head.ts'
import type { AnswerHead } from './head.ts'
import { HeadCollector, MORE, TOO_BIG } from './head-collector.ts'
import { CONTENT_LENGTH } from './header-name.ts'
import type { HttpOptions } from './options.ts'

/** How many interim answers go on to the client, and how many an upstream may send before a final one. */
const MAX_INTERIM = 16
const MAX_INTERIM_READ = 1000

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

  /** Relays the bytes of the answer to `exchange`; returns why the pair ends, or null. */
  read(exchange: Exchange, bytes: Buffer, length: number): Close | null {
    exchange.hasAnswered = true
    if (exchange.answer !== null) return this.#readBody(exchange, bytes, 0, length)
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
      const problem = this.#onHead(exchange)
      if (problem !== null) return broken(problem)
      if (exchange.answer !== null) return this.#readBody(exchange, bytes, at, length)
    }
  }

  /** The rule that the head breaks, or null. */
  #onHead(exchange: Exchange): string | null {
    const isLenient = this.#options.lenient !== 'off'
    const text = this.#head.take()
    const head = readAnswerHead(text, isLenient)
    if (typeof head === 'string') return head
    if (head.status < 200) return this.#onInterim(exchange, head)
    const answer = judgeAnswer(head, exchange.request.method, isLenient)
    if (typeof answer === 'string') return answer
    this.#owner.onAnswer?.(exchange, text.length)
    exchange.begin(answer, this.#half, isLenient, {
      version: exchange.request.version,
      isLast: this.#owner.isLast(exchange, answer),
      hasVia: this.#options.hasVia,
    })
    return null
  }

  /** A 100 goes only to a client that waits for it; a client that cannot know interim answers gets none. */
  #onInterim(exchange: Exchange, { status, reason, headers }: AnswerHead): string | null {
    if (status === 101) return '101 that was not asked for'
    if (++exchange.interim > MAX_INTERIM_READ) return `more than ${MAX_INTERIM_READ} interim answers`
    const isWanted = status !== 100 || exchange.judged!.isWaiting
    if (!isWanted || exchange.request.version !== '1.1' || exchange.interim > MAX_INTERIM) return null
    const passed = endToEndHeaders(headers)
    if (typeof passed === 'string') return null
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
    return null
  }
}

function broken(rule: string): Close {
  return makeClose('protocol_error', 'upstream', 'relay', rule)
}
