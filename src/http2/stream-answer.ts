// The answer of a stream, as HTTP/1.1: its head, its body in a framing of ours, its end. A cut answer never
// looks complete: the end is written only after END_STREAM.
//
//     HEADERS 1xx --> interim      HEADERS --> head      DATA --> body      HEADERS (trailers), END_STREAM --> its end

import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { answerText, interimText } from './answer-text.ts'
import type { AnswerText } from './answer-text.ts'
import { inChunks } from './chunks.ts'
import { trailersText } from './fields.ts'
import { Gathering } from './gathering.ts'
import type { Turning } from './gathering.ts'
import type { RawFields } from './fields.ts'
import { watchEnd } from './watch-end.ts'

export interface AnswerTaker extends Turning {
  readonly isPaused: boolean
  /** `bytes` are valid until the call returns. */
  onAnswerBytes(bytes: Buffer): void
  /** The service has begun to answer. */
  onAnswerBegun(): void
}

const END_STREAM = 1
const NONE: RawFields = []

export class StreamAnswer {
  readonly #stream: ClientHttp2Stream
  readonly #method: string
  readonly #taker: AnswerTaker
  /** The body; null before the head. */
  #gathering: Gathering | null = null
  #body: AnswerText['body'] | null = null
  #trailers: RawFields = NONE
  #hasEnd = false
  /** END_STREAM came, and the whole answer was passed on. */
  isComplete = false
  /** A body with a declared length: its bytes, and those that remain. */
  #length = 0
  #left = 0

  constructor(stream: ClientHttp2Stream, method: string, taker: AnswerTaker) {
    this.#stream = stream
    this.#method = method
    this.#taker = taker
    watchEnd(stream, () => (this.#hasEnd = true))
    stream.on('headers', (headers, _flags, fields) => this.#onInterim(headers, fields))
    stream.on('response', (headers, flags, fields) => this.#onHead(headers, flags, fields))
    stream.on('trailers', (_headers, _flags, fields) => (this.#trailers = fields))
  }

  /** The head came; from now on Node may be asked to read. */
  get hasHead(): boolean {
    return this.#body !== null
  }

  /** Bytes of its body that came and are not passed on yet. */
  get unread(): number {
    return this.#stream.readableLength + (this.#gathering?.length ?? 0)
  }

  /** The answer is complete, except perhaps for END_STREAM. */
  get isWhole(): boolean {
    return this.isComplete || this.#body === 'none' || (this.#body === 'length' && this.#left === 0)
  }

  /** How far it came, for the log. */
  get progress(): string {
    if (this.#body === null) return 'before a head'
    if (this.#body === 'length')
      return `behind ${this.#length - this.#left} of ${this.#length} bytes (Content-Length)`
    return this.#body === 'none' ? 'behind its head' : 'amid its body or trailers'
  }

  /** The stream is closed: bytes that Node still has of it go on at once, paused or not; no event follows. */
  salvage(): void {
    for (let chunk = this.#rest(); chunk !== null; chunk = this.#rest()) this.#gathering?.add(chunk)
    this.#onEnd()
  }

  #rest(): Buffer | null {
    return this.#stream.read() as Buffer | null
  }

  #onInterim(headers: IncomingHttpHeaders, fields: RawFields): void {
    const status = Number(headers[':status'])
    this.#taker.onAnswerBegun()
    this.#give(interimText(status, fields))
  }

  #onHead(headers: IncomingHttpHeaders, flags: number, fields: RawFields): void {
    this.#taker.onAnswerBegun()
    const isEnd = (flags & END_STREAM) !== 0
    const { head, body } = answerText(Number(headers[':status']), fields, { isEnd, method: this.#method })
    this.#body = body
    this.#left = this.#length = Number(headers['content-length'])
    this.#give(head)
    this.#gathering = new Gathering(this.#stream, this.#taker, (bytes) => this.#onData(bytes))
    this.#stream.on('end', () => this.#onEnd())
    if (this.#taker.isPaused) this.#stream.pause()
    else this.#stream.resume()
  }

  #onData(bytes: Buffer): void {
    this.#left -= bytes.length
    if (this.#body === 'length') this.#taker.onAnswerBytes(bytes)
    else if (this.#body === 'chunked') inChunks(bytes, (chunk) => this.#taker.onAnswerBytes(chunk))
  }

  #onEnd(): void {
    this.#gathering?.flush()
    if (!this.#hasEnd || this.isComplete) return
    this.isComplete = true
    if (this.#body === 'chunked') this.#give(trailersText(this.#trailers))
  }

  #give(text: string): void {
    this.#taker.onAnswerBytes(Buffer.from(text, 'latin1'))
  }
}
