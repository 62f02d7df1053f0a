// The gate of new connections: so many a second on one listener, from any client. A connection over the rate
// is refused, or waits in order of arrival, accepted but unread and with nothing spent on it. While a fleet
// has been asked for tokens and has not answered, connections wait instead of being refused.
//
// libuv accepts whatever the kernel has, and offers no way to leave connections in the backlog for a while;
// so they wait here. Each holds its place under `limits.connections` meanwhile, which bounds how many wait,
// and none waits longer than the present `deadlines.handshake`.

import { localCells } from './cells.ts'
import type { Cells, Tokens } from '../core/cells.ts'
import type { Clock, Swept, Sweep } from '../core/clock.ts'
import type { Reason } from '../core/close.ts'
import type { Live } from '../core/live.ts'
import { limitWords } from '../core/limit-words.ts'
import { draw } from './observed.ts'
import { roomyBurst } from './token-queue.ts'
import type { TokenQueue, Waiter } from './token-queue.ts'

export interface ConnectRateOptions {
  perSec: number
  burst: number
  onExceed: 'delay' | 'close'
  isEnforced: boolean
  /** `handshakeMs`: the longest wait. */
  deadlines: Live<{ handshakeMs: number }>
  /** A newcomer is over the rate. */
  report: (action: 'delay' | 'close', isEnforced: boolean) => void
}

export interface ConnectRateContext {
  clock: Clock
  sweep: Sweep
  tokenQueue: TokenQueue
  /** The cells and the name that the rate is counted under; absent: cells of this gate alone. */
  cells?: Cells
  name?: string
}

/** One of `serve` and `refuse` is called, once. */
export interface NewConnection {
  /** Called first where it has to wait. */
  hold(): void
  serve(): void
  /** `why` is null where it is over the rate. */
  refuse(why: Reason | null): void
}

export class ConnectRateGate {
  readonly #options: ConnectRateOptions
  readonly #context: ConnectRateContext
  readonly #bucket: Tokens
  readonly #waiting = new Set<Waiting>()

  constructor(options: ConnectRateOptions, context: ConnectRateContext) {
    const { perSec, burst, onExceed } = options
    this.#options = options
    this.#context = context
    const { clock, cells = localCells, name = '' } = context
    const rate = { perSec, burst: onExceed === 'delay' ? roomyBurst(burst, perSec, 1) : burst }
    this.#bucket = cells.bucket(`${name} newConnections`, rate, clock.now())
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** The words for a refusal. */
  get words(): string {
    return limitWords('limits.newConnections', this.#bucket)
  }

  /** Serves the newcomer now, later or not at all. */
  admit(newcomer: NewConnection): void {
    const { onExceed, isEnforced, deadlines, report } = this.#options
    const { clock } = this.#context
    const now = clock.now()
    // Waiting connections come first.
    const rate = { bucket: this.#bucket, isEnforced }
    if (this.#waiting.size === 0 && draw(rate, 1, now)) return newcomer.serve()
    const isUnsure = isEnforced && onExceed === 'close' && (this.#waiting.size > 0 || this.#bucket.isUnsure)
    if (!isUnsure) report(onExceed, isEnforced)
    if (!isEnforced) return newcomer.serve()
    if (onExceed === 'close' && !isUnsure) return newcomer.refuse(null)
    const waiting = new Waiting(newcomer, { clock, since: now, deadlines }, this.#bucket, {
      done: (one) => this.#forget(one),
      refusing: isUnsure ? () => report(onExceed, isEnforced) : null,
    })
    newcomer.hold()
    this.#waiting.add(waiting)
    this.#context.sweep.add(waiting)
    this.#context.tokenQueue.wait(this.#bucket, waiting)
  }

  /**
   * The listener accepts no more: those that wait for their turn are refused. Those that wait for an answer
   * do not wait for long.
   */
  close(): void {
    for (const waiting of [...this.#waiting]) if (!waiting.isInDoubt) waiting.giveUp()
  }

  /** All that wait are refused. */
  refuseAll(why: Reason): void {
    for (const waiting of [...this.#waiting]) waiting.giveUp(why)
  }

  #forget(waiting: Waiting): void {
    this.#waiting.delete(waiting)
    this.#context.sweep.delete(waiting)
    this.#context.tokenQueue.leave(this.#bucket, waiting)
  }
}

interface Patience {
  clock: Clock
  since: number
  deadlines: Live<{ handshakeMs: number }>
}

interface WaitOptions {
  done: (waiting: Waiting) => void
  /** Called when the newcomer is refused for want of a token; null: it waits until there is a token. */
  refusing: (() => void) | null
}

class Waiting implements Waiter, Swept {
  readonly #newcomer: NewConnection
  readonly #patience: Patience
  readonly #bucket: Tokens
  readonly #options: WaitOptions

  constructor(newcomer: NewConnection, patience: Patience, bucket: Tokens, options: WaitOptions) {
    this.#newcomer = newcomer
    this.#patience = patience
    this.#bucket = bucket
    this.#options = options
  }

  /** It waits for the answer of its fleet. */
  get isInDoubt(): boolean {
    return this.#options.refusing !== null
  }

  /**
   * A turn without a token is that of a refusal. An answer may have been to an earlier, smaller question: the
   * look for a token then asks the next one, and the wait goes on, in its place.
   */
  get needs(): number {
    const isWaiting = !this.isInDoubt || this.#bucket.isUnsure === true || this.#looksAgain()
    return isWaiting ? 1 : Number.NEGATIVE_INFINITY
  }

  #looksAgain(): boolean {
    return this.#bucket.has(1, this.#patience.clock.now()) || this.#bucket.isUnsure === true
  }

  onTurn(now: number): number {
    const { refusing, done } = this.#options
    if (refusing === null) this.#bucket.spend(1, now)
    else if (!this.#bucket.take(1, now)) {
      refusing()
      this.giveUp()
      return 0
    }
    done(this)
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

  giveUp(why: Reason | null = null): void {
    this.#options.done(this)
    this.#newcomer.refuse(why)
  }
}
