// A spread close: asks many connections to go, each at a random moment of its own, so that reconnecting
// clients do not all arrive at once. The moments are uniform over a window; idle connections get the
// earliest, so that busy ones have the longest to finish.
//
//     |---x--x-----x-x----x---------x--x----x-----|
//      idle ones first   then those that are busy   window ends
//
// Prior art: NATS' lame duck mode, HAProxy's close-spread-time.

import type { Clock } from '../core/clock.ts'
import type { Connection } from '../core/connection.ts'

/**
 * Idle is a connection without data for this long: longer than a pause between two packets, shorter than one
 * between two clicks.
 */
export const IDLE_MS = 1000
/**
 * A client that is admitted has so long to bring its request and to be led to the service before it is asked:
 * in the same moment it would get 503, or RST, in place of the answer for which it has come.
 */
export const NEW_MS = 1000

export interface SpreadCloseOptions {
  clock: Clock
  /** 0..1. */
  random: () => number
  connections: Iterable<Connection>
  /** The window; 0 asks all at once. */
  spreadMs: number
  /** Called for each connection that is still open at its moment. */
  ask: (connection: Connection) => void
}

export class SpreadClose {
  readonly #options: SpreadCloseOptions
  readonly #startedAt: number
  readonly #order: Connection[]
  readonly #moments: Float64Array
  #next = 0
  /** Those whose moment came while they were new, in order, and when they are asked. */
  readonly #held: Array<{ connection: Connection; at: number }> = []
  #cancel: (() => void) | null = null

  constructor(options: SpreadCloseOptions) {
    const { clock, connections, spreadMs, random } = options
    this.#options = options
    this.#startedAt = clock.now()
    this.#order = idleFirst(connections, this.#startedAt, random)
    this.#moments = spreadMoments(this.#order.length, spreadMs, random)
    this.#step()
  }

  /** Stops asking. */
  cancel(): void {
    this.#cancel?.()
    this.#cancel = null
    this.#next = this.#order.length
    this.#held.length = 0
  }

  /** All connections were asked. */
  get isOver(): boolean {
    return this.#next === this.#order.length && this.#held.length === 0
  }

  #step(): void {
    this.#cancel = null
    const { clock } = this.#options
    const passedMs = clock.now() - this.#startedAt
    while (this.#held.length > 0 && this.#held[0]!.at <= passedMs) this.#ask(this.#held.shift()!.connection)
    while (this.#next < this.#order.length && this.#moments[this.#next]! <= passedMs) {
      const connection = this.#order[this.#next++]!
      if (isNew(connection, clock.now())) this.#held.push({ connection, at: passedMs + NEW_MS })
      else this.#ask(connection)
    }
    if (this.isOver) return
    const next = Math.min(this.#moments[this.#next] ?? Infinity, this.#held[0]?.at ?? Infinity)
    this.#cancel = clock.after(Math.max(1, Math.ceil(next - passedMs)), () => this.#step())
  }

  #ask(connection: Connection): void {
    if (connection.end === null) this.#options.ask(connection)
  }
}

/** `count` moments, uniform over the window, in order: milliseconds from its beginning. */
export function spreadMoments(count: number, spreadMs: number, random: () => number): Float64Array {
  return Float64Array.from({ length: count }, () => random() * spreadMs).sort()
}

/** Idle connections, then the others; in random order within each, so that early arrival puts none first. */
export function idleFirst(
  connections: Iterable<Connection>,
  now: number,
  random: () => number,
): Connection[] {
  const idle: Connection[] = []
  const busy: Connection[] = []
  for (const connection of connections) (isIdle(connection, now) ? idle : busy).push(connection)
  return [...shuffled(idle, random), ...shuffled(busy, random)]
}

/**
 * A connection that is still opening is busy: its client waits. So is one that has asked and has been quiet
 * since.
 */
function isIdle({ owner }: Connection, now: number): boolean {
  return owner?.isOwed?.() !== true && (owner?.quietMs?.(now) ?? 0) >= IDLE_MS
}

/** It was admitted within the last second, and no request of it has reached the service. */
function isNew({ phase, openedAt, admittedMs }: Connection, now: number): boolean {
  return (phase === 'handshake' || phase === 'connect') && now - openedAt - admittedMs < NEW_MS
}

/** Fisher and Yates. */
function shuffled<T>(items: T[], random: () => number): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const chosen = Math.min(last, Math.floor(random() * (last + 1)))
    ;[items[last], items[chosen]] = [items[chosen]!, items[last]!]
  }
  return items
}
