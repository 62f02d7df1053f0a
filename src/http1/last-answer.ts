// The last answer on a client's connection: whether the connection ends with the answer in flight, and why.
//
// A login that binds the connection (NTLM, Negotiate) takes several requests on it: an end of ours between a
// challenge and the client's response to it would fail each login of a drain that still accepts clients. So
// such an end waits for the next answer, or until the client has kept the challenge for
// `deadlines.handshake`.

import { isFarewell, makeClose } from '../core/close.ts'
import type { Close, Reason } from '../core/close.ts'
import { isDelimitedFor } from './answer-head.ts'
import type { JudgedAnswer } from './answer-head.ts'
import type { Exchange } from './exchange.ts'
import type { HttpContext, HttpOptions } from './options.ts'

/**
 * The most that is read of a request after its answer. Reading and dropping costs no more than relaying, and
 * a client that writes all of its body first would else wait for ever; an endless one has to be told.
 */
const MAX_UNWANTED = 1024 * 1024 * 1024
/** A limit forbids to read, or an operator does not wait. */
const unread: ReadonlySet<Reason> = new Set<Reason>(['rate_limited', 'killed', 'drain_timeout'])
/** Requests on one connection, as in nginx: long-lived connections move to new pods now and then. */
const MAX_REQUESTS = 1000

export class LastAnswer {
  readonly #options: Pick<HttpOptions, 'deadlines'>
  readonly #context: Pick<HttpContext, 'clock' | 'leaving'>
  #requests = 0
  #exchange: Exchange | null = null
  /** Since when the client has a challenge to respond to. */
  #challengedAt = Number.NEGATIVE_INFINITY
  /** Ends the connection after the answer in flight. */
  close: Close | null = null

  constructor(options: Pick<HttpOptions, 'deadlines'>, context: Pick<HttpContext, 'clock' | 'leaving'>) {
    this.#options = options
    this.#context = context
  }

  onRequest(exchange: Exchange): void {
    this.#exchange = exchange
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

  /**
   * The answer is complete; returns why the connection ends with it. An idle connection keeps no heads of its
   * past.
   */
  finish({ isRequestComplete }: Exchange): Close | null {
    if (isRequestComplete) this.#exchange = null
    return this.due
  }

  /** The bytes that may still come of the last request, which needs them no more. */
  unwanted({ reason }: Close): number | null {
    if (this.#exchange === null || unread.has(reason)) return null
    const { isRequestComplete, requestBody, judged, isBodyAnnounced } = this.#exchange
    // Of a request that was refused by its head nobody has read how long it is.
    if (judged === null) return isBodyAnnounced ? MAX_UNWANTED : null
    if (isRequestComplete) return null
    return judged.framing.kind === 'length' ? Math.min(requestBody.remaining, MAX_UNWANTED) : MAX_UNWANTED
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

  /**
   * The head of the last answer asks the client to go: it may come by another connection as soon as it has
   * read that.
   */
  get asksToGo(): boolean {
    return this.due !== null && isFarewell(this.due)
  }
}
