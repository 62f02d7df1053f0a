// Connections that no gate let in, in the log: the first at once, then one line a second for each listener and reason, with
// how many there were. A flood of refusals must not become a flood of lines.

import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { Log } from './log.ts'

const EVERY_MS = 1000

export class Rejections {
  readonly #log: Pick<Log, 'info'>
  readonly #clock: Clock
  readonly #told = new Map<string, { at: number; since: number }>()

  constructor(log: Pick<Log, 'info'>, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  /** `client` tells the address of this one; those that are counted only are not asked. */
  note(listener: string, close: Close, client: () => string): void {
    const key = `${listener} ${close.reason}`
    const now = this.#clock.now()
    const told = this.#told.get(key)
    if (told !== undefined && now - told.at < EVERY_MS) {
      told.since++
      return
    }
    const { reason, side, phase, detail } = close
    this.#log.info('connection refused', { listener, client: client(), close: reason, side, phase, detail, count: (told?.since ?? 0) + 1 })
    this.#told.set(key, { at: now, since: 0 })
  }
}
