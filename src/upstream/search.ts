// One connection's search for a place at its upstream, before a byte of it was sent there.
//
//     start --> choose --> placed --(the dial fails)--> retry --> choose another ... at most three, then the last failure
//                 |
//                 +--> waits for a place (upstream.queueTimeout), or for the first answer of DNS (deadlines.connect)
//
// Names and dials share `deadlines.connect`, waiting for a place does not count. A dial that is not the last one gets half
// of what is left: an address that swallows packets does not take the time that another one needs.

import type { Swept } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { releasePlace } from '../core/connection.ts'
import type { Connection } from '../core/connection.ts'
import { bugDetail } from '../core/errors.ts'
import { UpstreamTarget } from './target.ts'
import type { Upstream, Waiting } from './upstream.ts'

/** Gets `onPlace` for each place to try, and `onNoPlace` once at the end if none will do. Either may come before `start` returns. */
export interface Seeker {
  /** The place is taken in the name of the connection. It may be dialled for `connectMs`. */
  onPlace(target: UpstreamTarget, connectMs: number): void
  onNoPlace(close: Close): void
}

/** Addresses that a connection tries. */
const MAX_TRIES = 3
/** Failures that are ours: another address would not help. */
const ours = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])
const NONE: readonly UpstreamTarget[] = []

export class Search implements Swept, Waiting {
  readonly #upstream: Upstream
  readonly #connection: Connection
  readonly #seeker: Seeker
  #state: 'looking' | 'placed' | 'waiting' | 'over' = 'looking'
  #tried: UpstreamTarget[] | null = null
  #target: UpstreamTarget | null = null
  /** Of `deadlines.connect`. */
  #leftMs: number
  /** Since when it has waited, or been placed. */
  #since = 0
  #waitsFor: 'full' | 'unresolved' = 'full'
  #failure: Close | null = null
  readonly #preferred: UpstreamTarget | null

  /** `preferred` is where it goes if there is room. */
  constructor(upstream: Upstream, connection: Connection, seeker: Seeker, preferred: UpstreamTarget | null = null) {
    this.#preferred = preferred
    this.#upstream = upstream
    this.#connection = connection
    this.#seeker = seeker
    this.#leftMs = upstream.options.deadlines.current.connectMs
  }

  start(): void {
    this.#look()
  }

  /** The dial succeeded: the place is the connection's from here on. */
  succeed(): void {
    this.#state = 'over'
    this.#target?.onDialled()
  }

  /** The dial failed: looks for a place at another address. */
  retry(close: Close): void {
    if (this.#state !== 'placed') return
    const { clock } = this.#upstream.context
    const target = this.#target!
    this.#leftMs -= clock.now() - this.#since
    this.#state = 'looking'
    this.#failure = close
    const isOurs = ours.has(close.detail ?? '')
    if (!isOurs) target.onDialFailed(close.detail ?? close.reason, clock.now(), clock.wall())
    ;(this.#tried ??= []).push(target)
    releasePlace(this.#connection)
    if (isOurs || this.#tried.length >= MAX_TRIES || this.#leftMs <= 0) return this.#end(close)
    this.#look()
  }

  /** Gives up; a place that was taken stays the connection's to release. */
  cancel(): void {
    this.#stopWaiting()
    this.#state = 'over'
  }

  lookAgain(): boolean {
    const found = this.#upstream.choose(this.#tried ?? NONE, this.#preferred)
    if (found === 'full' || found === 'unresolved') {
      this.#waitFor(found)
      return false
    }
    this.#stopWaiting()
    this.#go(found)
    return found instanceof UpstreamTarget
  }

  sweep(now: number): void {
    if (this.#waitsFor === 'full') {
      if (now - this.#since >= this.#upstream.options.queueTimeoutMs) this.#giveUp('no_upstream', 'no room in time (upstream.maxConnections, upstream.queueTimeout)')
    } else if (now - this.#since >= this.#leftMs) {
      this.#giveUp('connect_timeout', 'name resolution (deadlines.connect)')
    }
  }

  onBroken(error: unknown): void {
    this.#stopWaiting()
    this.#end(makeClose('internal_error', 'sidegate', 'connect', bugDetail(error)))
  }

  #giveUp(reason: Close['reason'], detail: string): void {
    this.#stopWaiting()
    this.#end(makeClose(reason, 'upstream', 'connect', detail))
  }

  #look(): void {
    const found = this.#upstream.choose(this.#tried ?? NONE, this.#preferred)
    if (found !== 'full' && found !== 'unresolved') return this.#go(found)
    this.#state = 'waiting'
    this.#waitsFor = found
    this.#since = this.#upstream.context.clock.now()
    this.#upstream.wait(this)
    this.#upstream.context.sweep.add(this)
  }

  /** It waited for a name, and now for room; the time for names counts. */
  #waitFor(found: 'full' | 'unresolved'): void {
    if (found === this.#waitsFor) return
    const now = this.#upstream.context.clock.now()
    if (this.#waitsFor === 'unresolved') this.#leftMs -= now - this.#since
    this.#waitsFor = found
    this.#since = now
  }

  #stopWaiting(): void {
    if (this.#state !== 'waiting') return
    if (this.#waitsFor === 'unresolved') this.#leftMs -= this.#upstream.context.clock.now() - this.#since
    this.#upstream.leave(this)
    this.#upstream.context.sweep.delete(this)
    this.#state = 'looking'
  }

  #go(found: UpstreamTarget | Close): void {
    if (!(found instanceof UpstreamTarget)) return this.#end(this.#failure ?? found)
    const tried = this.#tried ?? NONE
    const { clock } = this.#upstream.context
    this.#state = 'placed'
    this.#target = found
    this.#since = clock.now()
    found.take(this.#connection, this.#since)
    const isLast = tried.length + 1 >= MAX_TRIES || !this.#upstream.hasOther(tried, found)
    this.#seeker.onPlace(found, isLast ? this.#leftMs : this.#leftMs / 2)
  }

  #end(close: Close): void {
    this.#state = 'over'
    this.#seeker.onNoPlace(close)
  }
}
