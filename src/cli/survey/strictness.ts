// How a service writes the heads of its answers, judged as the gate judges them.

import { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { readAnswerHead } from '../../http1/answer-head.ts'
import type { Finding } from './findings.ts'

const MAX_HEAD = 64 * 1024

export const headOf = (text: string): string | null => /^[\s\S]*?\r?\n\r?\n/.exec(text)?.[0] ?? null

/** Whether `head` is written as the standard requires, and what the gate makes of one that is not. */
export function strictness(question: string, head: string): Finding {
  const problem = readAnswerHead(head, false)
  if (typeof problem !== 'string') return { question, answer: 'yes, as far as one answer shows' }
  const broken = readAnswerHead(head, true)
  if (typeof broken === 'string')
    return { question, answer: `no: ${broken}; Sidegate carries no such answer, its client gets a 502` }
  const what = /[^\r]\n/.test(head) ? 'lines end with LF alone' : problem
  const answer = `no: ${what}; Sidegate carries that with http.lenient: upstream, its default`
  return { question, answer, key: 'http.lenient', value: 'upstream' }
}

/** A connection whose first head reaches its reader with CRLF at the end of each line. */
export class StrictHead extends Duplex {
  readonly #socket: Socket
  /** As the service wrote it; null before its end has come. */
  head: string | null = null
  /** What came before that. */
  said = ''

  constructor(socket: Socket) {
    super({ allowHalfOpen: false })
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('end', () => this.push(null))
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => this.destroy())
  }

  #onData(bytes: Buffer): void {
    if (this.head !== null || this.said.length > MAX_HEAD) return void this.push(bytes)
    this.said += bytes.toString('latin1')
    this.head = headOf(this.said)
    if (this.head === null) return
    this.push(this.head.replaceAll(/\r?\n/g, '\r\n') + this.said.slice(this.head.length), 'latin1')
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, done)
  }

  override _final(done: () => void): void {
    this.#socket.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}
