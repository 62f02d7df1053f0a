// The time before there is a pair: a client that may send early, an upstream being dialled, one deadline.
//
//     waiting --dial()--> searching --onPlace--> dialling --onDialled--> connected --pair()--> a Pair owns both ends
//                             ^-------onDialFailed---+
//        any of these --close()--> closing (answer flushed, bounded) --> closed
//
// Bytes that the client sends meanwhile are kept, within a bound, and read so that we notice its FIN or RST:
// a client that leaves takes its dial with it. One that has sent more, or has no room, is not read: the sweep
// looks whether it is there.

import type { Swept } from '../core/clock.ts'
import { closeFromError, isForced, makeClose, type Close, type PeerSide } from '../core/close.ts'
import { releasePlace, type Connection, type ConnectionOwner, type Observer } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { EarlyBytes } from './early.ts'
import type { OpeningSteps, PairEnds } from './steps.ts'
import { bugDetail, InvariantError } from '../core/errors.ts'
import { describeManner, mannerFor } from '../core/manner.ts'
import type { Farewell } from '../core/manner.ts'
import type { Dialogue } from '../pair/dialogue.ts'
import { Pair, type PairContext, type PairOptions } from '../pair/pair.ts'
import { dialEndpoint } from '../upstream/dial.ts'
import type { Dial, Dialler, EndpointDialOptions } from '../upstream/dial.ts'
import { proxyHeader, type ProxyVersion } from '../upstream/proxy-header.ts'
import { Search, type Seeker } from '../upstream/search.ts'
import type { UpstreamTarget } from '../upstream/target.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { noteEnding, noteFailedDial, noteTold } from '../core/timeline.ts'
import type { Wait } from '../core/wait.ts'
import { describeOpening } from './waits.ts'

export interface ServeOptions {
  upstream: Upstream
  dial: Omit<EndpointDialOptions, 'target' | 'from' | 'connectMs' | 'chosen'>
  /** The PROXY header that names the client to the upstream, before everything else. */
  proxyProtocol: ProxyVersion | null
  pair: PairOptions
}

export interface ServeContext extends PairContext {
  observer: Observer
}

interface OpeningParts {
  options: ServeOptions
  context: ServeContext
  steps: OpeningSteps
}

/** Judged at each sweep: a reload reaches clients that wait already. */
type Bound = () => { ms: number; close: Close }

type State = 'waiting' | 'closing' | 'closed' | 'paired'

export class Opening implements Dialler, Seeker, ConnectionOwner, Swept {
  readonly connection: Connection
  readonly context: ServeContext
  readonly #client: Endpoint
  readonly #options: ServeOptions
  readonly #steps: OpeningSteps
  readonly early: EarlyBytes
  #upstream: Endpoint | null = null
  #search: Search | null = null
  #dial: Dial | null = null
  #state: State = 'waiting'
  #hasClientEnded = false
  #isUnread = false
  #isReported = false
  #due: () => { at: number; close: Close } | null = () => null

  constructor(connection: Connection, client: Endpoint, { options, context, steps }: OpeningParts) {
    this.connection = connection
    this.context = context
    this.#client = client
    this.#options = options
    this.#steps = steps
    this.early = new EarlyBytes(connection.toUpstream, context.strain.early)
    connection.owner = this
    client.owner = this
    context.sweep.add(this)
    client.resume()
  }

  /** Reports the opening, once, when its protocol is known or at its end, so that opens and closes match. */
  report(): void {
    if (this.#isReported) return
    this.#isReported = true
    this.context.observer.onOpened(this.connection)
  }

  get isWaiting(): boolean {
    return this.#state === 'waiting'
  }

  /** Bounds the time from `since` (by default now) to the next `expect` or the pair, whatever trickles in. */
  expect(bound: Bound, since = this.context.clock.now()): void {
    this.#due = () => {
      const { ms, close } = bound()
      return { at: since + ms, close }
    }
  }

