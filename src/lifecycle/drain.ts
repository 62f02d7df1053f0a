// The drain of a running process, for the admin server, SIGTERM and SIGINT alike. The states are here, once
// for the process; each gate lets its own connections go (departure.ts).
//
//     none --begin()--> announced   readiness fails, answers say `Connection: close`, and the process still
//                          |        accepts: load balancers notice only after a while, and must not be refused
//                          |        until then
//          <--undo()-------+
//                     minDuration
//                          |
//                       parting     listeners are closed; each connection is asked to go at a moment of its own
//                          |        over `spread`; tcp, which cannot be asked, ends in the last `spread` before
//                          |        `timeout`; at `timeout`, from the beginning, the remaining ones are reset
//                       none left
//                          |
//                       finished    for good: the process stays until a signal ends it
//
// Invariant: no connection is reset before the timeout, and none is left after it.

import type { Clock } from '../core/clock.ts'
import type { Log } from '../log/log.ts'
import { noDrainCounts } from './departure.ts'
import type { DrainCounts, DrainStep } from './departure.ts'

export type DrainState = 'none' | 'announced' | 'parting' | 'finished'
export type DrainTrigger = 'admin' | 'SIGTERM' | 'SIGINT'

/** Milliseconds, but for `tcp`. */
export interface DrainTimes {
  minDurationMs: number
  spreadMs: number
  /** From the beginning of the drain. */
  timeoutMs: number
  /** `wait`: tcp connections are left alone while there is time. */
  tcp: 'wait' | 'spread'
}

export interface DrainResult extends DrainCounts {
  tookMs: number
  isUndone: boolean
}

/** All gates of the process. */
export interface DrainGates {
  /** Open connections, now. */
  readonly open: number
  /** Resolves with how connections ended up to then. */
  drain(step: DrainStep): Promise<DrainCounts>
}

export interface DrainParts {
  clock: Clock
  log: Pick<Log, 'info' | 'warn'>
  gates: DrainGates
}

/** How long `waitDrained` waits for a drain: the application's preStop hook may run a moment before ours. */
export const BEGINS_WITHIN_MS = 5000
/** The time for gates to accept the last clients and close their listeners. */
const PARTED_MS = 1000
/** The time for reset sockets to be gone. */
const RESET_MS = 1000

export class Drain {
  readonly #parts: DrainParts
  readonly #waiters = new Set<() => void>()
  #result: DrainResult | null = null
  #state: DrainState = 'none'
  #times: DrainTimes = { minDurationMs: 0, spreadMs: 0, timeoutMs: 0, tcp: 'wait' }
  #isFinal = false
  #startedAt = 0
  /** Cancel the running timers. */
  #cancels: Array<() => void> = []
  #done = Promise.withResolvers<DrainResult>()

  constructor(parts: DrainParts) {
    this.#parts = parts
  }

  get state(): DrainState {
    return this.#state
  }

  get isUnderway(): boolean {
    return this.#state !== 'none'
  }

