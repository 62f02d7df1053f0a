// A channel between two threads: each side answers the questions of the other. Questions to a thread that has
// ended are rejected, at once and from then on.

import type { MessagePort, Worker } from 'node:worker_threads'
import { standing } from './messages.ts'

/** The other side has ended, or leaves such questions unanswered. */
export class Gone extends Error {}

export type Line = MessagePort | Worker

type Answer = (name: string, question: unknown) => unknown

type Message =
  /** A question without an id expects no answer. */
  | { kind: 'question'; id: number | null; name: string; question: unknown }
  | { kind: 'answer'; id: number; answer: unknown }
  /** The clone of an error has no `code`. */
  | { kind: 'error'; id: number; error: unknown; code: string | undefined }

export class Channel {
  readonly #line: Worker
  readonly #answer: Answer
  readonly #asked = new Map<number, { name: string; answer: PromiseWithResolvers<unknown> }>()
  #unanswered: ReadonlySet<string> | null = null
  #lastId = 0
  #isClosed = false

  /**
   * `answer` handles the other side's questions; the channel waits for a promise, and an error that it throws
   * rejects there.
   */
  constructor(line: Line, answer: Answer) {
    // The types of the two classes agree less than their behaviour.
    this.#line = line as Worker
    this.#answer = answer
    this.#line.on('message', (message: Message) => this.#hear(message))
  }

  ask(name: string, question: unknown): Promise<unknown> {
    const isUnanswered = this.#unanswered?.has(name) === true
    if (isUnanswered && standing.has(name)) this.tell(name, question)
    if (this.#isClosed || isUnanswered) return Promise.reject(new Gone(name))
    const id = ++this.#lastId
    const answer = Promise.withResolvers<unknown>()
    this.#asked.set(id, { name, answer })
    this.#post({ kind: 'question', id, name, question })
    return answer.promise
  }

  /**
   * Rejects questions of these names, waiting ones and later ones, until the next call; null: rejects none.
   */
  leaveUnanswered(names: ReadonlySet<string> | null): void {
    this.#unanswered = names
    if (names === null) return
    for (const [id, { name, answer }] of this.#asked) {
      if (!names.has(name)) continue
      this.#asked.delete(id)
      answer.reject(new Gone(name))
    }
  }

  tell(name: string, question: unknown): void {
    if (!this.#isClosed) this.#post({ kind: 'question', id: null, name, question })
  }

  /** The other side has ended. */
  close(): void {
    this.#isClosed = true
    for (const { answer } of this.#asked.values()) answer.reject(new Gone('it has ended'))
    this.#asked.clear()
  }

  #post(message: Message): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#line.postMessage(message)
  }

  #hear(message: Message): void {
    if (message.kind === 'question') return void this.#reply(message.id, message.name, message.question)
    const answer = this.#asked.get(message.id)?.answer
    this.#asked.delete(message.id)
    if (message.kind === 'answer') answer?.resolve(message.answer)
    else answer?.reject(restored(message))
  }

  async #reply(id: number | null, name: string, question: unknown): Promise<void> {
    if (id === null) return void this.#answer(name, question)
    try {
      this.#post({ kind: 'answer', id, answer: await this.#answer(name, question) })
    } catch (error) {
      if (!(error instanceof Error))
        return this.#post({ kind: 'error', id, error: String(error), code: undefined })
      const { code } = error as NodeJS.ErrnoException
      this.#post({ kind: 'error', id, error, code })
    }
  }
}

function restored({ error, code }: { error: unknown; code: string | undefined }): unknown {
  return error instanceof Error && code !== undefined ? Object.assign(error, { code }) : error
}
