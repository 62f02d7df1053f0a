// A pair: two halves over two endpoints, and one Close. Both directions end together.
//
//     client --> toUpstream (Half) --> upstream      open       both directions flow
//     client <-- toClient   (Half) <-- upstream      lingering  one source's FIN was passed on; the other half goes on
//                                                    closing    `close` was called: each peer gets its goodbye
//     any end --> close(Close), the first wins       closed     both descriptors are gone; nothing is left
//
// The pair never dials. Its maker hands both endpoints over to it.

import type { Swept } from '../core/clock.ts'
import { closeFromError, isPatient, makeClose, type Close, type PeerSide } from '../core/close.ts'
import type { Connection, ConnectionOwner, Direction } from '../core/connection.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'
import { bugDetail, InvariantError } from '../core/errors.ts'
import { note, noteEnding } from '../core/timeline.ts'
import type { Wait } from '../core/wait.ts'
import { Afterword } from './afterword.ts'
import { Deadlines } from './deadlines.ts'
import type { Dialogue } from './dialogue.ts'
import { alsoBroken, Ending } from './ending.ts'
import type { Half, HalfOwner } from './half.ts'
import { makeHalves } from './halves.ts'
import type { Endpoints, PairParts } from './halves.ts'
import type { MinRate } from '../limits/min-rate.ts'
import { limitHalves } from './limited.ts'
import { owed, stoppedSince } from './owed.ts'
import type { PairContext, PairOptions } from './pair-options.ts'
import { describePair } from './waits.ts'

export type { PairContext, PairOptions } from './pair-options.ts'

/** The age at which TCP keep-alive is set; short-lived pairs of a reconnect storm cost no system calls. */
const SETTLED_MS = 1000

type State = 'open' | 'lingering' | 'closing' | 'closed'

export class Pair implements EndpointOwner, ConnectionOwner, HalfOwner, Swept {
  sweptAs = 0
  readonly toUpstream: Half
  readonly toClient: Half
  readonly #connection: Connection
  readonly #client: Endpoint
  #upstream: Endpoint
  readonly #dialogue: Dialogue | null
  readonly #deadlines: Deadlines
  #minRate: MinRate | null = null
  readonly #options: PairOptions
  #settlesAt: number
  readonly #context: PairContext
  #state: State = 'open'
  #isSettled = false
  /** Null until the Close. */
  #ending: Ending | null = null
  /** The peer that sent FIN first: the side of an `eof`. */
  #firstEnded: PeerSide | null = null
  #lastWord: Half | null = null
  /** The upstream's bytes to a client that has sent FIN; only where there is no dialogue. */
  #afterword: Afterword | null = null

  constructor(
    connection: Connection,
    { client, upstream }: Endpoints,
    { options, context, dialogue }: PairParts,
  ) {
    const { clock, sweep, random } = context
    this.#connection = connection
    this.#client = client
    this.#upstream = upstream
    this.#dialogue = dialogue
    this.#options = options
    const now = clock.now()
    this.#settlesAt = now + SETTLED_MS
    this.#context = context
    const halves = makeHalves(connection, { client, upstream }, this, { options, context, dialogue })
    this.toUpstream = halves.toUpstream
    this.toClient = halves.toClient
    this.#deadlines = new Deadlines(options.deadlines, connection, now, random())
    if (context.limits !== undefined)
      this.#minRate = limitHalves(this, connection, context.limits, options.buffers.readBytes)
    connection.owner = this
    connection.phase = 'relay'
    client.owner = this
    upstream.owner = this
    sweep.add(this)
  }

  /** Starts to relay, beginning with the bytes that each side sent before the pair was made. */
  start(earlyFromClient: Buffer, earlyFromUpstream: Buffer): void {
    this.#startHalf(this.toClient, earlyFromUpstream)
    this.#startHalf(this.toUpstream, earlyFromClient)
  }