  /** Resolves when none is left. A drain under way goes on as it began; a signal rules out `undo`. */
  begin(trigger: DrainTrigger, times: DrainTimes): Promise<DrainResult> {
    this.#isFinal ||= trigger !== 'admin'
    if (this.#state !== 'none') return this.#done.promise
    const { clock, log, gates } = this.#parts
    this.#state = 'announced'
    this.#times = times
    this.#startedAt = clock.now()
    this.#result = null
    const { minDurationMs, spreadMs, timeoutMs, tcp } = times
    log.info('drain begins', { trigger, connections: gates.open, minDurationMs, spreadMs, timeoutMs, tcp })
    void gates.drain({ step: 'announce' })
    this.#after(timeoutMs, () => this.#force())
    if (minDurationMs === 0) void this.#part()
    else this.#after(minDurationMs, () => void this.#part())
    return this.#done.promise
  }

  /**
   * Undoes the drain while the listeners are open; returns false if it is too late, there is none, or a
   * signal asked the process to end.
   */
  undo(): boolean {
    if (this.#state !== 'announced' || this.#isFinal) return false
    this.#state = 'none'
    this.#parts.log.info('drain undone')
    void this.#settle({ step: 'undo' }, true)
    return true
  }

  /**
   * Resolves when a drain is finished (or undone), and also if none begins within five seconds: a preStop
   * hook also runs when a container is restarted for a failed liveness probe, and no drain begins then.
   * `onGone` gets a function to call when the waiter is gone. Resolves with how the connections ended; null
   * if there was no drain.
   */
  waitDrained(onGone?: (run: () => void) => void): Promise<DrainResult | null> {
    if (this.#state === 'finished' && this.#result !== null) return Promise.resolve(this.#result)
    return new Promise((resolve) => {
      const done = (): void => {
        cancel()
        this.#waiters.delete(done)
        resolve(this.#state === 'none' ? null : this.#result)
      }
      const cancel = this.#parts.clock.after(BEGINS_WITHIN_MS, () => {
        if (this.#state === 'none') done()
      })
      this.#waiters.add(done)
      onGone?.(done)
    })
  }

  /** The last connection of a gate is gone. */
  onEmpty(): void {
    if (this.#state === 'parting' && this.#parts.gates.open === 0) this.#finish()
  }

  /** The process ends now: the remaining connections are reset, all timers stopped, all waiters released. */
  async stop(): Promise<void> {
    if (this.#state === 'finished') return
    if (!this.isUnderway) return this.#release({ ...noDrainCounts(), tookMs: 0, isUndone: false }, this.#done)
    const left = this.#parts.gates.open
    this.#state = 'finished'
    const { cut } = await this.#settle({ step: 'end' }, false)
    if (left > 0)
      this.#parts.log.warn('drain: told to end at once, resetting what is left', { connections: left, cut })
  }

  async #part(): Promise<void> {
    const { clock, log, gates } = this.#parts
    this.#state = 'parting'
    const { spreadMs, timeoutMs, tcp } = this.#times
    log.info('drain: listeners closed', { connections: gates.open })
    const leftMs = Math.max(0, timeoutMs - (clock.now() - this.#startedAt))
    const parted = gates.drain({ step: 'part', spreadMs, leftMs, tcp })
    // A gate that does not answer may have nobody left, too.
    this.#after(PARTED_MS, () => this.onEmpty())
    await parted
    this.onEmpty()
  }

  #force(): void {
    const { log, gates } = this.#parts
    if (this.#state === 'announced') void this.#part()
    if (this.#state !== 'parting' || gates.open === 0) return
    log.warn('drain: out of time, resetting what is left (drain.timeout)', { connections: gates.open })
    void gates.drain({ step: 'force' })
    if (this.#state === 'parting') this.#after(RESET_MS, () => this.#finish())
  }

  #finish(): void {
    if (this.#state !== 'parting') return
    this.#state = 'finished'
    void this.#settle({ step: 'finish' }, false).then((counts) =>
      this.#parts.log.info('drain finished', { ...counts, tookMs: this.#result!.tookMs }),
    )
  }

  /** Stops all timers and releases all waiters. */
  async #settle(step: DrainStep, isUndone: boolean): Promise<DrainCounts> {
    for (const cancel of this.#cancels.splice(0)) cancel()
    const tookMs = this.#parts.clock.now() - this.#startedAt
    const done = this.#done
    if (isUndone) this.#done = Promise.withResolvers<DrainResult>()
    const counts = await this.#parts.gates.drain(step)
    this.#release({ ...counts, tookMs, isUndone }, done)
    return counts
  }

  #release(result: DrainResult, done: PromiseWithResolvers<DrainResult>): void {
    this.#result = result
    for (const waiter of [...this.#waiters]) waiter()
    done.resolve(result)
  }

  #after(ms: number, run: () => void): void {
    this.#cancels.push(this.#parts.clock.after(ms, run))
  }
}
