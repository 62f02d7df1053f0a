// A lease as the fleet handles it: it makes requests, and gets their answers or loses them.

import type { Answer, Command } from './store.ts'

/**
 * How limits are enforced at the moment. leased: from leases. local: each gate its share. open: not at all.
 * closed: from what is held.
 */
export type Mode = 'leased' | 'local' | 'open' | 'closed'

/** The facts that every lease reads of its fleet. */
export interface FleetState {
  readonly mode: Mode
  /** Redis does not answer. Not so once the fleet is out of use. */
  readonly isAway: boolean
  /** It has been away for a moment only: anything over the share of this gate waits for the first probe. */
  readonly isRetrying: boolean
  /** An answer is late, and may come yet: a rate passes the share of this gate meanwhile, and reports it. */
  readonly lends: boolean
  /** The gates seen alive, at least one. */
  readonly gates: number
  /** The name of this gate, in the hash of places. */
  readonly gate: string
  /**
   * The lease has a request: the fleet calls its `request` once, together with those of others, `withinMs` at
   * the latest. A batch costs as much as twenty more requests in it.
   */
  ask(lease: Lease, withinMs?: number): void
  /** A forgotten lease is used again. */
  keep(lease: Lease): void
  /** Tokens were drawn so many milliseconds after the previous draw. */
  onDrawn(ms: number): void
}

export interface Lease {
  /** The request at this moment; null if there is none any more. */
  request(now: number): Omit<Command, 'key'> | null
  answer(answer: Answer, now: number): void
  /** The answer is lost, and perhaps the request. */
  lose(): void
  /** Called each second: renews, gives back. True if forgetting the lease would lose nothing. */
  tend(now: number): boolean
  /** There is no room for it: nobody tends it until it is used again. */
  forget(): void
  /** Redis has lost the lease's report: the lease reports again. */
  reportAgain(): void
  /** The report when this gate stops, which frees what it held at once; null if it held nothing. */
  leave(): Omit<Command, 'key'> | null
}
