// The switch of the log's level while it runs, for good or for a while. A level that was raised for an hour
// goes back by itself, so that no debug log is forgotten for a week.

import type { Clock } from '../core/clock.ts'
import { logLevels } from '../log/line.ts'
import type { LogLevel } from '../log/line.ts'
import type { LevelView } from './types.ts'

export interface Leveled {
  level: LogLevel
}

export class LogLevelSwitch {
  readonly #log: Leveled
  readonly #clock: Clock
  /** The level of the configuration. */
  #configured: LogLevel
  /** The level to return to, and when; null while the level is for good. */
  #pending: { base: LogLevel; at: number; cancel: () => void } | null = null

  constructor(log: Leveled, clock: Clock) {
    this.#log = log
    this.#configured = log.level
    this.#clock = clock
  }

  /**
   * The configuration has this level from now on. A level that was set for a while stays until its end, and
   * one for good until the configuration changes.
   */
  configure(level: LogLevel): void {
    if (level === this.#configured) return
    this.#configured = level
    if (this.#pending === null) this.#log.level = level
    else this.#pending.base = level
  }

  /** `forMs` is null for good. A change while one is pending keeps the level that was there before both. */
  set(level: LogLevel, forMs: number | null): void {
    const base = this.#pending?.base ?? this.#log.level
    this.#pending?.cancel()
    this.#log.level = level
    this.#pending =
      forMs === null
        ? null
        : { base, at: this.#clock.now() + forMs, cancel: this.#clock.after(forMs, () => this.goBack()) }
  }

  /** Goes back at once, if a change is pending: an armed timer would keep the process alive. */
  goBack(): void {
    if (this.#pending === null) return
    this.#pending.cancel()
    this.#log.level = this.#pending.base
    this.#pending = null
  }

  view(): LevelView {
    const { level } = this.#log
    if (this.#pending === null) return { level, goesBackTo: null, goesBackAt: null }
    const { base, at } = this.#pending
    return {
      level,
      goesBackTo: base,
      goesBackAt: new Date(this.#clock.wall() + at - this.#clock.now()).toISOString(),
    }
  }
}

export function readLevel(text: string | null): LogLevel | null {
  return logLevels.find((level) => level === text) ?? null
}
