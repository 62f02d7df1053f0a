// A lease as the fleet handles it: it asks for something, and is answered or not.

import type { Answer, Command } from './store.ts'

/** How limits are enforced at the moment. leased: from leases. local: each gate its share. open: not at all. closed: from what is held. */
export type Mode = 'leased' | 'local' | 'open' | 'closed'

/** Leases that have something left gather for so long: a batch costs as much as ten more in it. */
export const SOON_MS = 50

/** What every lease reads of its fleet. */
export interface FleetState {
  readonly mode: Mode
  /** That were seen last, at least one. */
  readonly gates: number
  /** In the hash of places. */
  readonly gate: string
  /** It has something to ask: it is called for `request` soon, unless it is already; what `canWait` goes with others in a while. */
  ask(lease: Lease, canWait?: boolean): void
  /** It was forgotten and is used again. */
  keep(lease: Lease): void
  /** Tokens were drawn that many milliseconds after those before. */
  onDrawn(ms: number): void
}

export interface Lease {
  /** What to ask at this moment; null where there is nothing any more. */
  request(now: number): Omit<Command, 'key'> | null
  answer(answer: Answer, now: number): void
  /** Nobody knows whether it was heard. */
  lose(): void
  /** Asked each second: renews, gives back. True if nothing would be lost by forgetting it. */
  tend(now: number): boolean
  /** Redis has lost what it was told: it is told again. */
  retell(): void
}
