// A token bucket: `perSec` tokens a second flow in, at most `burst` are kept, and each passing byte or
// message takes its tokens out. It has no timer: each call works out what has flowed in since the last.
//
// The bound: in any time T, `take` hands out no more than `perSec` x T + `burst`. `spend` also takes tokens
// that are not there and leaves a debt, which later tokens pay off first: it delays, but the bound over long
// times is the same. A half reads only while its bucket holds a whole read (64 KiB), so it never overspends
// its connection's own bucket. When a shared bucket runs dry, each connection that was reading may bring in
// one read more; and the bytes that a client sent before its upstream was dialled go at once, and are paid
// off first. A bucket that delays has a burst of at least one read and 40 ms of its rate (`roomyBurst`), or
// it could not keep the rate.
//
// Time is that of the Clock: it may stand still (nothing flows in) or jump forward (the bucket fills up,
// never over `burst`).

import type { Tokens } from '../core/cells.ts'

export class Bucket implements Tokens {
  readonly perSec: number
  readonly burst: number
  #tokens: number
  #at: number

  /** Full at `now`, in milliseconds of the Clock. */
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

  take(amount: number, now: number): boolean {
    if (!this.has(amount, now)) return false
    this.#tokens -= amount
    return true
  }

  /** Takes `amount`, as a debt where the bucket has less: for bytes that are already read. */
  spend(amount: number, now: number): void {
    this.#fill(now)
    this.#tokens -= amount
  }

  isFull(now: number): boolean {
    return this.has(this.burst, now)
  }

  #fill(now: number): void {
    if (now <= this.#at) return
    this.#tokens = Math.min(this.burst, this.#tokens + ((now - this.#at) * this.perSec) / 1000)
    this.#at = now
  }
}
