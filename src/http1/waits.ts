// The waits of a connection of plain HTTP: the deadline of each, what it spares, and its words for operators.
// In the order of an exchange:
//
// | the client has sent no head      | http.keepAlive       | a client that thinks: nothing has begun                 |
// | a head has begun                 | deadlines.handshake  | -: a byte at a time does not extend it                  |
// | a place, a name, a dial          | its own (search.ts)  |                                                         |
// | more of the request              | deadlines.request    | an upload that moves; one that we do not read           |
// | the answer                       | deadlines.response   | a service that still takes the request, or sends an     |
// |                                  |                      | interim answer (a part of a head does not extend it);   |
// |                                  |                      | a long poll: `idle` bounds it only where this is off    |
// | a call of gRPC, either side      | deadlines.idle,      | calls that are quiet for long; their own deadline is    |
// |                                  | .clientIdle,         | grpc-timeout                                            |
// |                                  | .upstreamIdle        |                                                         |
// | more of the answer               | deadlines.idle,      | a client that still takes, a limit that delays, events  |
// |                                  | .upstreamIdle        |                                                         |

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { earliest } from '../core/wait.ts'
import type { Live } from '../core/live.ts'
import type { NextDeadline, Wait } from '../core/wait.ts'
import type { Moved, Watched } from '../pair/dialogue.ts'
import type { Half } from '../pair/half.ts'
import type { Pair } from '../pair/pair.ts'
import { areStill } from '../pair/progress.ts'
import type { Reach } from '../upstream/reach.ts'
import type { Exchange } from './exchange.ts'

/** Milliseconds; Infinity is off. Read at each judgement. */
export interface HttpDeadlines {
  readonly requestMs: number
  readonly responseMs: number
  readonly idleMs: number
  readonly clientIdleMs: number
  readonly upstreamIdleMs: number
  /** Instead of `upstreamIdleMs`, inside the body of an answer that is no event stream. */
  readonly answerIdleMs: number
  readonly handshakeMs: number
}

/** The options by which waits are judged. */
export interface WaitOptions {
  readonly deadlines: Live<HttpDeadlines>
  /** Milliseconds that a client may keep its connection without a further request. */
  readonly keepAliveMs: number
}

/** The waits of one connection. */
export class Waits {
  readonly #options: WaitOptions
  /** The end of the last answer; the begin of the next request's head, null before it. */
  since: number
  headSince: number | null = null
  /** The last movement in each direction, as the last sweep saw it. */
  #moved: Directions | null = null
  /** The part of the idle deadlines that the shortage of memory leaves, from the last sweep; 0..1. */
  #scale = 1
  /** The exchange for which each side was seen to owe something: with another exchange it is another debt. */
  #owedByClient: Exchange | null = null
  #owedByUpstream: Exchange | null = null

  constructor(options: WaitOptions, now: number) {
    this.#options = options
    this.since = now
  }

  /** Null where no deadline has passed. */
  // oxlint-disable-next-line eslint/max-params -- asked of each pair in each sweep, without an object
  judge(
    exchange: Exchange | null,
    { toUpstream, toClient }: Pick<Pair, 'toUpstream' | 'toClient'>,
    moved: Directions<Watched>,
    now: number,
    scale: number,
  ): Close | null {
    this.#moved = moved
    this.#scale = scale
    if (exchange === null) {
      const { at, close } = this.#rest
      return now >= at ? close : null
    }
    if (isAsking(exchange) && exchange.reachedAt !== null && toUpstream.sink.queued === 0)
      exchange.askedAt ??= now
    // A client that still takes bytes is not idle.
    if (exchange.answer !== null && toClient.sink.queued > 0) return null
    return judgeExchange(exchange, moved, this.#options.deadlines.current, now, scale)
  }

  /** The wait between two exchanges. */
  get #rest(): Due {
    const { deadlines, keepAliveMs } = this.#options
    if (this.headSince === null)
      return {
        key: 'http.keepAlive',
        at: this.since + keepAliveMs * this.#scale,
        close: makeClose('eof', 'sidegate', 'relay', 'no further request (http.keepAlive)'),
      }
    return {
      key: 'deadlines.handshake',
      at: this.headSince + deadlines.current.handshakeMs,
      close: makeClose('handshake_timeout', 'client', 'handshake', 'deadlines.handshake'),
    }
  }

