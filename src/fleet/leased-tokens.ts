// A bucket of the whole fleet as one gate sees it: tokens drawn ahead, from which the gate lets bytes through
// at once. The amount drawn at a time is the lease. It is drawn anew when a quarter of it is left, or when
// half is left if a quarter would not last until the answer.
//
//     first contact   nothing is drawn yet: up to one lease passes all the same, and is reported with the first draw
//     empty           nothing passes until Redis has tokens; the next request comes when Redis announced them
//     late            while an answer of Redis is late, a share of this gate passes beside the lease, and is reported
//     unused for 2 s  the remaining tokens are given back, within a second
//     a gate more     tokens beyond the smaller lease are given back
//
// The bound: Redis gives rate x time + burst to all gates together. A gate passes more than that by the
// tokens that it held at the beginning or has not reported yet, which is one lease; and by `spend`, see
// bucket.ts.

import type { BucketRate, Tokens } from '../core/cells.ts'
import { Bucket } from '../limits/bucket.ts'
import type { FleetState, Lease } from './lease.ts'
import type { Answer, Command } from './store.ts'

/** A lease lasts at least so long at the full rate, so that Redis gets at most forty requests a second. */
const LEASE_MS = 50
/** A lease is drawn anew while the rest of it lasts for at least so long at the full rate. */
const LASTS_MS = 60
/**
 * The share of the time that the rest lasts, and the longest time, for which a request may wait for those of
 * others.
 */
const GATHER_SHARE = 0.8
const MAX_GATHER_MS = 1000
const IDLE_MS = 2000
/** The shortest pause where Redis announces tokens soon. */
const MIN_PAUSE_MS = 10
const MAX_PAUSE_MS = 1000
/** The most that one read may bring; a larger request is made in parts. */
const MAX_NEED = 65_536

export class LeasedTokens implements Tokens, Lease {
  readonly #rate: BucketRate
  readonly #fleet: FleetState
  /** Drawn and not spent; a negative number is spent and not reported. */
  #tokens = 0
  /** Redis has answered since the lease began. */
  #isKnown = false
  /** The largest amount that was requested at once. */
  #need = 1
  #asked: { spent: number; back: number } | null = null
  /** A request is due soon. */
  #isPending = false
  #askAgainAt = Number.NEGATIVE_INFINITY
  /** With fewer tokens than that it is drawn anew. */
  #askBelow = Number.POSITIVE_INFINITY
  #usedAt: number
  #isReturning = false
  #isForgotten = false
  #drawnAt: number | null = null
  /** The tokens that there were then. */
  #drawn = 0
  #local: { bucket: Bucket; gates: number } | null = null

  constructor(rate: BucketRate, fleet: FleetState, now: number) {
    this.#rate = rate
    this.#fleet = fleet
    this.#usedAt = now
  }

