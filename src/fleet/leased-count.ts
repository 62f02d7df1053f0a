// The places of one client in the whole fleet as one gate sees them. It has some of them for a while (30 s, renewed as long as they are
// used), and lets a connection on while one of those is free.
//
//     first contact   one connection is let on before Redis has answered, and told: so the fleet has no more than max + gates
//     in use          a few spare places are had ahead, so that the next connection need not wait to be known
//     1 s unused      spare places are given back, so that other gates may use them
//     30 s unused     it is forgotten

import type { Count } from '../core/cells.ts'
import type { FleetState, Lease } from './lease.ts'
import type { Answer, Command } from './store.ts'

/** Places of a gate that does not renew them are free again. */
export const PLACES_TTL_MS = 30_000
const RENEW_MS = 10_000
const SPARE = 4
const SPARE_MS = 1000
/** A refused client that comes again and again asks no more often than this. */
const PAUSE_MS = 50

export class LeasedCount implements Count, Lease {
  readonly #fleet: FleetState
  #max = 1
  #used = 0
  /** From Redis, until `#untilMs`. */
  #places = 0
  #wanted = 0
  /** Of those, more than there are for all gates together: each that comes free is given back. */
  #over = 0
  #renewAt = Number.POSITIVE_INFINITY
  #untilMs = Number.NEGATIVE_INFINITY
  #isKnown = false
  #isAsked = false
  /** It is to be asked soon. */
  #isPending = false
  #isForgotten = false
  #askAgainAt = Number.NEGATIVE_INFINITY
  #lastDrainAt = Number.NEGATIVE_INFINITY
  readonly #now: () => number

  constructor(fleet: FleetState, now: () => number) {
    this.#fleet = fleet
    this.#now = now
  }

  get held(): number {
    return this.#used
  }

  take(max: number): boolean {
    if (Number.isFinite(max)) this.#max = max
    const now = this.#now()
    this.#lastDrainAt = now
    if (this.#isForgotten) this.#fleet.keep(this)
    this.#isForgotten = false
    const isIn = this.#used < this.#allowed(max, now)
    if (isIn) this.#used++
    if (!isIn || this.#used >= this.#places) this.#ask(now)
    return isIn
  }

  isUnsure(max: number): boolean {
    const now = this.#now()
    if (this.#fleet.mode !== 'leased' || this.#used < this.#allowed(max, now)) return false
    if (Number.isFinite(max)) this.#max = max
    this.#lastDrainAt = now
    this.#ask(now)
    return this.#isPending || this.#isAsked
  }

  release(): void {
    this.#used--
    if (this.#over === 0) return
    this.#over--
    this.#places--
  }

  request(now: number): Omit<Command, 'key'> | null {
    this.#isPending = false
    if (this.#isAsked || (this.#used === 0 && this.#places === 0 && now - this.#lastDrainAt >= SPARE_MS))
      return null
    this.#isAsked = true
    this.#askAgainAt = now + PAUSE_MS
    this.#wanted = this.#used + (now - this.#lastDrainAt < SPARE_MS ? SPARE : 0)
    return {
      script: 'places',
      args: [this.#fleet.gate, this.#used, this.#wanted, this.#max, PLACES_TTL_MS],
    }
  }

  answer([places, over = 0]: Answer, now: number): void {
    this.#isAsked = false
    this.#isKnown = true
    this.#places = Number(places)
    // It may have more, and use them at once.
    if (this.#places >= this.#wanted) this.#askAgainAt = Number.NEGATIVE_INFINITY
    this.#over = Number(over)
    this.#renewAt = now + RENEW_MS
    // Less than in Redis, where it began earlier.
    this.#untilMs = now + PLACES_TTL_MS - RENEW_MS / 2
  }

  lose(): void {
    this.#isAsked = false
  }

  tend(now: number): boolean {
    if (this.#isAsked) return false
    const isSpare = this.#places > this.#used && now - this.#lastDrainAt >= SPARE_MS
    if (this.#fleet.mode === 'leased' && (isSpare || (this.#used > 0 && now >= this.#renewAt)))
      this.#fleet.ask(this)
    // Who comes again soon is no new client: it is not let on unasked once more.
    if (this.#used > 0 || now - this.#lastDrainAt < PLACES_TTL_MS) return false
    this.#isForgotten = this.#places === 0 || now >= this.#untilMs
    if (this.#isForgotten) this.#isKnown = false
    return this.#isForgotten
  }

  retell(): void {
    // What is free is not sure to be ours any more, and no more is asked for before other gates have told theirs.
    this.#places = Math.min(this.#places, this.#used)
    this.#lastDrainAt = Number.NEGATIVE_INFINITY
  }

  /** How many connections this gate may have. */
  #allowed(max: number, now: number): number {
    const { mode, gates } = this.#fleet
    if (!Number.isFinite(max) || mode === 'open') return Number.POSITIVE_INFINITY
    if (mode === 'local') return Math.max(1, Math.floor(max / gates))
    const held = now < this.#untilMs ? this.#places : 0
    return mode === 'leased' && !this.#isKnown ? Math.max(1, held) : held
  }

  #ask(now: number): void {
    if (this.#fleet.mode !== 'leased' || this.#isAsked || now < this.#askAgainAt) return
    this.#isPending = true
    this.#fleet.ask(this)
  }
}
