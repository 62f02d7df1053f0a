// One connection's search for a place at its upstream, before any of its bytes are sent there.
//
//     start --> choose --> placed --(the dial fails)--> retry --> choose another ... at most three, each once: a round
//                 |           |                                     |
//                 |           +--succeed()--> over                  +--(nobody listens)--> pausing --> next round
//                 +--> waits for a place (upstream.queueTimeout), or for the first answer of DNS (deadlines.connect)
//
// Names, dials and pauses share `deadlines.connect`, and a new round begins only within `upstream.retryFor`;
// waiting for a place does not count. A round in which nobody listens at one address while the others have no
// room pauses in the queue: the seeker gets the first place that comes free, or that address once somebody
// listens there. A dial that is not the last of its round gets half of the remaining
// time: an address that swallows packets does not take the time that another one needs. Pauses are 250 ms,
// then twice that, up to a second: a restarted service is found soon, and not stormed.
//
// How a user of an upstream connection (a pair, a pool of kept connections) calls it:
//
//     const search = new Search(upstream, connection, seeker)
//     search.start()          calls `seeker.onPlace(target, connectMs)` for each place to try, and once
//                             `seeker.onNoPlace(close)` if none will do; either may come before `start` returns,
//                             and `onPlace` again after each `retry`
//     search.succeed()        the dial succeeded, or the pool had a connection: the connection owns the place,
//                             until `releasePlace`
//     search.retry(close)     the dial failed and nothing was sent: releases the place and seeks another
//     search.cancel()         the seeker left: nothing is reported any more. A place that was taken stays taken
//     search.describe()       the current wait; null while a dial is under way, which its owner describes
//
// `retry` is for failed dials only: once bytes of a request were sent, the protocol decides whether they may
// be sent again.

import type { Swept } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { releasePlace } from '../core/connection.ts'
import type { Connection } from '../core/connection.ts'
import { bugDetail } from '../core/errors.ts'
import { earliest } from '../core/wait.ts'
import type { NextDeadline, Wait } from '../core/wait.ts'
import { isMomentary, isOurs } from './failures.ts'
import { UpstreamTarget } from './target.ts'
import type { Waiting } from './queue.ts'
import type { Upstream } from './upstream.ts'

/**
 * Gets `onPlace` for each place to try, and one `onNoPlace` at the end if none will do. Either may come
 * before `start` returns.
 */
export interface Seeker {
  /** The place is taken in the connection's name. The seeker may dial it for `connectMs`. */
  onPlace(target: UpstreamTarget, connectMs: number): void
  onNoPlace(close: Close): void
}

/** Addresses that a connection tries in one round. */
const MAX_TRIES = 3
const FIRST_PAUSE_MS = 250
const LAST_PAUSE_MS = 1000
/** `upstream.retryFor` where it is not set and its default, `deadlines.connect`, is off. */
const RETRY_MS = 5000
const NONE: readonly UpstreamTarget[] = []
const noRoom: Close = {
  ...makeClose(
    'no_upstream',
    'upstream',
    'connect',
    'no room in time (upstream.maxConnections, upstream.queueTimeout)',
  ),
  isFull: true,
}
const tooLate = makeClose('connect_timeout', 'upstream', 'connect', 'name resolution (deadlines.connect)')

export class Search implements Swept, Waiting {
  readonly #upstream: Upstream
  readonly #connection: Connection
  readonly #seeker: Seeker
  #state: 'looking' | 'placed' | 'waiting' | 'pausing' | 'over' = 'looking'
  /** The targets that this round has tried. */
  #tried: UpstreamTarget[] | null = null
  #target: UpstreamTarget | null = null
  /** The remaining time of `deadlines.connect`, of `upstream.retryFor` and of `upstream.queueTimeout`. */
  #leftMs: number
  #retryLeftMs: number
  #queueLeftMs: number
  /** Since when it has been in its state. */
  #since = 0
  #waitsFor: 'full' | 'unresolved' = 'full'
  #failure: Close | null = null
  /** A dial of this round found nobody listening. */
  #isMomentary = false
  #pauseMs = FIRST_PAUSE_MS
  #endPause: (() => void) | null = null

