// How a running gate is emptied, whoever asks for it: the admin server, SIGTERM, SIGINT.
//
//     none --begin()--> announced      readiness fails, answers say `Connection: close`, and it still accepts: load balancers
//                          |           learn of it only after a while, and what they send meanwhile must not be refused
//          <--undo()-------+
//                     minDuration
//                          |
//                       parting        listeners are closed; each connection is asked to go at a moment of its own (Parting)
//                          |           over `spread`; at `timeout`, from the beginning, those that are left are reset
//                       none left
//                          |
//                       finished       for good: the process stays until it is told to end
//
// Invariant: nobody is reset before the timeout, and nobody is left after it.

import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Reason } from '../core/close.ts'
import type { Connection, Registry } from '../core/connection.ts'
import type { Log } from '../log/log.ts'
import { Parting } from './parting.ts'

export type DrainState = 'none' | 'announced' | 'parting' | 'finished'
export type DrainTrigger = 'admin' | 'SIGTERM' | 'SIGINT'

/** Milliseconds. */
export interface DrainTimes {
  minDurationMs: number
  spreadMs: number
  /** From the beginning of the drain. */
  timeoutMs: number
}

export interface DrainResult {
  /** Connections that went when they were asked. */
  drained: number
  /** Connections that were reset at the timeout. */
  forced: number
  /** Connections that ended meanwhile for a reason of their own. */
  others: number
  tookMs: number
  isUndone: boolean
}

export interface DrainParts {
  clock: Clock
  /** 0..1. */
  random: () => number
  registry: Registry
  log: Pick<Log, 'info' | 'warn'>
  /** Closes the listeners; connections go on. */
  stopAccepting: () => void
}

/** How long `waitDrained` waits for a drain to begin: a preStop hook of the application may come a moment before ours. */
export const BEGINS_WITHIN_MS = 5000
/** For sockets that were reset to be gone. */
const RESET_MS = 1000

export class Drain {
  readonly #parts: DrainParts
  readonly #waiters = new Set<() => void>()
  #state: DrainState = 'none'
  #times: DrainTimes = { minDurationMs: 0, spreadMs: 0, timeoutMs: 0 }
  #isFinal = false
  #startedAt = 0
  #counts = { drained: 0, forced: 0, others: 0 }
  #parting: Parting | null = null
  /** Of the timers that run. */
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

  /** Resolves when none is left. A drain that has begun already goes on as it was begun, and cannot be undone if a signal asks too. */
  begin(trigger: DrainTrigger, times: DrainTimes): Promise<DrainResult> {
    this.#isFinal ||= trigger !== 'admin'
    if (this.#state !== 'none') return this.#done.promise
    const { clock, log, registry } = this.#parts
    this.#state = 'announced'
    this.#times = times
    this.#startedAt = clock.now()
    this.#counts = { drained: 0, forced: 0, others: 0 }
    const { minDurationMs, spreadMs, timeoutMs } = times
    log.info('drain begins', { trigger, connections: registry.size, minDurationMs, spreadMs, timeoutMs })
    this.#after(timeoutMs, () => this.#force())
    if (minDurationMs === 0) this.#part()
    else this.#after(minDurationMs, () => this.#part())
    return this.#done.promise
  }

  /** Takes it back while the listeners are open; false if it is too late, there is none, or the process was told to end. */
  undo(): boolean {
    if (this.#state !== 'announced' || this.#isFinal) return false
    this.#state = 'none'
    this.#parts.log.info('drain undone')
    this.#settle(true)
    return true
  }

  /**
   * Resolves when a drain is finished (or undone), and also where none begins within five seconds: a preStop hook runs when a container
   * is restarted for a failed liveness probe too, and nothing is drained then. `onGone` is given what to call if nobody waits any more.
   */
  waitDrained(onGone?: (run: () => void) => void): Promise<void> {
    if (this.#state === 'finished') return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        cancel()
        this.#waiters.delete(done)
        resolve()
      }
      const cancel = this.#parts.clock.after(BEGINS_WITHIN_MS, () => {
        if (this.#state === 'none') done()
      })
      this.#waiters.add(done)
      onGone?.(done)
    })
  }

  /** A connection is gone. */
  onClosed({ end }: Connection): void {
    if (this.#state !== 'announced' && this.#state !== 'parting') return
    if (end?.reason === 'drain') this.#counts.drained++
    else if (end?.reason === 'drain_timeout') this.#counts.forced++
    else this.#counts.others++
    if (this.#state === 'parting' && this.#parts.registry.size === 0) this.#finish()
  }

  /** Stops all timers; who waits is not kept waiting. */
  stop(): void {
    if (this.#state !== 'finished') this.#settle(false)
  }

  #part(): void {
    const { clock, random, registry, log, stopAccepting } = this.#parts
    this.#state = 'parting'
    stopAccepting()
    log.info('drain: listeners closed', { connections: registry.size })
    if (registry.size === 0) return this.#finish()
    // Whoever is asked has the rest of the time to go, so none may be asked when it is over.
    const spreadMs = Math.min(this.#times.spreadMs, Math.max(0, this.#times.timeoutMs - (clock.now() - this.#startedAt)))
    this.#parting = new Parting({ clock, random, connections: registry, spreadMs, ask: (connection) => close(connection, 'drain') })
  }

  #force(): void {
    const { registry, log } = this.#parts
    if (this.#state === 'announced') this.#part()
    if (registry.size === 0) return
    log.warn('drain: out of time, resetting what is left (drain.timeout)', { connections: registry.size })
    for (const connection of [...registry]) close(connection, 'drain_timeout')
    if (this.#state === 'parting') this.#after(RESET_MS, () => this.#finish())
  }

  #finish(): void {
    this.#state = 'finished'
    this.#parts.log.info('drain finished', { ...this.#counts, tookMs: this.#parts.clock.now() - this.#startedAt })
    this.#settle(false)
  }

  #settle(isUndone: boolean): void {
    for (const cancel of this.#cancels.splice(0)) cancel()
    this.#parting?.cancel()
    for (const done of [...this.#waiters]) done()
    this.#done.resolve({ ...this.#counts, tookMs: this.#parts.clock.now() - this.#startedAt, isUndone })
    this.#done = this.#state === 'none' ? Promise.withResolvers<DrainResult>() : this.#done
  }

  #after(ms: number, run: () => void): void {
    this.#cancels.push(this.#parts.clock.after(ms, run))
  }
}

function close(connection: Connection, reason: Reason): void {
  connection.owner?.close(makeClose(reason, 'sidegate', connection.phase))
}