  /** The source of `half` has begun something and owes the rest. */
  isOwing(exchange: Exchange | null, half: Half): boolean {
    const isUpstream = half.direction === 'to_client'
    const isOther = (isUpstream ? this.#owedByUpstream : this.#owedByClient) !== exchange
    if (isUpstream) this.#owedByUpstream = exchange
    else this.#owedByClient = exchange
    return exchange !== null && !isOther && owes(exchange, half)
  }

  describe(exchange: Exchange | null, reach: Pick<Reach, 'describe'>): Omit<Wait, 'state'> {
    if (exchange !== null) return this.#describeExchange(exchange, reach)
    const waitsFor = this.headSince === null ? 'the next request' : 'the rest of the head of a request'
    return { waitsFor, next: earliest([nextOf(this.#rest)]) }
  }

  #describeExchange(exchange: Exchange, reach: Pick<Reach, 'describe'>): Omit<Wait, 'state'> {
    if (exchange.reachedAt === null) return reach.describe()
    const waitsFor =
      exchange.answer !== null
        ? 'more of the answer'
        : isAsking(exchange)
          ? 'the upstream to answer'
          : 'more of the request body'
    // Before the first sweep nothing was seen to move since the exchange reached its upstream.
    const at = { activeAt: exchange.reachedAt, dataAt: exchange.reachedAt }
    const moved = this.#moved ?? { toUpstream: at, toClient: at }
    const dues = duesOf(exchange, moved, this.#options.deadlines.current, this.#scale)
    return { waitsFor, next: earliest(dues.map(nextOf)) }
  }
}

interface Directions<Of extends Moved = Moved> {
  toUpstream: Of
  toClient: Of
}

/** Null where no deadline has passed, or where the search for the upstream judges. */
// oxlint-disable-next-line eslint/max-params -- asked of each pair in each sweep, without an object
function judgeExchange(
  exchange: Exchange,
  moved: Directions<Watched>,
  deadlines: HttpDeadlines,
  now: number,
  scale: number,
): Close | null {
  // The upstream has not taken all of the request; `write` bounds how long it may take for that.
  if (exchange.answer === null && isAsking(exchange) && exchange.askedAt === null) return null
  for (const due of duesOf(exchange, moved, deadlines, scale)) if (isOver(due, moved, now)) return due.close
  return null
}

function isOver({ at, still }: Due, { toUpstream, toClient }: Directions<Watched>, now: number): boolean {
  return still === undefined ? now >= at : areStill(toUpstream, toClient, still.since, still.ms, now)
}

interface Due {
  key: string
  at: number
  /** It ends the wait only where neither side has taken what the kernel holds. */
  still?: { since: number; ms: number }
  close: Close
}

function duesOf(exchange: Exchange, moved: Directions, deadlines: HttpDeadlines, scale: number): Due[] {
  if (exchange.reachedAt === null) return []
  if (exchange.isCall) return calling(exchange, moved, deadlines, scale)
  if (exchange.answer !== null) return answering(exchange, moved, deadlines, scale)
  if (isAsking(exchange)) return asking(exchange.askedAt ?? exchange.reachedAt, moved, deadlines, scale)
  return sending(Math.max(exchange.reachedAt, moved.toUpstream.dataAt), deadlines, scale)
}

function isAsking(exchange: Exchange): boolean {
  return exchange.isRequestComplete || exchange.isHeldByExpect
}

/**
 * Streams of messages both ways, of which none is owed: callers set their own limit (grpc-timeout, which the
 * service keeps).
 */
function calling(
  exchange: Exchange,
  { toUpstream, toClient }: Directions,
  { idleMs, clientIdleMs, upstreamIdleMs }: HttpDeadlines,
  scale: number,
): Due[] {
  const since = exchange.reachedAt!
  const from = (moved: number): number => Math.max(since, moved)
  const activeAt = from(Math.max(toUpstream.activeAt, toClient.activeAt))
  const [client, upstream] = [
    makeClose('idle_timeout', 'client', 'relay', 'no more of a call (deadlines.clientIdle)'),
    makeClose('idle_timeout', 'upstream', 'relay', 'no more of a call (deadlines.upstreamIdle)'),
  ]
  return [
    {
      key: 'deadlines.idle',
      at: activeAt + idleMs * scale,
      still: { since: activeAt, ms: idleMs * scale },
      close: makeClose('idle_timeout', 'upstream', 'relay', 'no data of a call (deadlines.idle)'),
    },
    ...(exchange.isRequestComplete
      ? []
      : [{ key: 'deadlines.clientIdle', at: from(toUpstream.dataAt) + clientIdleMs * scale, close: client }]),
    {
      key: 'deadlines.upstreamIdle',
      at: from(toClient.dataAt) + upstreamIdleMs * scale,
      close: upstream,
    },
  ]
}

/** While the upstream does not take the body, we do not read it, and the client owes nothing. */
function sending(since: number, { requestMs, clientIdleMs, idleMs }: HttpDeadlines, scale: number): Due[] {
  return [
    {
      key: 'deadlines.request',
      at: since + requestMs,
      close: makeClose('request_timeout', 'client', 'relay', 'no body (deadlines.request)'),
    },
    {
      key: 'deadlines.clientIdle',
      at: since + Math.min(clientIdleMs, unless(requestMs, idleMs)) * scale,
      close: makeClose('idle_timeout', 'client', 'relay', 'no body (deadlines.idle, deadlines.clientIdle)'),
    },
  ]
}

/**
 * An upload that is all in the kernel may last for long: a service that takes some of it is not waited for
 * yet.
 */
function asking(
  askedAt: number,
  { toUpstream, toClient }: Directions,
  { responseMs, idleMs, upstreamIdleMs }: HttpDeadlines,
  scale: number,
): Due[] {
  const since = Math.max(askedAt, toClient.dataAt, toUpstream.activeAt)
  const quietMs = Math.min(upstreamIdleMs, unless(responseMs, idleMs)) * scale
  return [
    {
      key: 'deadlines.response',
      at: since + responseMs,
      still: { since, ms: responseMs },
      close: makeClose('response_timeout', 'upstream', 'relay', 'no answer (deadlines.response)'),
    },
    {
      key: 'deadlines.upstreamIdle',
      at: since + quietMs,
      still: { since, ms: quietMs },
      close: makeClose(
        'idle_timeout',
        'upstream',
        'relay',
        'no answer (deadlines.idle, deadlines.upstreamIdle)',
      ),
    },
  ]
}

function answering(
  exchange: Exchange,
  { toUpstream, toClient }: Directions,
  { idleMs, upstreamIdleMs, answerIdleMs }: HttpDeadlines,
  scale: number,
): Due[] {
  const activeAt = Math.max(toUpstream.activeAt, toClient.activeAt)
  // A service that answers while the request still comes in may wait for more of it, unless the deadline is
  // set explicitly.
  const mayWait = !exchange.isRequestComplete && upstreamIdleMs === Number.POSITIVE_INFINITY
  const owedMs = exchange.answer!.isEventStream ? upstreamIdleMs : answerIdleMs
  return [
    {
      key: 'deadlines.idle',
      at: activeAt + idleMs * scale,
      still: { since: activeAt, ms: idleMs * scale },
      close: makeClose('idle_timeout', 'upstream', 'relay', 'no data (deadlines.idle)'),
    },
    {
      key: 'deadlines.upstreamIdle',
      at: (mayWait ? activeAt : toClient.dataAt) + owedMs * scale,
      close: makeClose('idle_timeout', 'upstream', 'relay', 'no more of the answer (deadlines.upstreamIdle)'),
    },
  ]
}

/**
 * A wait with a deadline of its own is not idleness (long polling); `idle` bounds it where that one is off.
 */
function unless(ownMs: number, idleMs: number): number {
  return Number.isFinite(ownMs) ? Number.POSITIVE_INFINITY : idleMs
}

function nextOf({ key, at, close: { reason, side } }: Due): NextDeadline {
  return { key, reason, side, at }
}

/** Whether the source of `half` has begun something and owes the rest. */
function owes(exchange: Exchange, half: Half): boolean {
  if (exchange.isCall) return false
  const { answer } = exchange
  if (half.direction === 'to_client')
    return answer !== null && !answer.isEventStream && !exchange.answerBody.isComplete
  return (
    answer === null && exchange.reachedAt !== null && !exchange.isRequestComplete && !exchange.isHeldByExpect
  )
}
