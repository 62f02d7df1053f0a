// Fair shares of the event loop: nobody works through all that one peer has sent while others wait for their turn.
//
//     spend() --share used up--> wait() --next turn, in order of coming, while the turn has room--> onShare()
//
// A turn is one round of the event loop: every descriptor that has something is looked at once. A direction that has used up its share of
// one waits, and what it has not read waits in its own socket, where TCP holds its sender back. A turn gives so many of those
// that wait their share, and no more: so it stays short however many there are, and a direction that asks for little is served in each.
//
// What it spares: a connection that keeps below its share in a turn never waits, and one that is alone loses nothing, since
// the next turn is at once. Prior art: deficit round robin; pgbouncer's sbuf_loopcnt; HAProxy's tune.maxpollevents.
//
// Cost is counted in bytes: a frame, a read, a message cost as many as could be relayed in the same time.

import type { Clock } from './clock.ts'

/** Of one direction of a connection in one turn: a tenth of a millisecond (2 cores, Node 26, 2026-11). */
export const SHARE = 256 * 1024
/** Of all that have waited for their turn, together. */
const TURN = 1024 * 1024
/** Of all, together: beyond it whoever has had much in this turn waits, and has the next one in its order. */
const TOGETHER = 4 * 1024 * 1024
/** Where more than so many wait, it is a TURN: a wait costs little that hundreds share, and much where a few would be done at once. */
const CROWD = 64
/** What one that has waited is held to spend, until it tells, at the least: otherwise what it has spent before it waited. */
const PRESUMED = 64 * 1024
/** A peer that is at this much is told one turn from the next; a peer that only chats never is, and costs no turn. */
const NOTED = 16 * 1024
/** A read, however little it brings; also a record of TLS. */
export const READ_COST = 256
/** A chunk of a body, however little it brings. */
export const CHUNK_COST = 128

export interface Worker {
  /** Its turn has come: it has a share again. Never called from within `spend` or `wait`. */
  onShare(): void
}

export class Turns {
  readonly #clock: Clock
  /** With what each is held to spend. */
  readonly #waiting = new Map<Worker, number>()
  #isArmed = false
  #spent = 0
  /** Of the turn, as far as anybody had to tell it from the one before. */
  number = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The directions that waited have used up this turn: one that would begin to read much waits for the next. */
  get isFull(): boolean {
    return this.#spent >= TURN
  }

  /** So much was done in this turn that it must come to its end. */
  get isCrowded(): boolean {
    return this.#spent >= (this.#waiting.size > CROWD ? TURN : TOGETHER)
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Somebody works so much that turns have to be told apart. */
  note(cost: number): void {
    this.#spent += cost
    this.#arm()
  }

  /** Puts it last, unless it waits already. */
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
    // No more than there are now: a direction that is not done waits for the next turn.
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

/** Those of the event loop that this clock belongs to: all that is relayed in it shares them. */
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

  /** What is left of it in this turn: nothing to one who has had much, where all together have. */
  get left(): number {
    if (this.#turn !== this.#turns.number) return SHARE
    return this.#spent > NOTED && this.#turns.isCrowded ? 0 : Math.max(0, SHARE - this.#spent)
  }

  /** Whether it may begin to read again: one that had much to do lately waits where others that have waited use up the turn. */
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
