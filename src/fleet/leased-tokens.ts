// A bucket of the whole fleet as one gate sees it: tokens that were drawn ahead, from which it lets through at once. What is drawn at a
// time is the lease; one of which a quarter is left is drawn anew, and one that would not last otherwise when half of it is.
//
//     first contact   nothing is drawn yet: up to one lease is let through all the same, and told with the first draw
//     empty           nothing is let through until Redis has some; asked again when it said that there will be
//     unused for 2 s  what is left is given back
//     a gate more     what is more than the smaller lease is given back
//
// The bound: what Redis gives is rate x time + burst for all gates together. A gate lets through more than that by what it held at the
// beginning or has not told yet, which is one lease; and by `spend`, as bucket.ts tells.

import type { BucketRate, Tokens } from '../core/cells.ts'
import { Bucket } from '../limits/bucket.ts'
import { SOON_MS } from './lease.ts'
import type { FleetState, Lease } from './lease.ts'
import type { Answer, Command } from './store.ts'

/** A lease lasts at least that long at the full rate, so that Redis is asked no more than forty times a second. */
const LEASE_MS = 50
const LASTS_MS = 1.2 * SOON_MS
const IDLE_MS = 2000
/** Where Redis says that there are tokens soon, it is not asked for less than this. */
const MIN_PAUSE_MS = 10
const MAX_PAUSE_MS = 1000
/** What one read may bring; who asks for more asks for several. */
const MAX_NEED = 65_536

export class LeasedTokens implements Tokens, Lease {
  readonly #rate: BucketRate
  readonly #fleet: FleetState
  /** Drawn and not spent; less than nothing is spent and not told. */
  #tokens = 0
  /** Redis has answered since this began. */
  #isKnown = false
  /** The most that was asked for at once. */
  #need = 1
  #asked: { told: number; back: number } | null = null
  /** It is to be asked soon. */
  #isPending = false
  #askAgainAt = Number.NEGATIVE_INFINITY
  #usedAt: number
  #isReturning = false
  #isForgotten = false
  #drawnAt: number | null = null
  #local: { bucket: Bucket; gates: number } | null = null

  constructor(rate: BucketRate, fleet: FleetState, now: number) {
    this.#rate = rate
    this.#fleet = fleet
    this.#usedAt = now
  }

