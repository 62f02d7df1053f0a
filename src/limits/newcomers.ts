// The gate of new connections: so many a second on one listener, whoever they are from. What comes faster waits, accepted but
// unread and with nothing spent on it, in the order in which it came, or is refused.
//
// libuv accepts whatever the kernel has, and offers no way to leave connections in the backlog for a while; so they wait here.
// Each has its place under `limits.connections` meanwhile, which bounds how many wait, and none waits longer than `deadlines.handshake` says at the time.

import { Bucket } from './bucket.ts'
import type { Clock, Swept, Sweep } from '../core/clock.ts'
import type { Live } from '../core/live.ts'
import { roomyBurst } from './pacer.ts'
import type { Pacer, Waiter } from './pacer.ts'

export interface NewcomerOptions {
  perSec: number
  burst: number
  onExceed: 'delay' | 'close'
  isEnforced: boolean
  /** `handshakeMs`: as long as one may wait. */
  deadlines: Live<{ handshakeMs: number }>
  /** A newcomer is over the rate. */
  report: (action: 'delay' | 'close', isEnforced: boolean) => void
}

export interface NewcomerContext {
  clock: Clock
  sweep: Sweep
  pacer: Pacer
}

/** What becomes of one that has to wait. Exactly one is called, once. */
export interface Newcomer {
  serve(): void
  refuse(): void
}

export class Newcomers {
  readonly #options: NewcomerOptions
  readonly #context: NewcomerContext
  readonly #bucket: Bucket
  readonly #waiting = new Set<Waiting>()

  constructor(options: NewcomerOptions, context: NewcomerContext) {
    const { perSec, burst, onExceed } = options
    this.#options = options
    this.#context = context
    this.#bucket = new Bucket(perSec, onExceed === 'delay' ? roomyBurst(burst, perSec, 1) : burst, context.clock.now())
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Serves it now, later or not at all. */
  admit(newcomer: Newcomer): void {
    const { onExceed, isEnforced, deadlines, report } = this.#options
    const now = this.#context.clock.now()
    // Who waits comes first.
    if (this.#waiting.size === 0 && this.#bucket.take(1, now)) return newcomer.serve()
    report(onExceed, isEnforced)
    if (!isEnforced) return newcomer.serve()
    if (onExceed === 'close') return newcomer.refuse()
    const waiting = new Waiting(newcomer, { since: now, deadlines }, this.#bucket, (one) => this.#forget(one))
    this.#waiting.add(waiting)
    this.#context.sweep.add(waiting)
    this.#context.pacer.wait(this.#bucket, waiting)
  }

  /** The listener accepts no more: those that wait are refused. */
  close(): void {
    for (const waiting of [...this.#waiting]) waiting.giveUp()
  }

  #forget(waiting: Waiting): void {
    this.#waiting.delete(waiting)
    this.#context.sweep.delete(waiting)
    this.#context.pacer.leave(this.#bucket, waiting)
  }
}

interface Patience {
  since: number
  deadlines: Live<{ handshakeMs: number }>
}

class Waiting implements Waiter, Swept {
  readonly needs = 1
  readonly #newcomer: Newcomer
  readonly #patience: Patience
  readonly #bucket: Bucket
  readonly #done: (waiting: Waiting) => void

  constructor(newcomer: Newcomer, patience: Patience, bucket: Bucket, done: (waiting: Waiting) => void) {
    this.#newcomer = newcomer
    this.#patience = patience
    this.#bucket = bucket
    this.#done = done
  }

  onTurn(now: number): number {
    this.#bucket.spend(1, now)
    this.#done(this)
    this.#newcomer.serve()
    return 0
  }

  sweep(now: number): void {
    const { since, deadlines } = this.#patience
    if (now - since >= deadlines.current.handshakeMs) this.giveUp()
  }

  onBroken(): void {
    this.giveUp()
  }

  giveUp(): void {
    this.#done(this)
    this.#newcomer.refuse()
  }
}
