// A Clock that stands still until the test lets time pass. One step of it is one turn of Node's event loop:
//
//   due `every` and `after` callbacks  ->  poll: `arrive` callbacks, streams settle  ->  `nextTurn` callbacks

import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/core/clock.ts'

interface Timer {
  at: number
  /** Milliseconds between two runs; null for `after`. */
  everyMs: number | null
  run: () => void
}

export interface FakeClock extends Clock {
  /** Runs the callbacks that fall due in the next `ms`, in order, each at its own now(). `pass(0)` runs overdue ones. */
  pass(ms: number): Promise<void>
  /** The process stood still: `ms` went by and nothing ran. Callbacks that fell due run late, once, at the next `pass`. */
  freeze(ms: number): void
  /** Calls `run` at the next poll: after the due ticks, before `nextTurn`. For bytes that waited in the kernel. */
  arrive(run: () => void): void
  /** Moves the wall clock alone, forward or back. */
  jumpWall(ms: number): void
  /** Callbacks of `every`, `after` and `nextTurn` that have not been run or stopped. */
  readonly armed: { every: number; after: number; nextTurn: number }
}

export function fakeClock(options: { now?: number; wall?: number } = {}): FakeClock {
  let now = options.now ?? 1_000
  let wallOffset = (options.wall ?? Date.UTC(2026, 0, 1)) - now
  const timers = new Set<Timer>()
  let turns: (() => void)[] = []
  let arrivals: (() => void)[] = []

  function arm(ms: number, isRepeated: boolean, run: () => void): () => void {
    // As setInterval and setTimeout: whole milliseconds, at least one, and 1 ms for a time that does not fit 31 bits.
    const delayMs = ms >= 1 && ms <= 2 ** 31 - 1 ? Math.trunc(ms) : 1
    const timer: Timer = { at: now + delayMs, everyMs: isRepeated ? delayMs : null, run }
    timers.add(timer)
    return () => void timers.delete(timer)
  }

  function nextDue(until: number): Timer | null {
    let first: Timer | null = null
    for (const timer of timers) if (timer.at <= until && timer.at < (first?.at ?? Infinity)) first = timer
    return first
  }

  function fire(timer: Timer): void {
    if (timer.everyMs === null) timers.delete(timer)
    timer.run()
    // From now, as Node does it: it does not catch up with missed ticks.
    if (timer.everyMs === null || !timers.delete(timer)) return
    timer.at = now + timer.everyMs
    timers.add(timer)
  }

  async function poll(): Promise<void> {
    let rounds = 0
    do {
      if (++rounds > 1000) throw new Error('nextTurn calls itself for ever')
      const came = arrivals
      arrivals = []
      for (const run of came) run()
      await turn()
      const due = turns
      turns = []
      for (const run of due) run()
      await turn()
    } while (turns.length + arrivals.length > 0)
  }

  return {
    now: () => now,
    wall: () => now + wallOffset,
    every: (ms, run) => arm(ms, true, run),
    after: (ms, run) => arm(ms, false, run),
    nextTurn: (run) => void turns.push(run),
    arrive: (run) => void arrivals.push(run),
    freeze: (ms) => void (now += ms),
    jumpWall: (ms) => void (wallOffset += ms),
    get armed() {
      const every = [...timers].filter((timer) => timer.everyMs !== null).length
      return { every, after: timers.size - every, nextTurn: turns.length }
    },
    async pass(ms) {
      const until = now + ms
      // Streams that move by themselves settle before the first tick. After a freeze the ticks come first: see above.
      if (nextDue(now) === null) await poll()
      for (let due = nextDue(until); due !== null; due = nextDue(until)) {
        now = Math.max(now, due.at)
        for (const timer of dueAt(now)) if (timers.has(timer)) fire(timer)
        await poll()
      }
      now = until
    },
  }

  function dueAt(moment: number): Timer[] {
    return [...timers].filter((timer) => timer.at <= moment).sort((one, other) => one.at - other.at)
  }
}
