// What a connection of plain HTTP waits for: how it is judged, and how it is told. In the order of an exchange:
//
// | the client has sent no head                 | http.keepAlive         | a client that thinks: nothing is begun            |
// | a head has begun                            | deadlines.handshake    | -: a byte at a time does not extend it            |
// | a place, a name, a dial                     | its own (search.ts)    |                                                   |
// | more of the request                         | deadlines.request      | an upload that moves; one that we do not read     |
// | the answer                                  | deadlines.response     | a long poll: `idle` bounds it only where this is off |
// | more of the answer                          | deadlines.idle, .upstreamIdle | a client that still takes, a limit that delays, events |

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { earliest } from '../core/wait.ts'
import type { Live } from '../core/live.ts'
import type { NextDeadline, Wait } from '../core/wait.ts'
import type { Moved } from '../pair/dialogue.ts'
import type { Half } from '../pair/half.ts'
import type { Pair } from '../pair/pair.ts'
import type { Reach } from '../upstream/reach.ts'
import type { Exchange } from './exchange.ts'

/** Milliseconds; Infinity is off. Read whenever something is judged. */
export interface HttpDeadlines {
  readonly requestMs: number
  readonly responseMs: number
  readonly idleMs: number
  readonly clientIdleMs: number
  readonly upstreamIdleMs: number
  /** As `upstreamIdleMs`, inside the body of an answer that is no event stream. */
  readonly answerIdleMs: number
  readonly handshakeMs: number
}

/** What is judged by. */
export interface WaitOptions {
  readonly deadlines: Live<HttpDeadlines>
  /** Milliseconds for which a client may keep its connection without a further request. */
  readonly keepAliveMs: number
}

/** Of one connection. */
export class Waits {
  readonly #options: WaitOptions
  /** When the last answer was done; when the head of the next request began, null before. */
  since: number
  headSince: number | null = null
  /** As the last sweep saw it. */
  #moved: Directions | null = null
  /** Of which exchange each side was seen to owe something: another one is another debt. */
  #owedByClient: Exchange | null = null
  #owedByUpstream: Exchange | null = null

  constructor(options: WaitOptions, now: number) {
    this.#options = options
    this.since = now
  }

  /** Null where nothing is due. */
  judge(exchange: Exchange | null, { toUpstream, toClient }: Pick<Pair, 'toUpstream' | 'toClient'>, moved: Directions, now: number, scale: number): Close | null {
    this.#moved = moved
    if (exchange === null) return this.#judgeRest(now, scale)
    if (isAsking(exchange) && exchange.reachedAt !== null && toUpstream.sink.queued === 0) exchange.askedAt ??= now
    // Who still takes bytes is not idle.
    if (exchange.answer !== null && toClient.sink.queued > 0) return null
    return judgeExchange(exchange, moved, this.#options.deadlines.current, now, scale)
  }

  #judgeRest(now: number, scale: number): Close | null {
    const { deadlines, keepAliveMs } = this.#options
    if (this.headSince !== null) return now - this.headSince < deadlines.current.handshakeMs ? null : makeClose('handshake_timeout', 'client', 'handshake', 'deadlines.handshake')
    return now - this.since < keepAliveMs * scale ? null : makeClose('eof', 'sidegate', 'relay', 'no further request (http.keepAlive)')
  }

