// The places of one client in the whole fleet as one gate sees them. The gate leases some of them for a while
// (30 s, spare ones for 4, renewed while they are used), and admits a connection while one of those is free.
//
//     first contact   one connection is admitted before Redis answers, and reported: the fleet has at most max + gates
//     in use          the gate holds one spare place to four, so that the next connection need not wait, and leaves as
//                     many to each other gate, as far as they go, and the last one free
//     1 s unused      it gives spare places back, so that other gates may use them; where the fleet has none left for
//                     this client, a freed place within 50 ms: the client may be on its way to another gate
//     none left       where others have spare ones a connection waits until these are back, and is not refused
//     30 s unused     the lease is forgotten

import type { Count } from '../core/cells.ts'
import type { FleetState, Lease } from './lease.ts'
import type { Answer, Command } from './store.ts'

/** Places that a gate does not renew are free again after this. */
const PLACES_TTL_MS = 30_000
const RENEW_MS = 10_000
/**
 * Those that the gate has not reported in use are free again sooner, since perhaps nobody uses them: a gate
 * that is killed keeps them from others for no longer than a connection waits for them. The gate itself
 * counts on them for less, and reports earlier.
 */
const SPARE_TTL_MS = 4000
const SPARE_HELD_MS = 3200
const SPARE_RENEW_MS = 1500
const SPARE = 4
const SPARE_MS = 1000
/** How long a client may take to return to the gate that it left. */
const RETURN_MS = 50
/**
 * For a refused client that comes again and again, Redis is asked no more often than this after an answer. A
 * newcomer in doubt is judged within that time, however far Redis is.
 */
const PAUSE_MS = 50
/**
 * The longest wait for spare places of other gates, which these give back within two seconds, and a gate that
 * was killed after SPARE_TTL_MS; yet another gate may be first then.
 */
const LENT_MS = SPARE_TTL_MS + 500

export class LeasedCount implements Count, Lease {
  readonly #fleet: FleetState
  #max = 1
  #used = 0
  /** From Redis, until `#untilMs`. */
  #places = 0
  /** 1 while a connection waits for a place, or was refused for one. */
  #need = 0
  /** What the last request asked for, without spare ones. */
  #needed = 0
  /** How many of them exceed the maximum of all gates together: each is given back once it comes free. */
  #over = 0
  #renewAt = Number.POSITIVE_INFINITY
  #untilMs = Number.NEGATIVE_INFINITY
  /** How many of them Redis knows to be in use, and until when the others last. */
  #reported = 0
  #spareUntilMs = Number.NEGATIVE_INFINITY
  /** The time of the last request, and the places in use at that time. */
  #askedAt = 0
  #told = 0
  #isKnown = false
  #isAsked = false
  /** Redis had no spare places. */
  #isScarce = false
  /** Other gates may give back until then what this one needs; past where they have nothing to give. */
  #lentUntilMs = Number.NEGATIVE_INFINITY
  /** A request is due soon. */
  #isPending = false
  /** The next request asks for spare places; and so did the last. */
  #isShort = false
  #wasShort = false
  #isForgotten = false
  #askAgainAt = Number.NEGATIVE_INFINITY
  #takenAt = Number.NEGATIVE_INFINITY
  readonly #now: () => number

  constructor(fleet: FleetState, now: () => number) {
    this.#fleet = fleet
    this.#now = now
  }

  get held(): number {
    return this.#used
  }

  get isAlone(): boolean {
    return this.#fleet.isAway
  }

  get over(): number {
    return this.#over
  }

