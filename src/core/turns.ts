// Fair shares of the event loop: nobody works through all that one peer has sent while others wait for their turn.
//
//     spend() --share used up--> wait() --next turn, in order of coming, while the turn has room--> onShare()
//
// A turn is one round of the event loop: every descriptor that has something is looked at once. Who has used up its share of
// one waits, and what it has not read waits in its own socket, where TCP holds its sender back. A turn gives so many of those
// that wait their share, and no more: so it stays short however many there are, and who asks for little is served in each.
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
/** What one that has waited is held to spend, until it tells. */
const PRESUMED = 64 * 1024
/** A peer that is at this much is told one turn from the next; who chats never is, and costs no turn. */
const NOTED = 16 * 1024
/** A read, however little it brings; also a record of TLS. */
export const READ_COST = 256

export interface Worker {
  /** Its turn has come: it has a share again. Never called from within `spend` or `wait`. */
  onShare(): void
}

export class Turns {
  readonly #clock: Clock
  readonly #waiting = new Set<Worker>()
  #isArmed = false
  #spent = 0
  /** Of the turn, as far as anybody had to tell it from the one before. */
  number = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Who has waited has used up this turn: whoever would begin to read much waits for the next. */
  get isFull(): boolean {
    return this.#spent >= TURN
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
  wait(worker: Worker): void {
    this.#waiting.add(worker)
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
    // No more than there are now: who is not done waits for the next turn.
    let left = this.#waiting.size
    for (const worker of this.#waiting) {
      if (left-- === 0 || this.isFull) break
      this.#waiting.delete(worker)
      this.#spent += PRESUMED
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

/** What one direction of a connection has of each turn. */
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

  /** What is left of it in this turn. */
  get left(): number {
    return this.#turn === this.#turns.number ? Math.max(0, SHARE - this.#spent) : SHARE
  }

  /** Whether it may begin to read again: who had much to do lately waits where others that have waited use up the turn. */
  get mayBegin(): boolean {
    return this.#spent <= NOTED || !this.#turns.isFull
  }

  /** `onShare` of the worker follows. */
  wait(): void {
    this.#turns.wait(this.#worker)
  }

  leave(): void {
    this.#turns.leave(this.#worker)
  }
}
