// One request and its answer, moved by http-proxy-3, watched here: every wait has a bound, and an answer that was cut short
// is never passed off as a complete one.
//
//     waiting   for the upstream connection: connect
//     sending   the client owes body: request    |  the upstream takes none: write
//     asking    the request is complete, no head of an answer: response
//     answering the upstream owes body: idle     |  the client takes none: write
//
// Progress is judged as in the pair: a sweep compares counters that Node keeps anyway.

import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { makeClose } from '../core/close.ts'
import type { Close, PeerSide } from '../core/close.ts'
import type { ExchangePace } from './exchange-pace.ts'
import type { Search } from '../upstream/search.ts'
import type { Live } from '../core/live.ts'
import { earliest, formatBytes } from '../core/wait.ts'
import type { NextDeadline, Wait } from '../core/wait.ts'
import { Taker } from './taker.ts'
import type { HttpMeter } from './throttle.ts'

/** Milliseconds; Infinity is off. */
export interface ExchangeDeadlines {
  connectMs: number
  requestMs: number
  responseMs: number
  idleMs: number
  clientIdleMs: number
  upstreamIdleMs: number
  /** As `upstreamIdleMs`, inside the body of an answer that is no event stream. */
  answerIdleMs: number
  writeMs: number
}

/** Of the connection too. */
export interface HttpDeadlines extends ExchangeDeadlines {
  handshakeMs: number
  closeMs: number
  lifetimeMs: number
  lifetimeJitter: number
}