  /** The source of `half` has begun something that it owes the rest of. */
  isOwing(exchange: Exchange | null, half: Half): boolean {
    const isUpstream = half.direction === 'to_client'
    const isOther = (isUpstream ? this.#owedByUpstream : this.#owedByClient) !== exchange
    if (isUpstream) this.#owedByUpstream = exchange
    else this.#owedByClient = exchange
    return exchange !== null && !isOther && owes(exchange, half)
  }

  describe(exchange: Exchange | null, reach: Pick<Reach, 'describe'>): Omit<Wait, 'state'> {
    const { deadlines, keepAliveMs } = this.#options
    if (exchange !== null) return describeExchange(exchange, reach, this.#moved, deadlines.current)
    if (this.headSince === null) return { waitsFor: 'the next request', next: earliest([{ key: 'http.keepAlive', reason: 'eof', side: 'sidegate', at: this.since + keepAliveMs }]) }
    return { waitsFor: 'the rest of the head of a request', next: earliest([{ key: 'deadlines.handshake', reason: 'handshake_timeout', side: 'client', at: this.headSince + deadlines.current.handshakeMs }]) }
  }
}

interface Directions {
  toUpstream: Moved
  toClient: Moved
}

/** Null where nothing is due, or where who reaches for the upstream judges. */
function judgeExchange(exchange: Exchange, moved: Directions, deadlines: HttpDeadlines, now: number, scale: number): Close | null {
  // The upstream has not taken all of the request; `write` says how long it may take for that.
  if (exchange.answer === null && isAsking(exchange) && exchange.askedAt === null) return null
  for (const { at, close } of duesOf(exchange, moved, deadlines, scale)) if (now >= at) return close
  return null
}

interface Due {
  key: string
  at: number
  close: Close
}

function duesOf(exchange: Exchange, moved: Directions, deadlines: HttpDeadlines, scale: number): Due[] {
  if (exchange.reachedAt === null) return []
  if (exchange.answer !== null) return answering(exchange, moved, deadlines, scale)
  if (isAsking(exchange)) return asking(Math.max(exchange.askedAt ?? exchange.reachedAt, moved.toClient.dataAt), deadlines, scale)
  return sending(Math.max(exchange.reachedAt, moved.toUpstream.dataAt), deadlines, scale)
}

function isAsking(exchange: Exchange): boolean {
  return exchange.isRequestComplete || exchange.isHeldByExpect
}

/** A body that the upstream does not take is not read from the client, who owes nothing then. */
function sending(since: number, { requestMs, clientIdleMs, idleMs }: HttpDeadlines, scale: number): Due[] {
  return [
    { key: 'deadlines.request', at: since + requestMs, close: makeClose('request_timeout', 'client', 'relay', 'no body (deadlines.request)') },
    { key: 'deadlines.clientIdle', at: since + Math.min(clientIdleMs, unless(requestMs, idleMs)) * scale, close: makeClose('idle_timeout', 'client', 'relay', 'no body (deadlines.idle, deadlines.clientIdle)') },
  ]
}

function asking(since: number, { responseMs, idleMs, upstreamIdleMs }: HttpDeadlines, scale: number): Due[] {
  return [
    { key: 'deadlines.response', at: since + responseMs, close: makeClose('response_timeout', 'upstream', 'relay', 'no answer (deadlines.response)') },
    { key: 'deadlines.upstreamIdle', at: since + Math.min(upstreamIdleMs, unless(responseMs, idleMs)) * scale, close: makeClose('idle_timeout', 'upstream', 'relay', 'no answer (deadlines.idle, deadlines.upstreamIdle)') },
  ]
}

function answering(exchange: Exchange, { toUpstream, toClient }: Directions, { idleMs, upstreamIdleMs, answerIdleMs }: HttpDeadlines, scale: number): Due[] {
  const activeAt = Math.max(toUpstream.activeAt, toClient.activeAt)
  // Who answers while the request still comes in may wait for more of that, unless the deadline was written for all cases.
  const mayWait = !exchange.isRequestComplete && upstreamIdleMs === Number.POSITIVE_INFINITY
  const owedMs = exchange.answer!.isEventStream ? upstreamIdleMs : answerIdleMs
  return [
    { key: 'deadlines.idle', at: activeAt + idleMs * scale, close: makeClose('idle_timeout', 'upstream', 'relay', 'no data (deadlines.idle)') },
    { key: 'deadlines.upstreamIdle', at: (mayWait ? activeAt : toClient.dataAt) + owedMs * scale, close: makeClose('idle_timeout', 'upstream', 'relay', 'no more of the answer (deadlines.upstreamIdle)') },
  ]
}

/** A wait that has a deadline of its own is not idleness (long polling); `idle` bounds it where that one is off. */
function unless(ownMs: number, idleMs: number): number {
  return Number.isFinite(ownMs) ? Number.POSITIVE_INFINITY : idleMs
}

/** As `judgeExchange` judges it. */
function describeExchange(exchange: Exchange, reach: Pick<Reach, 'describe'>, moved: Directions | null, deadlines: HttpDeadlines): Omit<Wait, 'state'> {
  if (exchange.reachedAt === null) return reach.describe()
  const waitsFor = exchange.answer !== null ? 'more of the answer' : isAsking(exchange) ? 'the upstream to answer' : 'more of the request body'
  // Before the first sweep nothing was seen to move since it began.
  const at = { activeAt: exchange.reachedAt, dataAt: exchange.reachedAt }
  const dues = duesOf(exchange, moved ?? { toUpstream: at, toClient: at }, deadlines, 1)
  const next = earliest(dues.map(({ key, at: due, close }): NextDeadline => ({ key, reason: close.reason, side: close.side, at: due })))
  return { waitsFor, next }
}

/** Whether the source of `half` has begun something that it owes the rest of. */
function owes(exchange: Exchange, half: Half): boolean {
  const { answer } = exchange
  if (half.direction === 'to_client') return answer !== null && !answer.isEventStream && !exchange.answerBody.isComplete
  return answer === null && exchange.reachedAt !== null && !exchange.isRequestComplete && !exchange.isHeldByExpect
}
