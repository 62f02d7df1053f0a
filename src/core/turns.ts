// Fair shares of the event loop: no direction works through everything that one peer has sent while others
// wait for their turn.
//
//     spend() --share used up--> wait() --next turn, in order of coming, while the turn has room--> onShare()
//
// A turn is one round of the event loop: every ready descriptor is served once. A direction that has used up
// its share of a turn waits, and its unread bytes wait in its own socket, where TCP holds the sender back.
// Each turn gives waiting directions their share only until TURN is spent: so it stays short however many
// wait, and a direction that asks for little is served in each.
//
// A connection that stays below its share in a turn never waits, and a connection alone loses nothing, since
// the next turn comes at once. Prior art: deficit round robin; pgbouncer's sbuf_loopcnt; HAProxy's
// tune.maxpollevents.
//
// Costs are in bytes: a frame, a read, a message cost as many bytes as could be relayed in the same time.

import type { Clock } from './clock.ts'

/**
 * The share of one direction of a connection in one turn: a tenth of a millisecond (2 cores, Node 26,
 * 2026-11).
 */
export const SHARE = 256 * 1024
/** The share, in one turn, of all directions that waited for it, together. */
const TURN = 1024 * 1024
/**
 * The limit of one turn for all directions together: beyond it, a direction that has had much in this turn
 * waits for the next.
 */
const TOGETHER = 4 * 1024 * 1024
/**
 * With more than this many waiting, that limit is TURN: a wait costs little when hundreds share it, and much
 * when a few could be done at once.
 */
const CROWD = 64
/** The least that a direction is presumed to spend after a wait, until it reports; more if it did before. */
const PRESUMED = 64 * 1024
/**
 * From this cost on a direction takes part in counting turns; a peer that only chats never does, and starts
 * no turn.
 */
const NOTED = 16 * 1024
/** The cost of a read, however little it brings; also of a TLS record. */
export const READ_COST = 256
/** The cost of a chunk of a body, however little it brings. */
export const CHUNK_COST = 128

export interface Worker {
  /** Its turn has come, with a new share. Never called from within `spend` or `wait`. */
  onShare(): void
}

export class Turns {
  readonly #clock: Clock
  /** Each with its presumed cost. */
  readonly #waiting = new Map<Worker, number>()
  #isArmed = false
  #spent = 0
  /** The number of the turn; turns are counted only while a direction needs to tell them apart. */
  number = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Directions that had waited have used up this turn: one that is about to read much waits for the next. */
  get isFull(): boolean {
    return this.#spent >= TURN
  }

  /** This turn has done so much that it must end. */
  get isCrowded(): boolean {
    return this.#spent >= (this.#waiting.size > CROWD ? TURN : TOGETHER)
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** A direction works so much that turns have to be counted. */
  note(cost: number): void {
    this.#spent += cost
    this.#arm()
  }

  /** Puts `worker` last, unless it waits already. */
  wait(worker: Worker, presumed = PRESUMED): void {
    this.#waiting.set(worker, presumed)
    this.#arm()
  }

  leave(worker: Worker): void {
    this.#waiting.delete(worker)
  }

  #arm(): void {
    if (this.#isArmed) return
    this.#isArmed = true
    this.#clock.nextTurn(() => this.#onTurn())
  }

  #onTurn(): void {
    this.#isArmed = false
    this.number++
    this.#spent = 0
    // Only as many as wait now: a direction that is not done waits for the next turn.
    let left = this.#waiting.size
    for (const [worker, presumed] of this.#waiting) {
      if (left-- === 0 || this.isFull) break
      this.#waiting.delete(worker)
      this.#spent += presumed
      worker.onShare()
    }
    if (this.#waiting.size > 0) this.#arm()
  }
}

const known = new WeakMap<Clock, Turns>()

/** The turns of the event loop that this clock belongs to: all directions relayed in that loop share them. */
export function turnsOf(clock: Clock): Turns {
  let turns = known.get(clock)
  if (turns === undefined) known.set(clock, (turns = new Turns(clock)))
  return turns
}

/** The share of one direction of a connection in each turn. */
export class Share {
  readonly #turns: Turns
  readonly #worker: Worker
  #turn = 0
  #spent = 0

  constructor(turns: Turns, worker: Worker) {
    this.#turns = turns
    this.#worker = worker
  }

  spend(cost: number): void {
    const turns = this.#turns
    if (this.#turn !== turns.number) {
      this.#turn = turns.number
      this.#spent = 0
    }
    this.#spent += cost
    if (this.#spent > NOTED) turns.note(cost)
  }

  /** The rest of the share in this turn: 0 for a direction that has had much, once the turn is crowded. */
  get left(): number {
    if (this.#turn !== this.#turns.number) return SHARE
    return this.#spent > NOTED && this.#turns.isCrowded ? 0 : Math.max(0, SHARE - this.#spent)
  }

  /**
   * Whether the direction may begin to read again: one that did much lately waits while directions that had
   * waited use up the turn.
   */
  get mayBegin(): boolean {
    return this.#spent <= NOTED || !this.#turns.isFull
  }

  /** `onShare` of the worker follows. */
  wait(): void {
    this.#turns.wait(this.#worker, Math.max(PRESUMED, Math.min(this.#spent, TURN)))
  }

  leave(): void {
    this.#turns.leave(this.#worker)
  }
}