  constructor(upstream: Upstream, connection: Connection, seeker: Seeker) {
    this.#upstream = upstream
    this.#connection = connection
    this.#seeker = seeker
    const { deadlines, retryForMs, queueTimeoutMs } = upstream.options
    this.#leftMs = deadlines.current.connectMs
    this.#retryLeftMs = retryForMs ?? (Number.isFinite(this.#leftMs) ? this.#leftMs : RETRY_MS)
    this.#queueLeftMs = queueTimeoutMs
  }

  get home(): Upstream {
    return this.#upstream
  }

  start(): void {
    this.#look()
  }

  /** The dial succeeded: the connection owns the place from here on. */
  succeed(): void {
    this.#state = 'over'
    this.#target?.onDialled()
  }

  /** The dial failed: looks for a place at another address, and after the round at all of them again. */
  retry(close: Close): void {
    if (this.#state !== 'placed') return
    const { clock } = this.#upstream.context
    const target = this.#target!
    this.#spend()
    this.#state = 'looking'
    this.#failure = close
    this.#isMomentary ||= isMomentary(close)
    if (!isOurs(close)) target.onDialFailed(close.detail ?? close.reason, clock.now(), clock.wall())
    ;(this.#tried ??= []).push(target)
    releasePlace(this.#connection)
    if (isOurs(close) || this.#leftMs <= 0) this.#end(close)
    else if (this.#tried.length >= MAX_TRIES) this.#endRound(close)
    else this.#look()
  }

  /** Gives up. A place that was taken is still the connection's to release. */
  cancel(): void {
    this.#stopWaiting()
    this.#endPause?.()
    this.#endPause = null
    this.#state = 'over'
  }

  lookAgain(): boolean {
    const found = this.#choose()
    if (found === 'full' || found === 'unresolved') {
      this.#waitFor(found)
      return false
    }
    this.#stopWaiting()
    this.#go(found)
    return found instanceof UpstreamTarget
  }

  sweep(now: number): void {
    if (now < this.#due.at) return
    this.#stopWaiting()
    this.#end(this.#waitsFor === 'full' ? noRoom : tooLate)
  }

  /** When the wait or the pause comes to its limit. */
  get #due(): NextDeadline {
    const side = 'upstream'
    if (this.#state === 'pausing') {
      const at = this.#since + Math.min(this.#retryLeftMs, this.#leftMs)
      return { key: 'upstream.retryFor', reason: this.#failure!.reason, side, at }
    }
    if (this.#waitsFor === 'full')
      return {
        key: 'upstream.queueTimeout',
        reason: 'no_upstream',
        side,
        at: this.#since + this.#queueLeftMs,
      }
    return { key: 'deadlines.connect', reason: 'connect_timeout', side, at: this.#since + this.#leftMs }
  }

  onBroken(error: unknown): void {
    this.#stopWaiting()
    this.#end(makeClose('internal_error', 'sidegate', 'connect', bugDetail(error)))
  }

  describe(): Wait | null {
    if (this.#state !== 'pausing' && this.#state !== 'waiting') return null
    return { state: 'waiting', waitsFor: this.#awaited, next: earliest([this.#due]) }
  }

  get #awaited(): string {
    if (this.#state === 'pausing')
      return `the upstream to accept again (${this.#failure!.detail ?? this.#failure!.reason})`
    return this.#waitsFor === 'full'
      ? 'a place at the upstream'
      : 'the first answer for the name of the upstream'
  }

  #look(): void {
    const found = this.#upstream.isBespoken && this.#queueLeftMs > 0 ? 'full' : this.#choose()
    if (found !== 'full' && found !== 'unresolved') return this.#go(found)
    this.#state = 'waiting'
    this.#waitsFor = found
    this.#since = this.#upstream.context.clock.now()
    this.#upstream.wait(this)
    this.#upstream.context.sweep.add(this)
    if (found === 'full' && this.#isMomentary && this.#retryLeftMs > 0)
      this.#endPause = this.#upstream.context.clock.after(this.#nextPauseMs(), () => this.#lookAnew())
  }

  /** Still in the queue, it may also try again the addresses of the last round. */
  #lookAnew(): void {
    this.#forgetRound()
    this.lookAgain()
  }

  /** A target with its place taken, or another result of `Upstream.choose`. */
  #choose(): ReturnType<Upstream['choose']> {
    const { context, maxConnections } = this.#upstream
    const found = this.#upstream.choose(this.#tried ?? NONE)
    if (!(found instanceof UpstreamTarget)) return found
    return found.take(this.#connection, context.clock.now(), maxConnections) ? found : 'full'
  }

  /** Subtracts the time since the last change of state from that for names, dials and pauses. */
  #spend(): void {
    const ms = this.#upstream.context.clock.now() - this.#since
    this.#leftMs -= ms
    this.#retryLeftMs -= ms
  }

  /** The search waited for a name and now waits for room, or vice versa; each wait has its own time. */
  #waitFor(found: 'full' | 'unresolved'): void {
    if (found === this.#waitsFor) return
    this.#leaveWait()
    this.#waitsFor = found
    this.#since = this.#upstream.context.clock.now()
  }

  #leaveWait(): void {
    if (this.#waitsFor === 'unresolved') return this.#spend()
    const ms = this.#upstream.context.clock.now() - this.#since
    this.#queueLeftMs -= ms
    if (this.#failure !== null) this.#retryLeftMs -= ms
  }

  #stopWaiting(): void {
    if (this.#state !== 'waiting') return
    this.#leaveWait()
    this.#endPause?.()
    this.#endPause = null
    this.#upstream.leave(this)
    this.#upstream.context.sweep.delete(this)
    this.#state = 'looking'
  }

  #go(found: UpstreamTarget | Close): void {
    if (!(found instanceof UpstreamTarget)) {
      // Every address was tried.
      if (this.#tried !== null && this.#tried.length > 0) return this.#endRound(this.#failure ?? found)
      return this.#end(this.#failure ?? found)
    }
    const tried = this.#tried ?? NONE
    this.#state = 'placed'
    this.#target = found
    this.#since = this.#upstream.context.clock.now()
    const isLast = tried.length + 1 >= MAX_TRIES || !this.#upstream.hasOther(tried, found)
    this.#seeker.onPlace(found, isLast ? this.#leftMs : this.#leftMs / 2)
  }

  /** Starts another round after a pause, if a service may listen by then. */
  #endRound(close: Close): void {
    const { clock } = this.#upstream.context
    if (!this.#isMomentary || this.#retryLeftMs <= 0) return this.#end(close)
    const ms = this.#nextPauseMs()
    if (ms >= this.#leftMs) return this.#end(close)
    this.#state = 'pausing'
    this.#since = clock.now()
    this.#endPause = clock.after(ms, () => this.#beginRound())
  }

  #nextPauseMs(): number {
    const ms = Math.min(this.#pauseMs * (0.9 + 0.2 * this.#upstream.context.random()), this.#retryLeftMs)
    this.#pauseMs = Math.min(this.#pauseMs * 2, LAST_PAUSE_MS)
    return ms
  }

  #beginRound(): void {
    this.#forgetRound()
    this.#spend()
    this.#state = 'looking'
    this.#look()
  }

  #forgetRound(): void {
    this.#endPause = null
    this.#tried = null
    this.#isMomentary = false
  }

  #end(close: Close): void {
    this.#state = 'over'
    this.#seeker.onNoPlace(close)
  }
}