  /**
   * Tokens that are drawn at a time: the leases of all gates and of one more are the burst, unless one would hardly last or hold a read.
   * The one more is for a gate that has just begun: otherwise its first clients find that others hold what nobody has used.
   */
  get size(): number {
    const { perSec, burst } = this.#rate
    const some = Math.max(1, (perSec * LEASE_MS) / 1000, burst / (this.#fleet.gates + 1))
    return Math.max(this.#need, Math.ceil(Math.min(burst, some)))
  }

  has(amount: number, now: number): boolean {
    const { mode } = this.#fleet
    if (mode === 'local') return this.#share(amount, now).has(amount, now)
    if (mode === 'open' || this.#free >= amount) return true
    this.#want(amount, now)
    return false
  }

  take(amount: number, now: number): boolean {
    const { mode } = this.#fleet
    if (mode === 'local') return this.#share(amount, now).take(amount, now)
    if (mode === 'open') return true
    if (this.#free < amount) {
      this.#want(amount, now)
      return false
    }
    this.#spend(amount, now)
    return true
  }

  spend(amount: number, now: number): void {
    const { mode } = this.#fleet
    if (mode === 'local') this.#share(amount, now).spend(amount, now)
    else if (mode !== 'open') this.#spend(amount, now)
  }

  isFull(now: number): boolean {
    if (this.#local !== null && !this.#local.bucket.isFull(now)) return false
    return this.#tokens === 0 && this.#asked === null
  }

  get isUnsure(): boolean {
    return this.#fleet.mode === 'leased' && (this.#isPending || this.#asked !== null)
  }

  request(now: number): Omit<Command, 'key'> | null {
    const { perSec, burst } = this.#rate
    this.#isPending = false
    if (this.#asked !== null) return null
    const told = Math.max(0, -this.#tokens)
    const kept = this.#isReturning ? 0 : this.size
    const back = Math.max(0, this.#tokens - kept)
    const want = Math.max(0, kept - Math.max(0, this.#tokens))
    if (told + back + want === 0) return null
    this.#asked = { told, back }
    this.#tokens -= back
    this.#askAgainAt = now
    return { script: 'draw', args: [1e6 / perSec, Math.max(burst, this.#need), told, back, want] }
  }

  answer([drawn, waitMs]: Answer, now: number): void {
    this.#tokens += Number(drawn) + (this.#asked?.told ?? 0)
    this.#asked = null
    this.#isKnown = true
    if (Number(drawn) > 0) {
      if (this.#drawnAt !== null) this.#fleet.onDrawn(now - this.#drawnAt)
      this.#drawnAt = now
    }
    // A full answer may be followed by the next question at once.
    const pauseMs = Number(waitMs) > 0 ? Math.max(MIN_PAUSE_MS, Number(waitMs)) : 0
    this.#askAgainAt = now + Math.min(pauseMs, MAX_PAUSE_MS)
  }

  lose(): void {
    // If it was heard, it is counted twice at the most for less; if not, it is told again.
    this.#asked = null
  }

  tend(now: number): boolean {
    if (this.#asked !== null) return false
    if (now - this.#usedAt < IDLE_MS) {
      if (this.#fleet.mode === 'leased' && this.#tokens > this.size) this.#fleet.ask(this)
      return false
    }
    if (this.#fleet.mode === 'leased' && this.#tokens !== 0) {
      this.#isReturning = true
      this.#fleet.ask(this)
      return false
    }
    // Tokens of a Redis that is away are no worth keeping: it has filled up meanwhile.
    this.#tokens = 0
    this.#isKnown = false
    this.#isReturning = false
    this.#isForgotten = this.isFull(now)
    return this.#isForgotten
  }

  retell(): void {}

  get #free(): number {
    // Before Redis has said how it stands: one lease, told later.
    const unasked = this.#isKnown || this.#fleet.mode === 'closed' ? 0 : this.size
    return this.#tokens + unasked
  }

  #spend(amount: number, now: number): void {
    this.#use(now)
    this.#tokens -= amount
    // What lasts until others are asked for, even at the full rate, need not be asked for alone, nor before three quarters are spent.
    const enough = (this.#rate.perSec * LASTS_MS) / 1000
    const { size } = this
    if (this.#tokens < Math.min(size / 2, Math.max(size / 4, enough))) this.#ask(now, this.#tokens > enough)
  }

  #want(amount: number, now: number): void {
    this.#use(now)
    this.#need = Math.max(this.#need, Math.min(amount, MAX_NEED))
    this.#ask(now)
  }

  #use(now: number): void {
    this.#usedAt = now
    this.#isReturning = false
    if (this.#isForgotten) this.#fleet.keep(this)
    this.#isForgotten = false
  }

  #ask(now: number, canWait = false): void {
    if (this.#fleet.mode !== 'leased' || this.#asked !== null || now < this.#askAgainAt) return
    this.#isPending = true
    this.#fleet.ask(this, canWait)
  }

  /** What this gate may do alone. */
  #share(amount: number, now: number): Bucket {
    this.#use(now)
    const { gates } = this.#fleet
    this.#need = Math.max(this.#need, Math.min(amount, MAX_NEED))
    const perSec = this.#rate.perSec / gates
    const burst = Math.max(this.#need, this.#rate.burst / gates)
    if (this.#local === null || this.#local.gates !== gates || this.#local.bucket.burst < burst)
      this.#local = { bucket: new Bucket(perSec, burst, now), gates }
    return this.#local.bucket
  }
}