  /**
   * Tokens drawn at a time: the leases of all gates and of one more make up the burst, unless such a lease
   * would hardly last or be less than a read. The one more is for a gate that has just begun: otherwise its
   * first clients find that other gates hold unused tokens.
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
    if (this.#fleet.lends && this.#share(amount, now).has(amount, now)) return true
    this.#want(amount, now)
    return false
  }

  take(amount: number, now: number): boolean {
    const { mode } = this.#fleet
    if (mode === 'local') return this.#share(amount, now).take(amount, now)
    if (mode === 'open') return true
    if (this.#free < amount && !(this.#fleet.lends && this.#share(amount, now).take(amount, now))) {
      this.#want(amount, now)
      return false
    }
    this.#spend(amount, now)
    return true
  }

  spend(amount: number, now: number): void {
    const { mode } = this.#fleet
    if (mode === 'local') this.#share(amount, now).spend(amount, now)
    else if (mode !== 'open') {
      if (this.#fleet.lends && this.#free < amount) this.#share(amount, now).spend(amount, now)
      this.#spend(amount, now)
    }
  }

  isFull(now: number): boolean {
    if (this.#local !== null && !this.#local.bucket.isFull(now)) return false
    return this.#tokens === 0 && this.#asked === null
  }

  get isAlone(): boolean {
    return this.#fleet.isAway
  }

  get isUnsure(): boolean {
    if (this.#fleet.mode !== 'leased') return this.#fleet.isRetrying
    return this.#isPending || this.#asked !== null
  }

  request(now: number): Omit<Command, 'key'> | null {
    const { perSec, burst } = this.#rate
    this.#isPending = false
    if (this.#asked !== null) return null
    const spent = Math.max(0, -this.#tokens)
    const kept = this.#isReturning ? 0 : this.size
    const back = Math.max(0, this.#tokens - kept)
    const want = Math.max(0, kept - Math.max(0, this.#tokens))
    if (spent + back + want === 0) return null
    this.#asked = { spent, back }
    this.#tokens -= back
    this.#askAgainAt = now
    return { script: 'draw', args: [1e6 / perSec, Math.max(burst, this.#need), spent, back, want] }
  }

  answer([drawn, waitMs]: Answer, now: number): void {
    this.#tokens += Number(drawn) + (this.#asked?.spent ?? 0)
    this.#asked = null
    this.#isKnown = true
    this.#askBelow = this.#lowest
    if (Number(drawn) > 0) {
      if (this.#drawnAt !== null) this.#fleet.onDrawn(now - this.#drawnAt)
      this.#drawnAt = now
      this.#drawn = this.#tokens
    }
    // The next request may follow a full answer at once.
    const pauseMs = Number(waitMs) > 0 ? Math.max(MIN_PAUSE_MS, Number(waitMs)) : 0
    this.#askAgainAt = now + Math.min(pauseMs, MAX_PAUSE_MS)
  }

  lose(): void {
    // A Redis that was only late has run it, or will: the same report again, beside the tokens that nobody
    // got, would cost a client up to all of its burst. Where Redis has not, the limit loses a lease.
    this.#tokens += this.#asked?.spent ?? 0
    this.#asked = null
    this.#isKnown = true
    this.#askBelow = Number.POSITIVE_INFINITY
  }

  tend(now: number): boolean {
    if (this.#asked !== null) return false
    if (now - this.#usedAt < IDLE_MS) {
      if (this.#fleet.mode === 'leased' && this.#tokens > this.size) this.#fleet.ask(this, MAX_GATHER_MS)
      return false
    }
    if (this.#fleet.mode === 'leased' && this.#tokens !== 0) {
      this.#isReturning = true
      this.#fleet.ask(this, MAX_GATHER_MS)
      return false
    }
    // Tokens of a Redis that is away are not worth keeping: its bucket has filled up meanwhile.
    this.#tokens = 0
    this.#isKnown = false
    this.#isReturning = false
    this.#isForgotten = this.isFull(now)
    return this.#isForgotten
  }

  forget(): void {
    this.#isForgotten = true
  }

  reportAgain(): void {}

  leave(): Omit<Command, 'key'> | null {
    const { perSec, burst } = this.#rate
    const tokens = this.#tokens
    this.#tokens = 0
    if (tokens === 0) return null
    const args = [1e6 / perSec, Math.max(burst, this.#need), Math.max(0, -tokens), Math.max(0, tokens), 0]
    return { script: 'draw', args }
  }

  get #free(): number {
    // Before Redis has answered for the first time: one lease, reported later.
    const unasked = this.#isKnown || this.#fleet.mode === 'closed' ? 0 : this.size
    return this.#tokens + unasked
  }

  #spend(amount: number, now: number): void {
    this.#use(now)
    this.#tokens -= amount
    if (this.#tokens >= this.#askBelow) return
    // While the request waits, for a client that speeds up: each time that half of the rest is gone.
    if (this.#ask(now, Math.floor(Math.min(MAX_GATHER_MS, this.#lastsMs(now) * GATHER_SHARE))))
      this.#askBelow = this.#tokens > 1 ? this.#tokens / 2 : Number.POSITIVE_INFINITY
  }

  get #lowest(): number {
    const { size } = this
    return Math.min(size / 2, Math.max(size / 4, (this.#rate.perSec * LASTS_MS) / 1000))
  }

  /**
   * At the rate at which the lease was spent until now. A client that speeds up waits for one answer of
   * Redis.
   */
  #lastsMs(now: number): number {
    const { perSec } = this.#rate
    const perMs = (this.#drawn - this.#tokens) / Math.max(1, now - (this.#drawnAt ?? now))
    return Math.max(0, this.#free) / Math.min(perSec / 1000, perMs)
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

  /** False: not now. */
  #ask(now: number, withinMs = 0): boolean {
    if (this.#fleet.mode !== 'leased' || this.#asked !== null || now < this.#askAgainAt) return false
    this.#isPending = true
    this.#fleet.ask(this, withinMs)
    return true
  }

  /** This gate's share while it is alone, or does not hear from Redis in time. */
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
