// A patient close, for connections that know no way to be asked: a tcp connection can only be ended, and a
// client that waits for an answer on it loses that answer. So they are left alone while there is time, and
// then end one by one over a window, the least hurt first: those that are owed nothing before those that are
// owed something, and among them the longest quiet.
//
//     begin                              at least `windowMs` before the timeout          timeout
//     |------- they go by themselves -------|---x-----x---x--------x----x------x--------|
//
// The order is that of the moment: a connection that has got its answer meanwhile goes before one that has
// not. If some connections went by themselves, the earliest moments are left out, so that connections that
// are owed something have the longest.

import type { Clock } from '../core/clock.ts'
import type { Connection } from '../core/connection.ts'
import { spreadMoments } from './spread-close.ts'

/** The greatest age of an order: quiet is known only as of the last sweep anyway. */
const ORDER_MS = 250

/** How long before the reset of the rest each tcp connection has its FIN: an orderly end is better. */
const LAST_MS = 1000

/** The last `spread` before the timeout, less the time that a connection needs to go. */
export function patience(spreadMs: number, leftMs: number): { waitMs: number; windowMs: number } {
  const waitMs = Math.max(0, leftMs - Math.max(spreadMs, LAST_MS))
  return { waitMs, windowMs: Math.max(0, Math.min(spreadMs, leftMs) - LAST_MS) }
}

export function isPatient({ protocol }: Connection, tcp: 'wait' | 'spread'): boolean {
  return tcp === 'wait' && protocol === 'tcp'
}

export interface PatientCloseOptions {
  clock: Clock
  /** 0..1. */
  random: () => number
  /** Those of them that are open when the window begins are asked. */
  connections: readonly Connection[]
  waitMs: number
  windowMs: number
  /** Called for each connection that is still open at its moment. */
  ask: (connection: Connection) => void
}

export class PatientClose {
  readonly #options: PatientCloseOptions
  #startedAt = 0
  #moments: Float64Array = new Float64Array()
  #left: Connection[] = []
  #next = 0
  #orderedAt = Number.NEGATIVE_INFINITY
  #cancel: (() => void) | null

  constructor(options: PatientCloseOptions) {
    this.#options = options
    this.#cancel = options.clock.after(Math.max(1, options.waitMs), () => this.#begin())
  }

  /** Stops asking. */
  cancel(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  /** It asks nobody any more. */
  get isOver(): boolean {
    return this.#cancel === null
  }

  #begin(): void {
    const { clock, random, connections, windowMs } = this.#options
    this.#startedAt = clock.now()
    this.#left = connections.filter(({ end }) => end === null)
    this.#moments = spreadMoments(this.#left.length, windowMs, random)
    this.#step()
  }

  #step(): void {
    this.#cancel = null
    const { clock, ask } = this.#options
    const passedMs = clock.now() - this.#startedAt
    while (this.#next < this.#moments.length && this.#moments[this.#next]! <= passedMs) {
      this.#next++
      this.#left = this.#left.filter(({ end }) => end === null)
      if (this.#left.length > this.#moments.length - this.#next) ask(this.#takeFirst())
    }
    if (this.#next === this.#moments.length) return
    this.#cancel = clock.after(Math.max(1, Math.ceil(this.#moments[this.#next]! - passedMs)), () =>
      this.#step(),
    )
  }

  #takeFirst(): Connection {
    const now = this.#options.clock.now()
    if (now - this.#orderedAt >= ORDER_MS) {
      this.#left = longestQuietFirst(this.#left, now)
      this.#orderedAt = now
    }
    // A connection that waits for an answer comes after all others, as of now.
    const free = this.#left.findIndex((connection) => !isOwed(connection))
    return this.#left.splice(Math.max(0, free), 1)[0]!
  }
}

function longestQuietFirst(connections: readonly Connection[], now: number): Connection[] {
  return connections
    .map((connection) => ({ connection, quietMs: connection.owner?.quietMs?.(now) ?? 0 }))
    .sort((a, b) => b.quietMs - a.quietMs)
    .map(({ connection }) => connection)
}

function isOwed({ owner }: Connection): boolean {
  return owner?.isOwed?.() ?? true
}