  dial(): void {
    this.connection.phase = 'connect'
    this.#due = () => null
    this.#isUnread ||= !this.early.reserve(this.#options.pair.buffers.readBytes)
    if (this.#isUnread) this.#client.pause()
    this.#search = new Search(this.#options.upstream, this.connection, this)
    this.#search.start()
  }

  onPlace(target: UpstreamTarget, connectMs: number): void {
    this.connection.upstreamAddress = target.name
    const { dial, proxyProtocol } = this.#options
    const head = proxyProtocol === null ? null : proxyHeader(proxyProtocol, this.connection)
    const chosen = this.connection.tls?.protocol ?? null
    this.#dial = dialEndpoint(
      { ...dial, target: target.address, from: target.from, connectMs, chosen },
      this.context,
      this,
      head,
    )
  }

  onNoPlace(close: Close): void {
    this.#search = null
    if (close.reason === 'no_upstream') this.context.observer.onConnectFailed(this.connection, close)
    this.close(close)
  }

  /**
   * Keeps the client's bytes from before the pair, in order, for the upstream; closes where there is no room.
   */
  keep(bytes: Buffer, start: number, end: number): void {
    if (this.early.keep(bytes, start, end, this.context.clock.now())) return
    this.close(makeClose('overloaded', 'sidegate', this.connection.phase, 'memory.buffered'))
  }

  /** Sends to the upstream; counted as sent, since it is part of the conversation. */
  sendUpstream(bytes: Buffer): void {
    this.connection.toUpstream.sent += bytes.length
    this.#upstream!.write(bytes, 0, bytes.length)
  }

  sendClient(bytes: Buffer): void {
    this.connection.toClient.sent += bytes.length
    this.#client.write(bytes, 0, bytes.length)
  }

  /**
   * The bytes that `send` writes to the client go out together: a head, and the bytes that follow at once.
   */
  together(send: () => void): void {
    this.#client.cork()
    send()
    this.#client.uncork()
  }

