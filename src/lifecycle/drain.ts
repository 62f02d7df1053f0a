// How a running gate is emptied, whoever asks for it: the admin server, SIGTERM, SIGINT.
//
//     none --begin()--> announced      readiness fails, answers say `Connection: close`, and it still accepts: load balancers
//                          |           learn of it only after a while, and what they send meanwhile must not be refused
//          <--undo()-------+
//                     minDuration
//                          |
//                       parting        listeners are closed; each connection is asked to go at a moment of its own (Parting)
//                          |           over `spread`; tcp, which cannot be asked, in the last `spread` before `timeout`
//                          |           (PatientParting); at `timeout`, from the beginning, those that are left are reset
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
import { PatientParting } from './patient-parting.ts'

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

export interface DrainCounts {
  /** Connections that went when they were asked. */
  drained: number
  /** Connections that were reset at the timeout. */
  forced: number
  /** Connections that ended meanwhile for a reason of their own. */
  others: number
  /** Of `drained` and `forced`, those that were owed bytes or an answer when they were ended. */
  cut: number
}

export interface DrainResult extends DrainCounts {
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
/** So long before what is left is reset every tcp connection has got its FIN: to be ended is better than to be reset. */
const LAST_MS = 1000

const none = (): DrainCounts => ({ drained: 0, forced: 0, others: 0, cut: 0 })

export class Drain {
  readonly #parts: DrainParts
  readonly #waiters = new Set<() => void>()
  #result: DrainResult | null = null
  #state: DrainState = 'none'
  #times: DrainTimes = { minDurationMs: 0, spreadMs: 0, timeoutMs: 0, tcp: 'wait' }
  #isFinal = false
  #startedAt = 0
  #counts = none()
  #partings: Array<Parting | PatientParting> = []
  /** Connections of all drains that were ended while they were owed something. */
  totalCut = 0
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
    this.#counts = none()
    const { minDurationMs, spreadMs, timeoutMs, tcp } = times
    log.info('drain begins', { trigger, connections: registry.size, minDurationMs, spreadMs, timeoutMs, tcp })
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
   * Resolves with what became of the connections; null where there was no drain.
   */
  waitDrained(onGone?: (run: () => void) => void): Promise<DrainResult | null> {
    if (this.#state === 'finished') return Promise.resolve(this.#result)
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

  /** A connection is gone. */
  onClosed(connection: Connection): void {
    if (this.#state !== 'announced' && this.#state !== 'parting') return
    this.#count(connection)
    if (this.#state === 'parting' && this.#parts.registry.size === 0) this.#finish()
  }

  /** The process ends now: what is left is reset, all timers are stopped, and nobody who waits is kept waiting. */
  stop(): void {
    if (this.#state === 'finished') return
    if (this.isUnderway) this.#endAtOnce()
    this.#settle(false)
  }

  /** Told to end before it was done, by a second signal. */
  #endAtOnce(): void {
    const { registry, log } = this.#parts
    const left = [...registry]
    this.#state = 'finished'
    for (const connection of left) end(connection, 'drain_timeout')
    // Their sockets are gone only after this turn; nobody will count them then.
    for (const connection of left) this.#count(connection)
    if (left.length > 0) log.warn('drain: told to end at once, resetting what is left', { connections: left.length, cut: this.#counts.cut })
  }

  #count({ end, isCut }: Connection): void {
    const became = end?.reason === 'drain' ? 'drained' : end?.reason === 'drain_timeout' ? 'forced' : 'others'
    this.#counts[became]++
    if (became === 'others' || !isCut) return
    this.#counts.cut++
    this.totalCut++
  }

  #part(): void {
    const { clock, random, registry, log, stopAccepting } = this.#parts
    this.#state = 'parting'
    stopAccepting()
    log.info('drain: listeners closed', { connections: registry.size })
    if (registry.size === 0) return this.#finish()
    // Whoever is asked has the rest of the time to go, so none may be asked when it is over.
    const leftMs = Math.max(0, this.#times.timeoutMs - (clock.now() - this.#startedAt))
    const ask = (connection: Connection): void => end(connection, 'drain')
    const isPatient = (connection: Connection): boolean => this.#times.tcp === 'wait' && connection.protocol === 'tcp'
    const connections = [...registry].filter((connection) => !isPatient(connection))
    const waiting = (): Connection[] => [...registry].filter((connection) => isPatient(connection) && connection.end === null)
    if (waiting().length > 0) this.#partings.push(new PatientParting({ clock, random, connections: waiting, ...this.#patience(leftMs), ask }))
    this.#partings.push(new Parting({ clock, random, connections, spreadMs: Math.min(this.#times.spreadMs, leftMs), ask }))
  }

  /** The last `spread` before the timeout, less the time to go. */
  #patience(leftMs: number): { waitMs: number; windowMs: number } {
    const { spreadMs } = this.#times
    const waitMs = Math.max(0, leftMs - Math.max(spreadMs, LAST_MS))
    return { waitMs, windowMs: Math.max(0, Math.min(spreadMs, leftMs) - LAST_MS) }
  }

  #force(): void {
    const { registry, log } = this.#parts
    if (this.#state === 'announced') this.#part()
    if (registry.size === 0) return
    log.warn('drain: out of time, resetting what is left (drain.timeout)', { connections: registry.size })
    for (const connection of [...registry]) end(connection, 'drain_timeout')
    if (this.#state === 'parting') this.#after(RESET_MS, () => this.#finish())
  }

  #finish(): void {
    this.#state = 'finished'
    this.#parts.log.info('drain finished', { ...this.#counts, tookMs: this.#parts.clock.now() - this.#startedAt })
    this.#settle(false)
  }

  #settle(isUndone: boolean): void {
    for (const cancel of this.#cancels.splice(0)) cancel()
    for (const parting of this.#partings.splice(0)) parting.cancel()
    this.#result = { ...this.#counts, tookMs: this.#parts.clock.now() - this.#startedAt, isUndone }
    for (const done of [...this.#waiters]) done()
    this.#done.resolve(this.#result)
    this.#done = this.#state === 'none' ? Promise.withResolvers<DrainResult>() : this.#done
  }

  #after(ms: number, run: () => void): void {
    this.#cancels.push(this.#parts.clock.after(ms, run))
  }
}

function end(connection: Connection, reason: Reason): void {
  connection.owner?.close(makeClose(reason, 'sidegate', connection.phase))
}
