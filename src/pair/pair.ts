// A pair: two halves over two endpoints, and one Close. It ends as one.
//
//     client  --> toUpstream (Half) -->  upstream        open      both directions flow
//     client  <-- toClient   (Half) <--  upstream        lingering one source sent FIN; it was passed on, the other half goes on
//                                                        closing   `close` was called: each side is parted from in its manner
//     any end --> close(Close), the first wins           closed    both descriptors are gone; nothing of the pair is left
//
// The pair never dials. Whoever makes it gives both endpoints away.

import type { Swept } from '../core/clock.ts'
import { closeFromError, isForced, isPatient, makeClose, type Close, type PeerSide } from '../core/close.ts'
import type { Connection, ConnectionOwner, Direction } from '../core/connection.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'
import { bugDetail, InvariantError } from '../core/errors.ts'
import type { Wait } from '../core/wait.ts'
import { turnsOf } from '../core/turns.ts'
import { Deadlines } from './deadlines.ts'
import type { Dialogue } from './dialogue.ts'
import { Half } from './half.ts'
import type { MeterOwner } from '../limits/meter.ts'
import type { MinRate } from '../limits/min-rate.ts'
import { limitHalves } from './limited.ts'
import { isOwed } from './owed.ts'
import type { PairContext, PairOptions } from './pair-options.ts'
import { partingManner } from './parting-manner.ts'
import { describePair } from './waits.ts'

export type { PairContext, PairOptions } from './pair-options.ts'

/** A pair of this age is probed from now on. A reconnect storm of short-lived ones is spared the system calls. */
const SETTLED_MS = 1000

/** Who was told goodbye and has not answered for so long gets FIN as well: there are services that know no other end. */
const ANSWER_MS = 1000

type State = 'open' | 'lingering' | 'closing' | 'closed'

export class Pair implements EndpointOwner, ConnectionOwner, MeterOwner, Swept {
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
  #closesBy = Number.POSITIVE_INFINITY
  #answersBy = Number.POSITIVE_INFINITY
  /** The peer that sent FIN first: the side of an `eof`. */
  #firstEnded: PeerSide | null = null
  #lastWord: Half | null = null

  constructor(connection: Connection, client: Endpoint, upstream: Endpoint, options: PairOptions, context: PairContext, dialogue: Dialogue | null) {
    const { clock, sweep, random } = context
    this.#connection = connection
    this.#client = client
    this.#upstream = upstream
    this.#dialogue = dialogue
    this.#options = options
    const now = clock.now()
    this.#settlesAt = now + SETTLED_MS
    this.#context = context
    const half = { buffers: options.buffers, turns: turnsOf(clock), owner: this }
    this.toUpstream = new Half('to_upstream', client, upstream, connection.toUpstream, half, dialogue)
    this.toClient = new Half('to_client', upstream, client, connection.toClient, { ...half, buffers: options.toClientBuffers ?? options.buffers }, dialogue)
    this.#deadlines = new Deadlines(options.deadlines, now, random())
    if (context.limits !== undefined) this.#minRate = limitHalves(this, connection, context.limits, options.buffers.readBytes)
    connection.owner = this
    connection.phase = 'relay'
    client.owner = this
    upstream.owner = this
    sweep.add(this)
  }

  /** Starts to relay; `early` is what each side had sent before the pair was made. */
  start(earlyFromClient: Buffer, earlyFromUpstream: Buffer): void {
    this.#startHalf(this.toClient, earlyFromUpstream)
    this.#startHalf(this.toUpstream, earlyFromClient)
  }

