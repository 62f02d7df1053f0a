// The answer to a stream, as the engine writes it: HTTP/1.1 in bytes, parsed again. The engine has judged it,
// so a malformed one is a bug of ours.

import { invariant } from '../core/errors.ts'
import { bodyOf } from '../http1/body.ts'
import type { Body, BodySink, Framing } from '../http1/body.ts'
import type { Field, Fields } from '../http1/fields.ts'
import { parseAnswerHead } from '../http1/head.ts'
import type { AnswerHead } from '../http1/head.ts'
import { HeadCollector, MORE, TOO_BIG } from '../http1/head-collector.ts'
import { framingOf } from './fields.ts'

export interface AnswerSink extends BodySink {
  onInterim(head: AnswerHead): void
  /** 101: bytes of a tunnel follow. */
  onAccepted(head: AnswerHead): void
  onHead(head: AnswerHead, framing: Framing): void
  onEnd(trailers: Fields): void
}

/** The bound of a head, which was judged against `http.maxHeader` before our headers were added. */
const MAX_HEAD = 16 * 1024 * 1024
/** Headers of one connection; the engine writes no others of that kind. */
const ofConnection: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
])
/** sec-websocket-accept proves that a server speaks WebSocket; in HTTP/2 a 200 does (RFC 8441 section 5). */
const ofUpgrade: ReadonlySet<string> = new Set([...ofConnection, 'sec-websocket-accept'])

export class AnswerReader {
  readonly #sink: AnswerSink
  readonly #method: string
  /** For heads that come as bytes: interim ones, and answers of ours. */
  #head: HeadCollector | null = null
  #body: Body | null = null
  #isTunnel = false
  isComplete = false

  constructor(method: string, sink: AnswerSink) {
    this.#method = method
    this.#sink = sink
  }

  read(bytes: Buffer, start: number, end: number): void {
    let at = start
    while (at < end && this.#body === null && !this.#isTunnel) at = this.#readHead(bytes, at, end)
    if (this.#isTunnel) {
      if (at < end) this.#sink.data(bytes, at, end)
    } else if (this.#body !== null && !this.isComplete) {
      const stop = this.#body.read(bytes, at, end, this.#sink)
      invariant(stop >= 0, `a body of ours: ${this.#body.problem}`)
      this.#endIfComplete(this.#body)
    }
  }

  #endIfComplete(body: Body): void {
    if (!body.isComplete) return
    this.isComplete = true
    this.#sink.onEnd(body.trailers)
  }

  #readHead(bytes: Buffer, start: number, end: number): number {
    const head = (this.#head ??= new HeadCollector(MAX_HEAD))
    const at = head.read(bytes, start, end)
    invariant(at !== TOO_BIG, 'a head of ours without end')
    if (at === MORE) return end
    this.readHead(head.take())
    return at
  }

  /** A complete head, as text. */
  readHead(text: string): void {
    const head = parseAnswerHead(text)
    invariant(typeof head !== 'string', 'an answer head of ours')
    if (head.status === 101) {
      this.#isTunnel = true
      this.#sink.onAccepted(head)
    } else if (head.status < 200) {
      this.#sink.onInterim(head)
    } else {
      const framing = answerFraming(head, this.#method)
      this.#body = bodyOf(framing, false, true)
      this.#sink.onHead(head, framing)
      this.#endIfComplete(this.#body)
    }
  }
}

function answerFraming({ status, headers }: AnswerHead, method: string): Framing {
  if (method === 'HEAD' || status === 204 || status === 304) return { kind: 'none' }
  return framingOf(headers)
}

/** Name, value, name, value, as Node takes them. */
export function answerFields({ status, headers }: AnswerHead): string[] {
  const isTunnel = status === 101
  return [
    ':status',
    String(isTunnel ? 200 : status),
    ...flat(headers.list, isTunnel ? ofUpgrade : ofConnection),
  ]
}

function flat(fields: readonly Field[], but: ReadonlySet<string>): string[] {
  const all: string[] = []
  for (const { name, value } of fields) if (!but.has(name.key)) all.push(name.key, value)
  return all
}
