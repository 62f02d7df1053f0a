// The queue of seekers that wait for a place at an upstream, or at one that a reload has made of it, first
// come, first served. Where several threads
// have such a queue, each publishes since when its first seeker has waited. No thread reports a free place to
// another: a thread with a queue looks every few milliseconds.
//
// A place goes to the seeker that came first in any thread, give or take 50 ms: a place handed to another
// thread stays empty until the next look there, so a seeker that came only a little earlier elsewhere is not
// worth it. A thread that does not take a place left to it within 100 ms (it hangs, or has ended) is passed
// over.

import type { Cells, Count, Heads } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'

/** A seeker that waits for a place. */
export interface Waiting {
  /** The upstream whose places it can take. */
  readonly home: Home
  /** Looks again; true when it has taken a place. It leaves the queue by itself. */
  lookAgain(): boolean
}

export interface Home {
  /** Whether a place is free at any address. */
  readonly hasRoom: boolean
}

const LOOK_MS = 20
const SLACK_MS = 50
const PATIENCE_MS = 100

export interface QueueContext {
  clock: Clock
  cells?: Cells
  name?: string
}

export class Queue {
  readonly #clock: Clock
  /** Counts and heads of all threads; null where there is one thread. */
  readonly #everywhere: { size: Count; heads: Heads } | null
  /** Since when each seeker waits. */
  readonly #waiting = new Map<Waiting, number>()
  /** The upstreams that seekers wait for, and how many for each. */
  readonly #homes = new Map<Home, number>()
  #stop: (() => void) | null = null
  /** The earliest seeker elsewhere that a place is left to (named by its start), and since when. */
  #left: { to: number; at: number } | null = null
  /** The start of the seeker elsewhere that did not take it. */
  #passedOver: number | null = null

  constructor({ clock, cells, name = '' }: QueueContext) {
    this.#clock = clock
    const heads = cells?.heads?.(`${name} queue`)
    this.#everywhere =
      cells === undefined || heads === undefined ? null : { size: cells.count(`${name} queue`), heads }
  }

  /** The seekers of this thread. */
  get size(): number {
    return this.#waiting.size
  }

  /**
   * Whether a seeker waits in any of several threads; where there is one thread, its queue takes a freed
   * place at once.
   */
  get isAwaited(): boolean {
    return this.#everywhere !== null && this.#everywhere.size.held > 0
  }

  /** The seeker stays until it leaves. */
  add(waiting: Waiting): void {
    if (this.#waiting.has(waiting)) return
    const now = this.#clock.now()
    this.#waiting.set(waiting, now)
    this.#countAt(waiting.home, 1)
    if (this.#everywhere === null) return
    this.#everywhere.size.take(Number.POSITIVE_INFINITY)
    if (this.#waiting.size === 1) this.#everywhere.heads.set(now)
    this.#stop ??= this.#clock.every(LOOK_MS, () => this.#onTick())
  }

  delete(waiting: Waiting): void {
    const first = this.#first
    if (!this.#waiting.delete(waiting)) return
    this.#countAt(waiting.home, -1)
    if (this.#everywhere === null) return
    this.#everywhere.size.release()
    if (this.#first !== first || this.#waiting.size === 0) this.#everywhere.heads.set(this.#first)
    if (this.#waiting.size > 0) return
    this.#stop?.()
    this.#stop = null
  }

  /** Since when the first seeker waits. */
  get #first(): number | null {
    const [first = null] = this.#waiting.values()
    return first
  }

  /** One place is free: the seeker that has waited longest, and can use it, takes it. False: none has. */
  serveOne(): boolean {
    if (this.#isForOthers()) return false
    for (const waiting of this.#waiting.keys()) if (waiting.lookAgain()) return true
    return false
  }

  /** Several places may be free: each goes to the seeker that has waited longest, in any thread. */
  serveInTurn(): void {
    while (this.#hasRoom && this.serveOne());
  }

  serveAll(): void {
    for (const waiting of [...this.#waiting.keys()]) if (this.#waiting.has(waiting)) waiting.lookAgain()
  }

  #onTick(): void {
    if (this.#hasRoom) this.serveInTurn()
    else this.#left = null
  }

  get #hasRoom(): boolean {
    for (const home of this.#homes.keys()) if (home.hasRoom) return true
    return false
  }

  #countAt(home: Home, by: 1 | -1): void {
    const count = (this.#homes.get(home) ?? 0) + by
    if (count === 0) this.#homes.delete(home)
    else this.#homes.set(home, count)
  }

  /** Whether the free place is for a seeker that came earlier in another thread. */
  #isForOthers(): boolean {
    const earliest = this.#earlierElsewhere()
    if (earliest === null) {
      this.#left = null
      return false
    }
    const now = this.#clock.now()
    if (this.#left?.to !== earliest) this.#left = { to: earliest, at: now }
    if (now - this.#left.at < PATIENCE_MS) return true
    this.#passedOver = earliest
    this.#left = null
    return false
  }

  #earlierElsewhere(): number | null {
    const first = this.#first
    if (this.#everywhere === null || first === null) return null
    const { size, heads } = this.#everywhere
    if (size.held <= this.#waiting.size) return null
    const { earliest } = heads
    if (earliest === null || earliest === this.#passedOver) return null
    return earliest + SLACK_MS < first ? earliest : null
  }
}
