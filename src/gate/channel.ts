// Questions and answers between two threads: each side asks what the other knows to answer. What is asked of a thread that has ended is
// rejected, at once and from then on.

import type { MessagePort, Worker } from 'node:worker_threads'

/** The other side has ended. */
export class Gone extends Error {}

export type Line = MessagePort | Worker

type Answer = (name: string, question: unknown) => unknown

type Message =
  /** Without an id nobody waits for an answer. */
  | { kind: 'question'; id: number | null; name: string; question: unknown }
  | { kind: 'answer'; id: number; answer: unknown }
  | { kind: 'error'; id: number; error: unknown }

export class Channel {
  readonly #line: Worker
  readonly #answer: Answer
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  #lastId = 0
  #isClosed = false

  /** `answer`: what the other side asks; a promise is waited for, and what it throws rejects there. */
  constructor(line: Line, answer: Answer) {
    // Their types agree in less than what they do.
    this.#line = line as Worker
    this.#answer = answer
    this.#line.on('message', (message: Message) => this.#hear(message))
  }

  ask(name: string, question: unknown): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(new Gone(name))
    const id = ++this.#lastId
    const asked = Promise.withResolvers<unknown>()
    this.#asked.set(id, asked)
    this.#post({ kind: 'question', id, name, question })
    return asked.promise
  }

  tell(name: string, question: unknown): void {
    if (!this.#isClosed) this.#post({ kind: 'question', id: null, name, question })
  }

  /** The other side has ended. */
  close(): void {
    this.#isClosed = true
    for (const { reject } of this.#asked.values()) reject(new Gone('it has ended'))
    this.#asked.clear()
  }

  #post(message: Message): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#line.postMessage(message)
  }

  #hear(message: Message): void {
    if (message.kind === 'question') return void this.#reply(message.id, message.name, message.question)
    const asked = this.#asked.get(message.id)
    this.#asked.delete(message.id)
    if (message.kind === 'answer') asked?.resolve(message.answer)
    else asked?.reject(message.error)
  }

  async #reply(id: number | null, name: string, question: unknown): Promise<void> {
    if (id === null) return void this.#answer(name, question)
    try {
      this.#post({ kind: 'answer', id, answer: await this.#answer(name, question) })
    } catch (error) {
      this.#post({ kind: 'error', id, error: error instanceof Error ? error : String(error) })
    }
  }
}
