// The plain HTTP answer of an upstream that declined an upgrade, relayed by the pair with its buffers and deadlines. Only
// its end must be found: the pair ends when the body is complete, and a body that was cut short stays visibly so.

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
import { ChunkedScanner } from '../http1/chunked.ts'
import { encodeHead, endToEndHeaders, lengthPattern, valueOf, valuesOf } from '../http1/head.ts'
import type { AnswerHead } from '../http1/head.ts'

/** How the end of a body is known: after that many bytes, by the chunked coding, or by FIN. */
export type Framing = { kind: 'length'; bytes: number } | { kind: 'chunked' } | { kind: 'end' }

/** The head for the client and the body's framing, or the rule that the answer breaks. */
export function plainAnswerHead(answer: AnswerHead): { head: Buffer; framing: Framing } | string {
  const framing = framingOf(answer)
  if (typeof framing === 'string') return framing
  // What Upgrade says belongs to a 426 (RFC 9110 section 15.5.22); the chunked coding goes on as it came.
  const headers = endToEndHeaders(answer.headers, answer.status === 426 ? ['transfer-encoding', 'upgrade'] : ['transfer-encoding'])
  if (typeof headers === 'string') return `Connection lists ${headers}`
  headers.push(['Connection', answer.status === 426 ? 'close, Upgrade' : 'close'])
  return { head: encodeHead(`HTTP/1.1 ${answer.status} ${answer.reason}`, headers), framing }
}

function framingOf(answer: AnswerHead): Framing | string {
  const lengths = valuesOf(answer.headers, 'content-length')
  // As it is written, not as a list: parsers differ on `,chunked`, and on what an empty one means beside Content-Length.
  const codings = valuesOf(answer.headers, 'transfer-encoding')
  if (codings.length > 0) {
    if (lengths.length > 0) return 'both Content-Length and Transfer-Encoding'
    if (answer.version !== '1.1' || codings.length !== 1 || codings[0]!.toLowerCase() !== 'chunked') return 'a transfer coding other than chunked'
    return answer.status === 204 || answer.status === 304 ? 'a transfer coding where there is no body' : { kind: 'chunked' }
  }
  if (lengths.length > 1 || (lengths.length === 1 && !lengthPattern.test(lengths[0]!))) return 'malformed Content-Length'
  if (answer.status === 204 || answer.status === 304) return { kind: 'length', bytes: 0 }
  return lengths.length === 1 ? { kind: 'length', bytes: Number(lengths[0]) } : { kind: 'end' }
}

/** How long an answer may stall in its body. */
export interface AnswerIdle {
  readonly answerIdleMs: number
}

/** An answer that is made of events owes nothing between two of them. */
const FOR_EVENTS: Live<AnswerIdle> = fixed({ answerIdleMs: Number.POSITIVE_INFINITY })

export function answerIdleOf({ headers }: AnswerHead, idle: Live<AnswerIdle>): Live<AnswerIdle> {
  return valueOf(headers, 'content-type')?.toLowerCase().startsWith('text/event-stream') === true ? FOR_EVENTS : idle
}

export class PlainAnswer implements Dialogue {
  readonly #connection: Connection
  readonly #chunked: ChunkedScanner | null
  readonly #isUntilEnd: boolean
  #remaining: number
  #isComplete = false
  readonly #idle: Live<AnswerIdle>
  #toClient: Half | null = null
  #received = -1
  /** When the upstream last sent something, or was not read, as the last sweep noticed. */
  #movedAt = 0

  constructor(connection: Connection, framing: Framing, idle: Live<AnswerIdle>) {
    this.#connection = connection
    this.#idle = idle
    this.#chunked = framing.kind === 'chunked' ? new ChunkedScanner() : null
    this.#isUntilEnd = framing.kind === 'end'
    this.#remaining = framing.kind === 'length' ? framing.bytes : Number.POSITIVE_INFINITY
  }

  /** To be called once the pair stands: a body of no bytes is complete at once. */
  attach(toClient: Half): void {
    this.#toClient = toClient
    if (this.#remaining === 0) this.#complete()
  }

  relay(half: Half, bytes: Buffer, length: number): void {
    // What a client sends after an upgrade that was declined belongs to no request: it goes nowhere.
    if (half.direction === 'to_upstream') return
    half.activity++
    const taken = this.#chunked === null ? Math.min(length, this.#remaining) : this.#chunked.scan(bytes, length)
    if (taken < 0) return this.#connection.owner?.close(makeClose('protocol_error', 'upstream', 'relay', 'malformed chunked body'))
    half.forward(bytes, 0, taken)
    this.#remaining -= this.#chunked === null ? taken : 0
    if (this.#remaining === 0 || this.#chunked?.isComplete) this.#complete()
  }

  #complete(): void {
    this.#isComplete = true
    this.#connection.owner?.close(makeClose('eof', 'upstream', 'relay', 'declined the upgrade'))
  }

  onSourceEnd(half: Half): Close | null {
    if (half.direction === 'to_upstream') return null
    this.#isComplete = this.#isUntilEnd
    if (this.#isUntilEnd) return makeClose('eof', 'upstream', 'relay', 'declined the upgrade')
    return makeClose('aborted', 'upstream', 'relay', 'FIN inside the body')
  }

  /** An end that can wait comes behind the answer, which ends the connection anyway. */
  postpone(): boolean {
    return !this.#isComplete
  }

  /** Where FIN alone is the end of the body, a FIN before that would pass a part of it off as the whole. */
  farewell(half: Half): Farewell {
    return half.direction === 'to_client' && this.#isUntilEnd && !this.#isComplete ? 'cut' : 'nothing'
  }

  isAnswered(): boolean {
    return false
  }

  isOwing(half: Half): boolean {
    return half.direction === 'to_client'
  }

  sweep(now: number): Close | null {
    const half = this.#toClient!
    if (half.flow.received !== this.#received || half.isPaused || half.isDelayed || half.sink.queued > 0) this.#movedAt = now
    this.#received = half.flow.received
    return now - this.#movedAt < this.#idle.current.answerIdleMs ? null : makeClose('idle_timeout', 'upstream', 'relay', 'no more of the answer (deadlines.upstreamIdle)')
  }

  describe(): Omit<Wait, 'state'> {
    return { waitsFor: 'more of the answer', next: earliest([{ key: 'deadlines.upstreamIdle', reason: 'idle_timeout', side: 'upstream', at: this.#movedAt + this.#idle.current.answerIdleMs }]) }
  }
}