  /** Hands both endpoints to a Pair. `fromUpstream` came after its head; `attach` sees the unstarted pair. */
  pair(
    dialogue: Dialogue | null,
    fromUpstream: Buffer,
    attach?: (pair: Pair) => void,
    ends?: PairEnds,
  ): void {
    const endpoints = ends?.wrap(this.#client, this.#upstream!) ?? {
      client: this.#client,
      upstream: this.#upstream!,
    }
    const options = ends?.options ?? this.#options.pair
    const pair = new Pair(this.connection, endpoints, { options, context: this.context, dialogue })
    this.#state = 'paired'
    this.context.sweep.delete(this)
    attach?.(pair)
    pair.start(this.early.takeAll(), fromUpstream)
    if (this.#hasClientEnded) pair.onEnd(endpoints.client)
  }

  /** Hands the client over to another protocol: no pair will come of this opening. */
  giveAway(): Endpoint {
    this.#state = 'paired'
    this.context.sweep.delete(this)
    return this.#client
  }

  queued(side: PeerSide): number {
    return (side === 'client' ? this.#client.queued : (this.#upstream?.queued ?? 0)) + this.assembling(side)
  }

  isOwed(): boolean {
    return this.#state === 'waiting' && this.connection.protocol === 'tcp' && this.early.length > 0
  }

  /** Bytes that cannot go on yet: incomplete heads, and the client's bytes ahead of the pair. */
  assembling(side: PeerSide): number {
    return (side === 'upstream' ? this.early.length : 0) + (this.#steps.heldBytes?.(side) ?? 0)
  }

  /** Early bytes wait since the first of them; the client's queue is an answer of ours, with `closeMs`. */
  lastDrainAt(side: PeerSide): number {
    return side === 'upstream' && this.early.length > 0 ? this.early.since : this.context.clock.now()
  }

  isPaused(): boolean {
    return false
  }

  /** No data has moved yet. */
  activeAt(): number {
    return this.connection.openedAt
  }

  describe(): Wait {
    return (
      this.#search?.describe() ??
      describeOpening({ state: this.#state, dialBy: this.#dial?.expiresAt ?? null, deadline: this.#due() })
    )
  }
  onDialled(upstream: Endpoint, dialMs: number): void {
    this.#dial = null
    this.#search?.succeed()
    this.#search = null
    this.#upstream = upstream
    this.connection.connectedAt = this.context.clock.now()
    this.context.observer.onConnected(this.connection, dialMs)
    this.#take(() => this.#steps.onDialled(this, upstream))
  }

  onDialFailed(close: Close): void {
    this.#dial = null
    noteFailedDial(this.connection, close, this.context.clock.now())
    this.context.observer.onConnectFailed(this.connection, close)
    this.#search!.retry(close)
  }

  onBytes(endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    if (endpoint !== this.#client) {
      if (this.#state === 'waiting') this.#take(() => this.#steps.onUpstreamBytes(this, bytes, length))
      return true
    }
    if (this.#state !== 'waiting') return true
    this.#take(() => this.#steps.onClientBytes(this, bytes, length))
    // Not `highBytes - readBytes`, which by default is 0: we would not read a client that has spoken first,
    // and not see it leave. With a last read on top, at most a quarter more than `highBytes` is kept; there
    // is no other half yet.
    if (!this.isWaiting || this.early.length === 0) return true
    const isFull = this.early.length > this.#options.pair.buffers.highBytes / 4 || this.early.isOverBudget
    this.#isUnread ||= isFull
    return !isFull
  }

  /** A broken invariant in a step ends this connection alone, through its owner (perhaps a pair by now). */
  #take(step: () => void): void {
    try {
      step()
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error
      this.onBroken(error)
    }
  }

  onBroken(error: unknown): void {
    this.connection.owner!.close(
      makeClose('internal_error', 'sidegate', this.connection.phase, bugDetail(error)),
    )
  }

  onEnd(endpoint: Endpoint): void {
    if (endpoint === this.#client) {
      this.#hasClientEnded = true
      if (this.#state === 'waiting') this.#take(() => this.#steps.onClientEnd(this))
      else endpoint.end()
    } else if (this.#state === 'waiting') {
      this.close(
        makeClose('aborted', 'upstream', this.connection.phase, 'ended before its answer was complete'),
      )
    }
  }

  onProgress(): void {}

  onClosed(endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    if (this.#state === 'waiting') {
      const { phase } = this.connection
      this.close(
        error === null
          ? makeClose('aborted', endpoint.side, phase)
          : closeFromError(error, endpoint.side, phase),
      )
    }
    if (this.#client.isClosed && (this.#upstream?.isClosed ?? true)) this.#finish()
  }

  /** Ends the opening: the dial and the upstream go, the client gets the protocol's answer. */
  close(close: Close): void {
    if (this.#state === 'closing' && isForced(close)) this.#giveUp()
    if (this.#state !== 'waiting') return
    this.report()
    Object.assign(this.connection, {
      isCut: close.side === 'sidegate' && this.isOwed(),
      end: close,
      phase: 'close',
    })
    this.#state = 'closing'
    noteEnding(this.connection, close, this.context.clock.now())
    this.early.forget()
    this.#search?.cancel()
    this.#dial?.cancel()
    // It has the whole request, so its client's RST is no news that it could use, and ends services that do
    // not expect it.
    this.#part(this.#upstream, close, 'nothing', true)
    releasePlace(this.connection)
    this.expect(() => ({ ms: this.#options.pair.deadlines.current.closeMs, close }))
    const answer = this.#client.isClosed ? null : this.#steps.answer(close)
    if (answer !== null) this.sendClient(answer)
    // FIN without an answer would look like a complete, empty conversation: RST shows that there was none.
    this.#part(this.#client, close, answer !== null ? 'answered' : close.reason === 'eof' ? 'nothing' : 'cut')
    if (this.#client.isClosed && (this.#upstream?.isClosed ?? true)) this.#finish()
  }

  #part(peer: Endpoint | null, close: Close, farewell: Farewell, isWhole = false): void {
    if (peer === null) return
    const manner = mannerFor(close, peer.side, farewell, isWhole)
    const words = peer.isClosed ? null : describeManner(close, peer.side, farewell, manner)
    noteTold(this.connection, peer.side, words, this.context.clock.now())
    peer.close(manner)
  }

  sweep(now: number): void {
    if (this.#isUnread && this.#state === 'waiting' && this.#client.hasPeerLeft?.() === true)
      this.#take(() => this.#steps.onClientEnd(this))
    const due = this.#due()
    if (due === null || now < due.at) return
    if (this.#state === 'waiting') return this.close(due.close)
    this.#giveUp()
  }

  #giveUp(): void {
    this.#client.close('reset')
    this.#upstream?.close('reset')
  }

  #finish(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.context.sweep.delete(this)
    this.context.onClosed(this.connection)
  }
}
