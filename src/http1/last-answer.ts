// The last answer on a client's connection: whether the connection ends with the answer in flight, and why.
//
// A login that binds the connection (NTLM, Negotiate) takes several requests on it: an end of ours between a challenge
// and the client's response to it would fail each login of a drain that still accepts clients. So such an end waits
// for the next answer, or until the client has kept the challenge for `deadlines.handshake`.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { isDelimitedFor } from './answer-head.ts'
import type { JudgedAnswer } from './answer-head.ts'
import type { Exchange } from './exchange.ts'
import type { HttpContext, HttpOptions } from './options.ts'

/** Requests on one connection, as in nginx: long-lived connections move to new pods now and then. */
const MAX_REQUESTS = 1000

export class LastAnswer {
  readonly #options: Pick<HttpOptions, 'deadlines'>
  readonly #context: Pick<HttpContext, 'clock' | 'leaving'>
  #requests = 0
  /** Since when the client has a challenge to respond to. */
  #challengedAt = Number.NEGATIVE_INFINITY
  /** Ends the connection after the answer in flight. */
  close: Close | null = null

  constructor(options: Pick<HttpOptions, 'deadlines'>, context: Pick<HttpContext, 'clock' | 'leaving'>) {
    this.#options = options
    this.#context = context
  }

  onRequest(): void {
    this.#challengedAt = Number.NEGATIVE_INFINITY
    if (++this.#requests >= MAX_REQUESTS)
      this.close ??= makeClose('eof', 'sidegate', 'relay', `${MAX_REQUESTS} requests`)
  }

  /** The head of that answer goes out next. */
  onAnswer({ judged, request, isRequestComplete }: Exchange, answer: JudgedAnswer): void {
    if (!judged!.isKept || !isRequestComplete || !isDelimitedFor(answer, request.version))
      this.close ??= makeClose('eof', 'client', 'relay')
    const leaving = this.#context.leaving()
    if (leaving !== null) this.close ??= makeClose(leaving, 'sidegate', 'relay')
    if (judged!.isPersonal && answer.isChallenge) this.#challengedAt = this.#context.clock.now()
  }

  /** The client is in the middle of a login that holds for this connection alone. */
  get isLoggingIn(): boolean {
    const sinceMs = this.#context.clock.now() - this.#challengedAt
    return sinceMs < this.#options.deadlines.current.handshakeMs
  }

  /** Why the connection ends with its present answer, or with none; null where it goes on. */
  get due(): Close | null {
    return this.close?.side === 'sidegate' && this.isLoggingIn ? null : this.close
  }
}
