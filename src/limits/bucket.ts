// A token bucket: `perSec` tokens a second flow in, at most `burst` are kept, and what is let through takes them out. It has no
// timer: what flowed in is worked out from the time when somebody asks.
//
// The bound: what is taken while it is there (`take`) is, in any time T, no more than `perSec` x T + `burst`. `spend` takes
// what is not there too and leaves a debt, which is paid off before anything else is there: it delays, but the bound over
// long times is the same. A half reads only while its bucket holds a whole read (64 KiB), so of a connection's own bucket
// it never spends more than is there. Of a bucket that several share, each that was reading when it ran dry may bring in
// one read more; and what a client sent before its upstream was dialled goes at once, and is paid off first. A bucket that
// delays is given a burst of at least one read and 40 ms of its rate (`roomyBurst`), or it could not keep the rate.
//
// Time is that of the Clock: it may stand still (nothing flows in) or jump forward (it fills up, never over `burst`).

import type { Tokens } from '../core/cells.ts'

export class Bucket implements Tokens {
  readonly perSec: number
  readonly burst: number
  #tokens: number
  #at: number

  /** Full at `now`, milliseconds of the Clock. */
  constructor(perSec: number, burst: number, now: number) {
    this.perSec = perSec
    this.burst = burst
    this.#tokens = burst
    this.#at = now
  }

  has(amount: number, now: number): boolean {
    this.#fill(now)
    return this.#tokens >= amount
  }

  /** Takes `amount` if it is there; false, and nothing taken, if it is not. */
  take(amount: number, now: number): boolean {
    if (!this.has(amount, now)) return false
    this.#tokens -= amount
    return true
  }

  /** Takes `amount`, as a debt where it is not there: for what has been read already. */
  spend(amount: number, now: number): void {
    this.#fill(now)
    this.#tokens -= amount
  }

  /** Nothing would be lost if it were forgotten. */
  isFull(now: number): boolean {
    return this.has(this.burst, now)
  }

  #fill(now: number): void {
    if (now <= this.#at) return
    this.#tokens = Math.min(this.burst, this.#tokens + ((now - this.#at) * this.perSec) / 1000)
    this.#at = now
  }
}
