// A message as the engine writes it, HTTP/1.1, parsed again: its head, the data of its body, and its end. The
// engine has judged it, so a malformed one is a bug of ours.

import { invariant } from '../core/errors.ts'
import { bodyOf } from '../http1/body.ts'
import type { Body, BodySink, Framing } from '../http1/body.ts'
import type { Fields } from '../http1/fields.ts'
import { HeadCollector, MORE, TOO_BIG } from '../http1/head-collector.ts'

export interface MessageSink extends BodySink {
  /** The head in latin1, its empty line included. Returns the framing of its body. */
  onHead(text: string): Framing
  onEnd(trailers: Fields): void
}

/** The bound of a head, which was judged against `http.maxHeader` before our headers were added. */
const MAX_HEAD = 16 * 1024 * 1024

export class MessageReader {
  readonly #sink: MessageSink
  readonly #head = new HeadCollector(MAX_HEAD)
  #body: Body | null = null
  isComplete = false

  constructor(sink: MessageSink) {
    this.#sink = sink
  }

  read(bytes: Buffer, start: number, end: number): void {
    const at = this.#body === null ? this.#readHead(bytes, start, end) : start
    if (this.#body === null || this.isComplete) return
    const stop = this.#body.read(bytes, at, end, this.#sink)
    invariant(stop >= 0, `a body of ours: ${this.#body.problem}`)
    this.#endIfComplete(this.#body)
  }

  #endIfComplete(body: Body): void {
    if (!body.isComplete) return
    this.isComplete = true
    this.#sink.onEnd(body.trailers)
  }

  #readHead(bytes: Buffer, start: number, end: number): number {
    const at = this.#head.read(bytes, start, end)
    invariant(at !== TOO_BIG, 'a head of ours without end')
    if (at === MORE) return end
    this.readHead(this.#head.take())
    return at
  }

  /** A complete head, as text. */
  readHead(text: string): void {
    this.#body = bodyOf(this.#sink.onHead(text), false, true)
    this.#endIfComplete(this.#body)
  }
}