export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly startedAt: number
  /** For a place upstream; null before. */
  search: Search | null = null
  /** What is done when its connection does not stand in time. */
  onConnectTimeout: ((close: Close) => void) | null = null
  /** Sends the body, once the connection stands: before, it can still go to another address. */
  startBody: (() => void) | null = null
  /** Null until http-proxy-3 has made it; of a request that is tried again, the last one. */
  outgoing: ClientRequest | null = null
  answer: IncomingMessage | null = null
  /** Of the answer that has begun: the client sees its end without FIN. */
  isDelimited = true
  /** What the byte limits and the least rate say of it; null where there are none. */
  meter: HttpMeter | null = null
  pace: ExchangePace | null = null
  /** An answer that is made of events owes nothing between two of them. */
  isEventStream = false
  /** A body cannot be sent twice. */
  hasBody = false
  /** What this exchange has added to the counters of its upstream connection, which other exchanges use too. */
  #readBefore = 0
  #writtenBefore = 0
  #upstream: Socket | null = null
  readonly #client: Socket
  readonly #deadlines: Live<ExchangeDeadlines>
  readonly #clientTaker: Taker
  #upstreamTaker: Taker | null = null
  #clientRead: number
  #upstreamRead = 0
  #clientReadAt: number
  #upstreamReadAt: number
  #connectingSince: number
  /** What this dial may take; less than the deadline where another address could be tried. */
  #connectMs: number
  /** Since when the next move is the client's: not while the upstream holds it back. */
  #owedSince: number
  /** When the upstream had the whole request; null before. */
  #askedAt: number | null = null
  #isConnected = false

  constructor(request: IncomingMessage, response: ServerResponse, deadlines: Live<ExchangeDeadlines>, now: number) {
    this.request = request
    this.response = response
    this.startedAt = now
    this.#client = request.socket
    this.#clientRead = this.#client.bytesRead
    this.#deadlines = deadlines
    this.#connectMs = deadlines.current.connectMs
    this.#clientTaker = new Taker(this.#client, now)
    this.#clientReadAt = this.#upstreamReadAt = this.#connectingSince = this.#owedSince = now
  }

  /** A place was found, and is dialled for so long at the most. */
  expectConnect(connectMs: number, now: number): void {
    this.#connectMs = connectMs
    this.#connectingSince = now
    this.#isConnected = false
  }

  /** The upstream connection that Node chose; called again when the request is tried again. */
  useUpstream(socket: Socket, now: number): void {
    this.#upstream = socket
    this.#upstreamTaker = new Taker(socket, now)
    this.#readBefore = socket.bytesRead
    this.#writtenBefore = socket.bytesWritten
    this.#connectingSince = now
    this.#askedAt = null
    this.#isConnected = !socket.connecting && !socket.destroyed
    if (socket.connecting) socket.once('connect', () => (this.#isConnected = true))
  }

  /** The upstream connection stands (it may have been reused). */
  get isConnected(): boolean {
    return this.#isConnected
  }

  /** Bytes of this exchange, read from the upstream and taken by it. */
  get upstreamRead(): number {
    return this.#upstream === null ? 0 : this.#upstream.bytesRead - this.#readBefore
  }

  get upstreamWritten(): number {
    return this.#upstream === null ? 0 : this.#upstream.bytesWritten - this.#writtenBefore
  }

  get queuedForUpstream(): number {
    return this.#upstream?.writableLength ?? 0
  }

  takenAt(side: PeerSide): number {
    return side === 'client' ? this.#clientTaker.takenAt : (this.#upstreamTaker?.takenAt ?? Number.POSITIVE_INFINITY)
  }

  /** The first deadline that is due; `idleScale` is what is left of the idle ones. */
  check(now: number, idleScale: number): Close | null {
    this.#observe(now)
    if (this.answer === null && this.outgoing !== null && !this.#isConnected) {
      return this.#due(this.#connectingSince, this.#connectMs, now, 'connect_timeout', 'upstream', 'deadlines.connect')
    }
    const stalled = this.#stalled(now) ?? this.#tooSlow(now)
    if (stalled !== null) return stalled
    if (this.answer !== null) return this.#answering(now, idleScale)
    return this.request.complete ? this.#asking(now, idleScale) : this.#sending(now, idleScale)
  }

  /** When a byte last moved, as the last sweep saw it. */
  get activeAt(): number {
    return Math.max(this.#clientReadAt, this.#upstreamReadAt)
  }

  /** As `check` judges it, in the same order. */
  describe(): Wait {
    const { connectMs, writeMs, responseMs, requestMs, idleMs, clientIdleMs, upstreamIdleMs } = this.#deadlines.current
    const wait = (waitsFor: string, ...deadlines: NextDeadline[]): Wait => ({ state: 'busy', waitsFor, next: earliest([...deadlines, this.pace?.next() ?? null]) })
    const searching = this.answer === null ? (this.search?.describe() ?? null) : null
    if (searching !== null) return { ...searching, state: 'busy' }
    if (this.answer === null && this.outgoing !== null && !this.#isConnected) {
      return wait('the upstream to accept the connection', { key: 'deadlines.connect', reason: 'connect_timeout', side: 'upstream', at: this.#connectingSince + connectMs })
    }
    const owed = this.#client.writableLength
    if (owed > 0) return wait(`the client to take ${formatBytes(owed)}`, { key: 'deadlines.write', reason: 'write_timeout', side: 'client', at: this.#clientTaker.takenAt + writeMs })
    const queued = this.queuedForUpstream
    const write = { key: 'deadlines.write', reason: 'write_timeout', side: 'upstream', at: (this.#upstreamTaker?.takenAt ?? 0) + writeMs } as const
    if (queued > 0) return wait(`the upstream to take ${formatBytes(queued)}`, write)
    const upstreamIdle = { key: 'deadlines.upstreamIdle', reason: 'idle_timeout', side: 'upstream' } as const
    if (this.answer !== null) {
      const idle = { key: 'deadlines.idle', reason: 'idle_timeout', side: 'upstream', at: this.activeAt + idleMs } as const
      return wait('more of the answer', idle, { ...upstreamIdle, at: this.#answerOwedSince() + this.#answerIdleMs })
    }
    if (this.request.complete) {
      // No sweep has noticed yet that the request is out; it is at most as old as its last byte.
      const since = this.#askedAt ?? this.activeAt
      const response = { key: 'deadlines.response', reason: 'response_timeout', side: 'upstream', at: since + responseMs } as const
      return wait('the upstream to answer', response, { ...upstreamIdle, at: since + Math.min(upstreamIdleMs, unless(responseMs, idleMs)) })
    }
    const since = Math.max(this.#clientReadAt, this.#owedSince)
    const request = { key: 'deadlines.request', reason: 'request_timeout', side: 'client', at: since + requestMs } as const
    return wait('more of the request body', request, { key: 'deadlines.clientIdle', reason: 'idle_timeout', side: 'client', at: since + Math.min(clientIdleMs, unless(requestMs, idleMs)) })
  }

  #observe(now: number): void {
    const { bytesRead } = this.#client
    if (bytesRead !== this.#clientRead) this.#clientReadAt = now
    this.#clientRead = bytesRead
    if (this.upstreamRead !== this.#upstreamRead) this.#upstreamReadAt = now
    this.#upstreamRead = this.upstreamRead
    this.#clientTaker.observe(now)
    this.#upstreamTaker?.observe(now)
    if (!this.#isConnected || this.outgoing?.writableNeedDrain === true || this.meter?.isBodyDelayed === true) this.#owedSince = now
    if (this.#isConnected && this.request.complete && this.queuedForUpstream === 0 && this.meter?.hasSentBody !== false) this.#askedAt ??= now
    // Nobody is to blame for what a limit of ours holds back.
    if (this.meter?.isReplyDelayed === true) this.#upstreamReadAt = now
  }

  #stalled(now: number): Close | null {
    const { writeMs } = this.#deadlines.current
    if (this.#clientTaker.isStalled(now, writeMs)) return makeClose('write_timeout', 'client', 'relay', 'took no bytes (deadlines.write)')
    if (this.#upstreamTaker?.isStalled(now, writeMs) === true) return makeClose('write_timeout', 'upstream', 'relay', 'took no bytes (deadlines.write)')
    return null
  }

  #tooSlow(now: number): Close | null {
    if (this.pace === null) return null
    const isAnswerOwed = this.answer !== null && !this.answer.complete && !this.isEventStream
    return this.pace.check(this.#upstream, {
      byClient: this.answer === null && !this.request.complete,
      isClientExcused: this.#owedSince === now,
      byUpstream: isAnswerOwed,
      isUpstreamExcused: this.#client.writableLength > 0 || this.meter?.isReplyDelayed === true,
    }, now)
  }

  #sending(now: number, scale: number): Close | null {
    const { requestMs, clientIdleMs, idleMs } = this.#deadlines.current
    // A body that the upstream does not take is not read from the client, who owes nothing then.
    const since = Math.max(this.#clientReadAt, this.#owedSince)
    return (
      this.#due(since, requestMs, now, 'request_timeout', 'client', 'no body (deadlines.request)') ??
      this.#due(since, Math.min(clientIdleMs, unless(requestMs, idleMs)) * scale, now, 'idle_timeout', 'client', 'no body (deadlines.idle, deadlines.clientIdle)')
    )
  }

  #asking(now: number, scale: number): Close | null {
    if (this.#askedAt === null) return null
    const { responseMs, idleMs, upstreamIdleMs } = this.#deadlines.current
    return (
      this.#due(this.#askedAt, responseMs, now, 'response_timeout', 'upstream', 'no answer (deadlines.response)') ??
      this.#due(this.#askedAt, Math.min(upstreamIdleMs, unless(responseMs, idleMs)) * scale, now, 'idle_timeout', 'upstream', 'no answer (deadlines.idle, deadlines.upstreamIdle)')
    )
  }

  #answering(now: number, scale: number): Close | null {
    // Who still takes bytes is not idle.
    if (this.#client.writableLength > 0) {
      this.#upstreamReadAt = now
      return null
    }
    const { idleMs } = this.#deadlines.current
    const quietSince = Math.max(this.#upstreamReadAt, this.#clientReadAt)
    return (
      this.#due(quietSince, idleMs * scale, now, 'idle_timeout', 'upstream', 'no data (deadlines.idle)') ??
      this.#due(this.#answerOwedSince(), this.#answerIdleMs * scale, now, 'idle_timeout', 'upstream', 'no more of the answer (deadlines.upstreamIdle)')
    )
  }

  get #answerIdleMs(): number {
    return this.isEventStream ? this.#deadlines.current.upstreamIdleMs : this.#deadlines.current.answerIdleMs
  }

  /** Who answers while the request still comes in may wait for more of that, unless the deadline was written for all cases. */
  #answerOwedSince(): number {
    const mayWait = !this.request.complete && this.#deadlines.current.upstreamIdleMs === Number.POSITIVE_INFINITY
    return mayWait ? this.activeAt : this.#upstreamReadAt
  }

  #due(since: number, ms: number, now: number, reason: Close['reason'], side: Close['side'], detail: string): Close | null {
    return now - since >= ms ? makeClose(reason, side, 'relay', detail) : null
  }
}

/** A wait that has a deadline of its own is not idleness (long polling); `idle` bounds it where that one is off. */
function unless(ownMs: number, idleMs: number): number {
  return Number.isFinite(ownMs) ? Number.POSITIVE_INFINITY : idleMs
}