  take(max: number): boolean {
    if (Number.isFinite(max)) this.#max = max
    const now = this.#now()
    this.#takenAt = now
    if (this.#isForgotten) this.#fleet.keep(this)
    this.#isForgotten = false
    const isIn = this.#used < this.#allowed(max, now)
    if (isIn) this.#used++
    if (!isIn || this.#used >= this.#places) this.#ask(now, isIn ? 0 : 1)
    if (isIn) this.#tellMore()
    return isIn
  }

  isUnsure(max: number): boolean {
    const now = this.#now()
    if (this.#used < this.#allowed(max, now)) return false
    if (this.#fleet.mode !== 'leased') return this.#fleet.isRetrying
    if (Number.isFinite(max)) this.#max = max
    this.#takenAt = now
    this.#ask(now, 1)
    return this.#isPending || this.#isAsked || now < this.#lentUntilMs
  }

  release(): void {
    this.#used--
    // A client that returns to this gate within a moment still has its place.
    if (this.#isScarce && this.#fleet.mode === 'leased') this.#fleet.ask(this, RETURN_MS)
    if (this.#over === 0) return
    this.#over--
    this.#places--
  }

  request(now: number): Omit<Command, 'key'> | null {
    this.#isPending = false
    if (this.#isAsked || (this.#used === 0 && this.#places === 0 && now - this.#takenAt >= SPARE_MS))
      return null
    this.#isAsked = true
    this.#wasShort = this.#isShort || (!this.#isScarce && now - this.#takenAt < SPARE_MS)
    this.#isShort = false
    const spare = this.#wasShort ? SPARE : 0
    this.#needed = this.#used + this.#need
    this.#askedAt = now
    this.#told = this.#used
    // A spare place that goes back is taken by nobody until Redis has answered.
    if (spare === 0) this.#places = Math.min(this.#places, this.#needed)
    const args = this.#args(this.#used, this.#need, spare)
    this.#need = 0
    return { script: 'places', args }
  }

  #args(used: number, need: number, spare: number): Array<string | number> {
    const { gate, gates } = this.#fleet
    return [gate, used, need, spare, this.#max, gates, PLACES_TTL_MS, SPARE_TTL_MS]
  }

  answer([places, over = 0, lent = 0]: Answer, now: number): void {
    this.#isAsked = false
    this.#isKnown = true
    this.#places = Number(places)
    // A lease that got its need may grow at once.
    const isMet = this.#places >= this.#needed
    this.#askAgainAt = isMet ? Number.NEGATIVE_INFINITY : now + PAUSE_MS
    if (isMet || Number(lent) === 0) this.#lentUntilMs = Number.NEGATIVE_INFINITY
    else if (this.#lentUntilMs === Number.NEGATIVE_INFINITY) this.#lentUntilMs = now + LENT_MS
    if (this.#wasShort) this.#isScarce = this.#places <= this.#needed
    this.#over = Number(over)
    this.#tellMore()
    this.#reported = Math.min(this.#told, this.#places)
    this.#renewAt = now + (this.#places > this.#reported ? SPARE_RENEW_MS : RENEW_MS)
    // Earlier than in Redis, where the time began later: however late the answer is.
    this.#untilMs = this.#askedAt + PLACES_TTL_MS - RENEW_MS / 2
    this.#spareUntilMs = this.#askedAt + SPARE_HELD_MS
  }

  lose(): void {
    this.#isAsked = false
  }

  tend(now: number): boolean {
    if (this.#isAsked) return false
    const isSpare = this.#places > this.#used && now - this.#takenAt >= SPARE_MS
    if (this.#fleet.mode === 'leased' && (isSpare || (this.#used > 0 && now >= this.#renewAt)))
      this.#fleet.ask(this)
    // A client that comes again soon is no new client: it gets no second admission before Redis answers.
    if (this.#used > 0 || now - this.#takenAt < PLACES_TTL_MS) return false
    this.#isForgotten = this.#places === 0 || now >= this.#untilMs
    if (this.#isForgotten) this.#isKnown = false
    return this.#isForgotten
  }

  forget(): void {
    this.#isForgotten = true
  }

  reportAgain(): void {
    // Free places may be another gate's now, and none is requested before other gates have reported theirs.
    this.#places = Math.min(this.#places, this.#used)
    this.#takenAt = Number.NEGATIVE_INFINITY
  }

  leave(): Omit<Command, 'key'> | null {
    if (this.#places === 0 && this.#used === 0) return null
    return { script: 'places', args: this.#args(0, 0, 0) }
  }

  /** How many connections this gate may have. */
  #allowed(max: number, now: number): number {
    const { mode, gates } = this.#fleet
    if (!Number.isFinite(max) || mode === 'open') return Number.POSITIVE_INFINITY
    if (mode === 'local') return Math.max(1, Math.floor(max / gates))
    // A reload may have lowered the maximum since they were granted.
    const places = now < this.#spareUntilMs ? this.#places : Math.min(this.#places, this.#reported)
    const held = now < this.#untilMs ? Math.min(max, places) : 0
    return mode === 'leased' && !this.#isKnown ? Math.max(1, held) : held
  }

  /** More are in use than Redis knows of: an observed maximum lets them on. */
  #tellMore(): void {
    if (this.#used <= this.#places || this.#isPending || this.#isAsked || this.#fleet.mode !== 'leased')
      return
    this.#isPending = true
    this.#fleet.ask(this, PAUSE_MS)
  }

  #ask(now: number, need: 0 | 1): void {
    if (this.#fleet.mode !== 'leased' || this.#isAsked || now < this.#askAgainAt) return
    this.#need = Math.max(this.#need, need)
    this.#isPending = this.#isShort = true
    this.#fleet.ask(this)
  }
}