  #startHalf(half: Half, early: Buffer): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    if (early.length === 0 || this.onBytes(half.source, early, early.length)) half.source.resume()
    else half.source.pause()
  }

  /** Changes the upstream (perhaps to none) between two messages; the former one has another owner now. */
  turnTo(upstream: Endpoint): void {
    this.#upstream = upstream
    this.#isSettled = false
    this.#settlesAt = 0
    upstream.owner = this
    this.toUpstream.writeTo(upstream)
    this.toClient.readFrom(upstream)
  }

  /** Hands the client over to another protocol: the pair is over, without a report. */
  giveAway(): Endpoint {
    this.#leave()
    return this.#client
  }

  queued(side: PeerSide): number {
    return (side === 'client' ? this.#client : this.#upstream).queued + this.assembling(side)
  }

  assembling(side: PeerSide): number {
    if (side === 'client') return this.toClient.waiting + (this.#upstream.unread ?? 0)
    return this.toUpstream.waiting + (this.#dialogue?.held ?? 0)
  }

  lastDrainAt(side: PeerSide): number {
    const now = this.#context.clock.now()
    if (this.#ending !== null) return this.#ending.lastDrainAt(side, now)
    const half = side === 'upstream' ? this.toUpstream : this.toClient
    const since = this.assembling(side) > 0 ? stoppedSince(half, this.#dialogue) : null
    const byCarrier = half.sink.carrier?.lastDrainAt()
    return Math.min(this.#deadlines.lastDrainAt(side, now), since ?? now, byCarrier ?? now)
  }

  isPaused(direction: Direction): boolean {
    return (direction === 'to_upstream' ? this.toUpstream : this.toClient).isBackpressured
  }

  quietMs(now: number): number {
    return this.#dialogue?.isAtRest === false ? 0 : now - this.#deadlines.activeAt
  }

  isOwed(): boolean {
    return (
      (this.#state === 'open' || this.#state === 'lingering') &&
      owed(this.toUpstream, this.toClient, this.#lastWord, this.#dialogue) !== 'nothing'
    )
  }

  activeAt(): number {
    return this.#deadlines.activeAt
  }

  describe(): Wait {
    const { toUpstream, toClient } = this
    const next = this.#deadlines.next(toUpstream, toClient, this.#context.strain, this.#dialogue)
    return describePair({
      state: this.#state,
      toUpstream,
      toClient,
      next,
      minRate: this.#minRate?.next() ?? null,
      dialogue: this.#dialogue?.describe?.() ?? null,
      isAtRest: this.#dialogue?.isAtRest,
      end: this.#connection.end,
      closesBy: this.#ending?.closesBy ?? Number.POSITIVE_INFINITY,
    })
  }

  onBytes(endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    const half = endpoint === this.#client ? this.toUpstream : this.toClient
    this.#lastWord = half
    if (half === this.toClient) this.#afterword?.onBytes(bytes, length)
    try {
      const mayRead =
        this.#ending === null ? half.relay(bytes, length) : this.#ending.onBytes(half, bytes, length)
      // If the dialogue gave the endpoint away meanwhile, it is not ours to pause.
      return mayRead || endpoint !== half.source
    } catch (thrown) {
      this.#onBroken(thrown)
      return true
    }
  }

  /** A broken invariant, here or in the dialogue, ends this pair and no other. */
  #onBroken(error: unknown): void {
    if (!(error instanceof InvariantError)) throw error
    this.onBroken(error)
  }

  onBroken(error: unknown): void {
    if (this.#ending === null)
      return this.close(makeClose('internal_error', 'sidegate', 'relay', bugDetail(error)))
    this.#connection.end = alsoBroken(this.#connection.end!, error)
    this.#ending.giveUp(null)
  }

  onLimited({ source }: Half, what: string): void {
    note(this.#connection, 'limited', this.#context.clock.now(), `${source.side}: ${what}`)
  }

  onFirstByte({ flow }: Half): void {
    flow.firstMs = this.#context.clock.now() - this.#connection.openedAt
  }

  onTurn(half: Half): void {
    try {
      if (this.#state === 'closed' || this.#ending?.isReading(half) === false) return
      half.onTurn()
      if (half.isEndDue) this.onEnd(half.source)
      this.#ending?.onHeard()
    } catch (thrown) {
      this.#onBroken(thrown)
    }
  }

  onEnd(endpoint: Endpoint): void {
    const half = endpoint === this.#client ? this.toUpstream : this.toClient
    if (half.hasEnded || this.#state === 'closed') return
    if (this.#ending?.isHearing(half) !== false && half.putsEndOff()) return
    half.hasEnded = true
    try {
      if (this.#ending !== null) return this.#ending.onEnd(endpoint)
      const close = this.#dialogue?.onSourceEnd(half) ?? null
      if (close === 'kept') return
      if (close !== null) return this.close(close)
    } catch (thrown) {
      return this.#onBroken(thrown)
    }
    this.#firstEnded ??= endpoint.side
    this.#state = 'lingering'
    if (endpoint === this.#client && this.#dialogue === null) this.#afterword = new Afterword()
    half.sink.end()
  }

  onProgress(endpoint: Endpoint): void {
    const half = endpoint === this.#client ? this.toClient : this.toUpstream
    half.onSinkProgress()
  }

  onClosed(endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    if (this.#state === 'closed') return
    const half = endpoint === this.#client ? this.toUpstream : this.toClient
    if (
      this.#ending === null &&
      endpoint === this.#upstream &&
      this.#dialogue?.onUpstreamClosed?.(error) === true
    )
      return
    // The bytes already read from it go on first.
    if (this.#ending?.isHearing(half) !== false) this.onTurn(half.withoutWaiting())
    try {
      if (this.#ending !== null) this.#ending.onClosed(endpoint, error)
      else if (error !== null) this.#closeFrom(closeFromError(error, endpoint.side, 'relay'))
      else if (!this.toUpstream.hasEnded || !this.toClient.hasEnded)
        this.#closeFrom(makeClose('aborted', endpoint.side, 'relay', 'closed without FIN'))
    } catch (thrown) {
      this.#onBroken(thrown)
    }
    if (this.#client.isClosed && this.#upstream.isClosed) this.#finish()
  }

  /** A peer that is gone after the protocol's last word does not change the end. */
  #closeFrom(close: Close): void {
    const end =
      this.#dialogue?.concluded?.(`then ${close.reason} by the ${close.side} (${close.detail})`) ?? close
    this.close(end)
    if (this.#connection.end !== close) return
    // The client still gets the RST; only the record is corrected.
    this.#connection.end = this.#afterword?.explain(close, this.toClient.sink.queued) ?? close
  }

  /** The only way a pair ends before both peers have ended. The first call wins, unless it is postponed. */
  close(close: Close): void {
    if (this.#state === 'closed') return
    if (this.#ending !== null) return this.#ending.onClose(close)
    if (isPatient(close) && this.#dialogue?.postpone?.(close) === true)
      return note(this.#connection, 'postponed', this.#context.clock.now(), close.reason)
    this.#state = 'closing'
    const connection = this.#connection
    connection.end = this.#dialogue?.explain?.(close) ?? close
    connection.phase = 'close'
    noteEnding(connection, connection.end, this.#context.clock.now())
    this.#ending = new Ending(
      {
        connection,
        toUpstream: this.toUpstream,
        toClient: this.toClient,
        dialogue: this.#dialogue,
        lastWord: this.#lastWord,
        options: this.#options,
        now: () => this.#context.clock.now(),
      },
      close,
    )
    try {
      this.#dialogue?.onClosing?.(close)
      this.#ending.begin()
    } catch (thrown) {
      this.#onBroken(thrown)
    }
  }

  sweep(now: number): void {
    if (this.#ending === null && !this.#isSettled) this.#settle(now)
    try {
      if (this.#ending !== null) return this.#ending.sweep(now, this.#minRate, this.#context.strain)
      const { strain } = this.#context
      const due = this.#deadlines.check(this.toUpstream, this.toClient, now, strain, this.#dialogue)
      if (due !== null) this.close(due)
      const close = this.#ending === null ? (this.#dialogue?.sweep(now) ?? this.#tooSlow(now)) : null
      if (close !== null) this.close(close)
    } catch (thrown) {
      this.#onBroken(thrown)
    }
  }

  #tooSlow(now: number): Close | null {
    if (this.#minRate === null) return null
    const isClientOwing = this.#dialogue?.isOwing(this.toUpstream) ?? false
    return this.#minRate.check(isClientOwing, this.#dialogue?.isOwing(this.toClient) ?? false, now)
  }

  #settle(now: number): void {
    if (this.#settlesAt === 0) this.#settlesAt = now + SETTLED_MS
    if (now < this.#settlesAt) return
    this.#isSettled = true
    const { tcpKeepAliveMs } = this.#options
    if (!Number.isFinite(tcpKeepAliveMs)) return
    this.#client.keepAlive(tcpKeepAliveMs)
    this.#upstream.keepAlive(tcpKeepAliveMs)
  }

  #finish(): void {
    this.#deadlines.conclude(this.toUpstream, this.toClient, this.#context.clock.now())
    this.#leave()
    this.#ending?.conclude()
    this.#connection.end ??=
      this.#dialogue?.concluded?.('answered by FIN alone') ??
      makeClose('eof', this.#firstEnded ?? 'sidegate', 'relay')
    this.#context.onClosed(this.#connection)
  }

  #leave(): void {
    this.#state = 'closed'
    this.toUpstream.leave()
    this.toClient.leave()
    this.#context.sweep.delete(this)
  }
}
