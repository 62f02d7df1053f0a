// The only file with raw timers. Everything else is handed a Clock, so that tests own the time.
//
// Deadlines are numbers that one coarse sweep compares, not timers: at 10,000 pairs a timer, a closure and a
// list node for each of ten deadlines would be most of the memory.

import { Roll } from './roll.ts'

/** Monotonic time: unlike the wall clock it never jumps. */
export interface Clock {
  /** Whole milliseconds since some fixed moment (a fraction would cost every record a boxed double). */
  now(): number
  /** Wall-clock milliseconds since 1970, for log lines only. */
  wall(): number
  /** Calls `run` every `ms` until the returned function is called. Does not keep the process alive. */
  every(ms: number, run: () => void): () => void
  /**
   * Calls `run` once, at least `ms` from now, never sooner, unless the returned function is called first.
   * Keeps the process alive.
   */
  after(ms: number, run: () => void): () => void
  /** Calls `run` after the event loop has polled its descriptors once more. */
  nextTurn(run: () => void): void
}

/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Math.floor(performance.now()),
  wall: () => Date.now(),
  every(ms, run) {
    const timer = setInterval(run, ms)
    timer.unref()
    return () => clearInterval(timer)
  },
  after(ms, run) {
    const at = systemClock.now() + Math.ceil(ms)
    // Node counts from the beginning of the current turn, so a timer fires early by as long as the turn has
    // already run.
    const look = () => {
      const leftMs = at - systemClock.now()
      if (leftMs <= 0) run()
      else timer = setTimeout(look, Math.min(leftMs, LONGEST_TIMER_MS))
    }
    let timer = setTimeout(look, Math.min(ms, LONGEST_TIMER_MS))
    return () => clearTimeout(timer)
  },
  nextTurn: (run) => void setImmediate(run),
}

/** Milliseconds of the kernel's clock, the same in all threads; `performance.now` starts anew in each. */
export function kernelMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Something with deadlines. */
export interface Swept {
  /** Its number in the one sweep that it is in; the sweep writes it. Absent or 0 while it is in no sweep. */
  sweptAs?: number
  /** Compares its deadlines with `now` (milliseconds of the Clock) and acts on each that is due. */
  sweep(now: number): void
  /**
   * Called when `sweep` threw, which is a bug of ours: ends the connection (or whatever this is), and nothing
   * else. Without it the error ends the process.
   */
  onBroken?(error: unknown): void
}

/**
 * The longest interval between two sweeps, in milliseconds: a deadline fires late by up to twice this, plus
 * one sweep where our own process stood still; never early.
 */
export const SWEEP_MS = 250

/**
 * Sweeps every open conversation a few times a second.
 *
 * The lag guard: a late sweep means that our own process stood still (SIGSTOP, a paused machine, CPU
 * throttling, a long collection), and the bytes that peers sent meanwhile wait unread in the kernel. Firing
 * deadlines now would kill innocent connections, so the sweep skips this round. Before the next round we read
 * and count those bytes, and the answers to them, which are a round trip away. The next round runs even if it
 * is late again, one turn of the event loop later: so every wait keeps its bound in a process that stumbles
 * all the time.
 */
export class Sweep {
  readonly #clock: Clock
  readonly #items = new Roll<Swept>()
  #lastNumber = 0
  #everyMs: number
  #stop: (() => void) | null = null
  #expectedAt = 0
  #hasLeftOut = false

  /** `shortestMs`: the shortest deadline to be swept; sweeping every eighth of it keeps the error small. */
  constructor(clock: Clock, shortestMs = Number.POSITIVE_INFINITY) {
    this.#clock = clock
    this.#everyMs = everyMs(shortestMs)
  }

  /** Changes the shortest deadline from now on. */
  retune(shortestMs: number): void {
    if (everyMs(shortestMs) === this.#everyMs) return
    this.#everyMs = everyMs(shortestMs)
    if (this.#stop === null) return
    this.#halt()
    this.#start()
  }

  get size(): number {
    return this.#items.size
  }

  add(item: Swept): void {
    if ((item.sweptAs ?? 0) !== 0) return
    item.sweptAs = ++this.#lastNumber
    this.#items.add(item.sweptAs, item)
    if (this.#stop === null) this.#start()
  }

  delete(item: Swept): void {
    if (this.#items.delete(item.sweptAs ?? 0, item)) item.sweptAs = 0
    if (this.#items.size === 0) this.#halt()
  }

  #start(): void {
    this.#hasLeftOut = false
    this.#expectedAt = this.#clock.now() + this.#everyMs
    this.#stop = this.#clock.every(this.#everyMs, () => this.#onTick())
  }

  #halt(): void {
    this.#stop?.()
    this.#stop = null
  }

  #onTick(): void {
    const now = this.#clock.now()
    const isLate = now - this.#expectedAt > Math.max(this.#everyMs, 50)
    this.#expectedAt = now + this.#everyMs
    if (!isLate) this.#run(now)
    else if (this.#hasLeftOut) this.#clock.nextTurn(() => this.#run(this.#clock.now()))
    this.#hasLeftOut = isLate && !this.#hasLeftOut
  }

  #run(now: number): void {
    // Only as many items as there are now: items that replace themselves in their sweep would make this loop
    // endless.
    let left = this.#items.size
    for (const item of this.#items) {
      if (left-- === 0) break
      this.#sweepOne(item, now)
    }
  }

  /** An item that throws does not stop the others. */
  #sweepOne(item: Swept, now: number): void {
    try {
      item.sweep(now)
    } catch (error) {
      if (item.onBroken !== undefined) return item.onBroken(error)
      this.delete(item)
      this.#clock.nextTurn(() => {
        throw error
      })
    }
  }
}

/** One sweep per name, so that short deadlines of one name do not make another's items be swept as often. */
export class Sweeps {
  readonly #clock: Clock
  readonly #byName = new Map<string, Sweep>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The sweep of `name`; the first call makes it, with its own `shortestMs`. */
  of(name: string, shortestMs: number): Sweep {
    let sweep = this.#byName.get(name)
    if (sweep === undefined) this.#byName.set(name, (sweep = new Sweep(this.#clock, shortestMs)))
    return sweep
  }
}

function everyMs(shortestMs: number): number {
  return Math.max(5, Math.min(SWEEP_MS, shortestMs / 8))
}
