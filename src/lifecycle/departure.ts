// The departure of one gate's connections, a step at a time, on the orders of the process's drain (drain.ts).
// It counts how they ended, and reports when the last one is gone.
//
//     announce    answers say `Connection: close`, and the gate still accepts
//     part        listeners are closed; each connection is asked to go at a moment of its own over `spread`
//                 (SpreadClose), or, with tcp `wait`, in the last `spread` before the timeout (PatientClose). A
//                 client that is inside its handshake is admitted once that is done, and asked like the others
//     force       the remaining connections are reset
//     end         the process ends now: as `force`, and the remaining connections are counted at once, though
//                 their sockets are gone only after this turn
//     undo        back to the state before `announce`
//     finish      no connection is left to ask

import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Reason } from '../core/close.ts'
import type { Connection, Registry } from '../core/connection.ts'
import { SpreadClose } from './spread-close.ts'
import { isPatient, patience, PatientClose } from './patient-close.ts'

/** Plain data. */
export type DrainStep =
  | { step: 'announce' | 'force' | 'end' | 'undo' | 'finish' }
  /** `leftMs`: until the remaining connections are reset. */
  | { step: 'part'; spreadMs: number; leftMs: number; tcp: 'wait' | 'spread' }

/** Counts since `announce`. */
export interface DrainCounts {
  /** Connections that ended when they were asked to. */
  drained: number
  /** Connections that were reset at the timeout. */
  forced: number
  /** Connections that ended meanwhile for a reason of their own. */
  others: number
  /** Those of `drained` and `forced` that were owed bytes or an answer at their end. */
  cut: number
}

export interface DepartureParts {
  clock: Clock
  /** 0..1. */
  random: () => number
  registry: Registry
  /** Closes the listeners; connections go on, and admission. */
  stopAccepting: () => void
  /** Ends the connections that wait in admission. */
  refuseArriving: (reason: Reason) => void
  /** The last connection is gone, and nobody waits in admission, after `part`. */
  onEmpty: () => void
}

export const noDrainCounts = (): DrainCounts => ({ drained: 0, forced: 0, others: 0, cut: 0 })

export class Departure {
  readonly #parts: DepartureParts
  #state: 'none' | 'announced' | 'parting' | 'over' = 'none'
  #counts = noDrainCounts()
  #closings: Array<SpreadClose | PatientClose> = []
  #hasStopped = false
  /** The order to part, and when the time for it is over. */
  #parting: { spreadMs: number; tcp: 'wait' | 'spread'; spreadUntil: number; until: number } | null = null
  /** Connections that were owed something when a drain ended them, over all drains. */
  totalCut = 0

  constructor(parts: DepartureParts) {
    this.#parts = parts
  }

  get isUnderway(): boolean {
    return this.#state !== 'none'
  }

  /** When what is left is reset, by the Clock; null while connections are not asked to go. */
  get overAt(): number | null {
    return this.#state === 'parting' ? this.#parting!.until : null
  }

  take(order: DrainStep): DrainCounts {
    if (order.step === 'announce') this.#announce()
    else if (order.step === 'part') this.#part(order)
    else if (order.step === 'force') this.#endAll()
    else if (order.step === 'end') this.#endAtOnce()
    else if (order.step === 'finish') this.stop()
    else this.#state = 'none'
    return { ...this.#counts }
  }

  /** A connection is gone. */
  onClosed(connection: Connection): void {
    if (this.#state !== 'announced' && this.#state !== 'parting') return
    this.#count(connection)
    this.onArrived()
  }

  /** Fewer wait in admission. */
  onArrived(): void {
    if (this.#state === 'parting' && this.#parts.registry.open === 0) this.#parts.onEmpty()
  }

  /** A client is admitted, perhaps after the listeners closed: it was in its handshake then. */
  onAdmitted(connection: Connection): void {
    if (this.#state !== 'parting' || this.#hasStopped) return
    const { spreadMs, tcp, spreadUntil, until } = this.#parting!
    const now = this.#parts.clock.now()
    if (isPatient(connection, tcp)) this.#wait([connection], spreadMs, Math.max(0, until - now))
    else this.#spread([connection], Math.max(0, spreadUntil - now))
  }

  /** Stops asking. */
  stop(): void {
    this.#hasStopped = true
    for (const closing of this.#closings.splice(0)) closing.cancel()
  }

  #announce(): void {
    this.#state = 'announced'
    this.#counts = noDrainCounts()
  }

  #part({ spreadMs, leftMs, tcp }: DrainStep & { step: 'part' }): void {
    const { clock, registry, stopAccepting } = this.#parts
    stopAccepting()
    // The end of the drain came while the listeners caught up.
    if (this.#hasStopped) return
    this.#state = 'parting'
    const now = clock.now()
    // An asked connection needs the rest of the time to go, so we ask none after it.
    const spreadUntil = now + Math.min(spreadMs, leftMs)
    this.#parting = { spreadMs, tcp, spreadUntil, until: now + leftMs }
    const present = [...registry]
    const waiting = present.filter((connection) => isPatient(connection, tcp))
    if (waiting.length > 0) this.#wait(waiting, spreadMs, leftMs)
    this.#spread(
      present.filter((connection) => !isPatient(connection, tcp)),
      spreadUntil - now,
    )
  }

  #wait(connections: readonly Connection[], spreadMs: number, leftMs: number): void {
    const { clock, random } = this.#parts
    this.#closings.push(new PatientClose({ clock, random, connections, ...patience(spreadMs, leftMs), ask }))
  }

  #spread(connections: Connection[], spreadMs: number): void {
    const { clock, random } = this.#parts
    this.#closings.push(new SpreadClose({ clock, random, connections, spreadMs, ask }))
  }

  #endAll(): void {
    this.#parts.refuseArriving('drain_timeout')
    for (const connection of [...this.#parts.registry]) endBy(connection, 'drain_timeout')
  }

  #endAtOnce(): void {
    const left = [...this.#parts.registry]
    this.#state = 'over'
    this.#parts.refuseArriving('drain_timeout')
    for (const connection of left) endBy(connection, 'drain_timeout')
    // Their sockets are gone only after this turn; nobody will count them then.
    for (const connection of left) this.#count(connection)
    this.stop()
  }

  #count({ end, isCut }: Connection): void {
    const became = end?.reason === 'drain' ? 'drained' : end?.reason === 'drain_timeout' ? 'forced' : 'others'
    this.#counts[became]++
    if (became === 'others' || !isCut) return
    this.#counts.cut++
    this.totalCut++
  }
}

function ask(connection: Connection): void {
  endBy(connection, 'drain')
}

function endBy(connection: Connection, reason: Reason): void {
  connection.owner?.close(makeClose(reason, 'sidegate', connection.phase))
}
