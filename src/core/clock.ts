// The only file with raw timers. Everything else is handed a Clock, so that tests own the time.
//
// Deadlines are numbers that one coarse sweep compares, not timers: at 10,000 pairs a timer, a closure and a
// list node for each of ten deadlines would be most of the memory.

import { Roll } from './roll.ts'

/** Monotonic time; the wall clock may jump, this does not. */
export interface Clock {
  /** Whole milliseconds since some fixed moment (whole: a fraction would cost every record a boxed double). */
  now(): number
  /** Wall-clock milliseconds since 1970, for log lines only. */
  wall(): number
  /** Calls `run` every `ms` until the returned function is called. Does not keep the process alive. */
  every(ms: number, run: () => void): () => void
  /** Calls `run` once, `ms` from `now` or later and never before, unless the returned function is called first. Keeps the process alive. */
  after(ms: number, run: () => void): () => void
  /** Calls `run` after the event loop has polled its descriptors once more. */
  nextTurn(run: () => void): void
}

/** Node runs a longer one at once. */
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
    // Node counts from the beginning of the turn, so a timer comes early by as long as the turn has lasted already.
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

/** Milliseconds of the kernel's clock, the same for all threads; `performance.now` begins with each of them. */
export function kernelMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Something with deadlines. */
export interface Swept {
  /** Its number in its sweep, which writes it: it is in no more than one. Absent or 0 while it is in none. */
  sweptAs?: number
  /** Compares its deadlines with `now` (milliseconds of the Clock) and acts on those that are due. */
  sweep(now: number): void
  /** Its sweep threw, which is a bug of ours: ends what it stands for, and nothing else. Without it the error ends the process. */
  onBroken?(error: unknown): void
}

/**
 * How far apart two sweeps are at the most, in milliseconds: a deadline fires late by up to twice this, and by one sweep
 * more where our own process stood still; never early.
 */
export const SWEEP_MS = 250

/**
 * Looks at every open conversation a few times a second.
 *
 * The lag guard: when a sweep comes late, our own process stood still (SIGSTOP, a paused machine, CPU throttling, a long
 * collection) and what the peers sent meanwhile waits unread in the kernel. Firing now would kill the innocent, so the
 * late sweep is left out. Until the next one those bytes are read and counted, and so are the answers to them, which are
 * a round trip away. The next one is made even if it is late again, a turn of the event loop later: in a process that
 * stumbles all the time every wait still has its bound.
 */
export class Sweep {
  readonly #clock: Clock
  readonly #items = new Roll<Swept>()
  #lastNumber = 0
  #everyMs: number
  #stop: (() => void) | null = null
  #expectedAt = 0
  #hasLeftOut = false

  /** `shortestMs`: the shortest deadline that will be swept; a sweep every eighth of it keeps the error small. */
  constructor(clock: Clock, shortestMs = Number.POSITIVE_INFINITY) {
    this.#clock = clock
    this.#everyMs = everyMs(shortestMs)
  }

  /** From now on the shortest deadline is another one. */
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
    // No more than there are now: items that replace themselves in their sweep would make this one endless.
    let left = this.#items.size
    for (const item of this.#items) {
      if (left-- === 0) break
      this.#sweepOne(item, now)
    }
  }

  /** One that is broken takes no other with it. */
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

/** A sweep for each name, so that the short deadlines of one do not make what belongs to another be looked at as often. */
export class Sweeps {
  readonly #clock: Clock
  readonly #byName = new Map<string, Sweep>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** That of `name`, which is made with the shortest deadline that it is asked with first. */
  of(name: string, shortestMs: number): Sweep {
    let sweep = this.#byName.get(name)
    if (sweep === undefined) this.#byName.set(name, (sweep = new Sweep(this.#clock, shortestMs)))
    return sweep
  }
}

function everyMs(shortestMs: number): number {
  return Math.max(5, Math.min(SWEEP_MS, shortestMs / 8))
}