  #startHalf(half: Half, early: Buffer): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    if (early.length === 0 || this.onBytes(half.source, early, early.length)) half.source.resume()
    else half.source.pause()
  }

  /** Goes on with another upstream, perhaps none; the one before is somebody else's from here on. For a dialogue between two messages. */
  turnTo(upstream: Endpoint): void {
    this.#upstream = upstream
    this.#isSettled = false
    this.#settlesAt = 0
    upstream.owner = this
    this.toUpstream.writeTo(upstream)
    this.toClient.readFrom(upstream)
  }

  /** Gives the client away to another protocol: the pair is over, and nobody is told. */
  giveAway(): Endpoint {
    this.#leave()
    return this.#client
  }

  queued(side: PeerSide): number {
    return (side === 'client' ? this.#client : this.#upstream).queued + this.assembling(side)
  }

  assembling(side: PeerSide): number {
    if (side === 'client') return this.#client.assembling ?? 0
    return (this.#upstream.assembling ?? 0) + (this.#dialogue?.held ?? 0)
  }

  takenAt(side: PeerSide): number {
    // What is being parted from has `closeMs`, and is not looked at meanwhile.
    const now = this.#context.clock.now()
    return this.#state === 'closing' ? now : this.#deadlines.takenAt(side, now)
  }

  isPaused(direction: Direction): boolean {
    return (direction === 'to_upstream' ? this.toUpstream : this.toClient).isBackpressured
  }

  quietMs(now: number): number {
    return this.#dialogue?.isAtRest === false ? 0 : now - this.#deadlines.activeAt
  }

  isOwed(): boolean {
    return (this.#state === 'open' || this.#state === 'lingering') && isOwed(this.toUpstream, this.toClient, this.#lastWord, this.#dialogue)
  }

  activeAt(): number {
    return this.#deadlines.activeAt
  }

  describe(): Wait {
    const { toUpstream, toClient } = this
    const next = this.#deadlines.next(toUpstream, toClient, this.#dialogue)
    const dialogue = this.#dialogue?.describe?.() ?? null
    const wait = describePair({ state: this.#state, toUpstream, toClient, next, minRate: this.#minRate?.next(toUpstream, toClient) ?? null, dialogue, end: this.#connection.end, closesBy: this.#closesBy })
    const isAtRest = this.#dialogue?.isAtRest
    return isAtRest === undefined || this.#state !== 'open' ? wait : { ...wait, state: isAtRest ? 'idle' : 'busy' }
  }

  onBytes(endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    const half = endpoint === this.#client ? this.toUpstream : this.toClient
    this.#lastWord = half
    try {
      const mayRead = this.#state === 'closing' ? half.hear(bytes, length) : half.relay(bytes, length)
      // The dialogue may have given it away meanwhile: it is not ours to pause.
      return mayRead || endpoint !== half.source
    } catch (error) {
      this.#onBroken(error)
      return true
    }
  }

  /** A broken invariant, here or in the dialogue, ends this pair and no other. */
  #onBroken(error: unknown): void {
    if (!(error instanceof InvariantError)) throw error
    this.onBroken(error)
  }

  onBroken(error: unknown): void {
    if (this.#state !== 'closing') return this.close(makeClose('internal_error', 'sidegate', 'relay', bugDetail(error)))
    const end = this.#connection.end!
    this.#connection.end = { ...end, detail: `${end.detail ?? end.reason}; then internal_error: ${bugDetail(error)}` }
    this.#giveUp()
  }

  onTurn(half: Half): void {
    try {
      if (this.#state !== 'closing' && this.#state !== 'closed') half.onTurn()
      if (half.isEndDue) this.onEnd(half.source)
    } catch (error) {
      this.#onBroken(error)
    }
  }

  onEnd(endpoint: Endpoint): void {
    const half = endpoint === this.#client ? this.toUpstream : this.toClient
    if (half.hasEnded || this.#state === 'closed' || half.putsEndOff()) return
    half.hasEnded = true
    if (this.#state === 'closing') return endpoint.end()
    try {
      const close = this.#dialogue?.onSourceEnd(half) ?? null
      if (close === 'kept') return
      if (close !== null) return this.close(close)
    } catch (error) {
      return this.#onBroken(error)
    }
    this.#firstEnded ??= endpoint.side
    this.#state = 'lingering'
    half.sink.end()
  }

  onProgress(endpoint: Endpoint): void {
    if (endpoint === this.#client) this.toClient.onSinkProgress()
    else this.toUpstream.onSinkProgress()
  }

  onClosed(endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    if (this.#state === 'closed') return
    if (this.#state !== 'closing') {
      if (endpoint === this.#upstream && this.#dialogue?.onUpstreamClosed?.(error) === true) return
      this.onTurn((endpoint === this.#client ? this.toUpstream : this.toClient).withoutWaiting())
      if (error !== null) this.close(closeFromError(error, endpoint.side, 'relay'))
      else if (!this.toUpstream.hasEnded || !this.toClient.hasEnded) this.close(makeClose('aborted', endpoint.side, 'relay', 'closed without FIN'))
    }
    if (this.#client.isClosed && this.#upstream.isClosed) this.#finish()
  }

  /** The only way a pair ends before both peers have ended by themselves. The first call wins, unless its end can wait and has to. */
  close(close: Close): void {
    if (this.#state === 'closing' && isForced(close)) this.#giveUp()
    if (this.#state === 'closing' || this.#state === 'closed') return
    if (isPatient(close) && this.#dialogue?.postpone?.(close) === true) return
    this.#connection.isCut = close.side === 'sidegate' && this.isOwed()
    this.#state = 'closing'
    this.#connection.end = this.#dialogue?.explain?.(close) ?? close
    this.#connection.phase = 'close'
    const now = this.#context.clock.now()
    const { closeMs } = this.#options.deadlines.current
    this.#closesBy = now + closeMs
    this.#answersBy = now + Math.min(ANSWER_MS, closeMs / 2)
    this.toUpstream.leave()
    this.toClient.leave()
    try {
      this.#dialogue?.onClosing?.(close)
      this.#part(this.toClient, close)
      this.#part(this.toUpstream, close)
    } catch (error) {
      this.#onBroken(error)
    }
  }

  /** Parts from the peer that `half` sends to. */
  #part(half: Half, close: Close): void {
    const peer = half.sink
    if (peer.isClosed) return
    const farewell = this.#dialogue?.farewell(half, close) ?? 'nothing'
    const manner = partingManner(half, close, farewell)
    if (manner === 'flush' && farewell === 'awaited') peer.resume()
    else peer.close(manner)
  }

  sweep(now: number): void {
    if (this.#state === 'closing') return this.#sweepClosing(now)
    if (!this.#isSettled) this.#settle(now)
    try {
      const close = this.#deadlines.check(this.toUpstream, this.toClient, now, this.#context.strain, this.#dialogue) ?? this.#dialogue?.sweep(now) ?? this.#minRate?.check(this.toUpstream, this.toClient, this.#dialogue, now) ?? null
      if (close !== null) this.close(close)
    } catch (error) {
      this.#onBroken(error)
    }
  }

  #sweepClosing(now: number): void {
    if (now >= this.#closesBy) return this.#giveUp()
    if (now >= this.#answersBy) for (const peer of [this.#client, this.#upstream]) if (!peer.isClosed) peer.end()
  }

  /** What could not be flushed in time is given up; RST frees the kernel's queue too. */
  #giveUp(): void {
    this.#client.close('reset')
    this.#upstream.close('reset')
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
    this.#leave()
    this.#connection.end ??= makeClose('eof', this.#firstEnded ?? 'sidegate', 'relay')
    this.#context.onClosed(this.#connection)
  }

  #leave(): void {
    this.#state = 'closed'
    this.toUpstream.leave()
    this.toClient.leave()
    this.#context.sweep.delete(this)
  }
}
