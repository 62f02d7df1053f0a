// The crew: the gates of a process that has several, each in a thread. They start together, and each is
// replaced when it ends.
//
//     started --all are there--> running --one ends--> its connections are gone; after a pause another takes its place
//                                           |          (not once a drain closes listeners: there is nothing to accept)
//                                      five in a minute --> `onBroken`: the process ends, for its supervisor to see
//
// The pause doubles with each end within a minute. The dead gate's share of shared limits is given back
// before its successor counts.

import type { WorkersView } from '../admin/types.ts'
import type { Clock } from '../core/clock.ts'
import { Pulse } from '../core/pulse.ts'
import type { SentLines } from '../gate/log-line.ts'
import type { GateSettings } from '../gate/messages.ts'
import { giveBack, makeSharedMemory } from '../limits/shared-memory.ts'
import type { SharedMemory } from '../limits/shared-memory.ts'
import { Whole } from '../log/line.ts'
import type { Log } from '../log/log.ts'
import type { LogWriter } from '../log/log-writer.ts'
import type { NameOptions } from '../upstream/names.ts'
import type { Gates } from './gates.ts'
import { Lookups } from './lookups.ts'
import { THREAD_FILE, ThreadGate } from './thread-gate.ts'

export interface CrewParts {
  clock: Clock
  log: Pick<Log, 'error' | 'info'>
  logWriter: Pick<LogWriter, 'write'> & Partial<Pick<LogWriter, 'lose'>>
  names: NameOptions
  gates: Gates
  /** Megabytes to which each heap may grow. */
  heapMb: number
  threadFile?: URL
  /** The settings of a gate that starts now, except its number. */
  settings: () => Omit<GateSettings, 'worker'>
  /** Whether a gate that ended is replaced. */
  isWanted: () => boolean
  onEmpty: () => void
  /** Gates end too fast for replacing to help. */
  onBroken: () => void
}

const MINUTE_MS = 60_000
/** The log line of a worker that is terminated with its connections. */
const UNHEARD = 'it did not answer while the process ended'
const MOST_ENDS = 5
const FIRST_PAUSE_MS = 100
/** Another worker is between two steps of counting. */
const RETRY_MS = 5
/** Clients that limits distinguish at a time; if there are more, some share a place in the table. */
const MAX_CLIENTS = 100_000

export class Crew {
  readonly #parts: CrewParts
  readonly #lookups: Lookups
  readonly #members = new Map<number, ThreadGate>()
  readonly #pulses = new Map<number, Pulse>()
  readonly #pauses = new Set<() => void>()
  #ends: number[] = []
  #isStopped = false
  /** The memory in which the limits of all gates count. */
  readonly #memory: SharedMemory
  /** Threads that were replaced, or will be. */
  ended = 0
  /** The last of them. */
  lastEnd: WorkersView['lastEnd'] = null

  constructor(parts: CrewParts) {
    this.#parts = parts
    this.#lookups = new Lookups(parts.names, parts.clock)
    const { workers, fits } = parts.settings()
    this.#memory = makeSharedMemory({ workers, clients: Math.min(fits, MAX_CLIENTS) })
  }

  /** Makes all gates; `Gates.apply` gives them their configuration. */
  start(workers: number): void {
    for (let worker = 0; worker < workers; worker++) this.#parts.gates.add(worker, this.#make(worker))
  }

  /** Null where that gate has ended. */
  snapshot(worker: number): AsyncIterable<Buffer> | null {
    return this.#members.get(worker)?.snapshot() ?? null
  }

  /** Ends all threads; they have had the order to stop. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const cancel of this.#pauses) cancel()
    await Promise.all(
      [...this.#members.values()].map((gate) => gate.end(gate.isSilent ? UNHEARD : 'stopped')),
    )
  }

  #make(worker: number): ThreadGate {
    const { clock, names, logWriter, heapMb, settings, onEmpty, threadFile = THREAD_FILE } = this.#parts
    const pulse = this.#pulses.get(worker) ?? new Pulse()
    this.#pulses.set(worker, pulse)
    const gate = new ThreadGate({
      clock,
      settings: { ...settings(), worker, memory: this.#memory },
      pulse,
      heapMb,
      file: threadFile,
      refreshMs: names.refreshMs,
      lookup: (name) => this.#lookups.lookup(name),
      log: ({ lines, dropped }: SentLines) => {
        for (const line of lines) logWriter.write(line)
        if (dropped > 0) logWriter.lose?.(dropped)
      },
      found: (finding) => this.#parts.gates.onFound(worker, finding),
      empty: onEmpty,
      onEnded: (why) => this.#onEnded(worker, gate, why),
    })
    this.#members.set(worker, gate)
    return gate
  }

  #onEnded(worker: number, gate: ThreadGate, why: string): void {
    if (this.#members.get(worker) === gate) this.#members.delete(worker)
    const { clock, log, gates, isWanted, onEmpty, onBroken } = this.#parts
    const lost = gate.open
    if (this.#isStopped && why !== UNHEARD) return
    // The thread cannot reset its number of open connections any more.
    this.#pulses.get(worker)!.open = 0
    gates.remove(worker)
    const now = clock.now()
    this.ended++
    this.#ends = [...this.#ends.filter((at) => now - at < MINUTE_MS), now]
    this.lastEnd = {
      at: new Date(clock.wall()).toISOString(),
      worker,
      why: firstLine(why),
      connections: lost,
    }
    log.error('worker ended', { worker, why: new Whole(why), connections: lost })
    if (this.#isStopped) return
    if (this.#ends.length >= MOST_ENDS) return onBroken()
    this.#giveBack(worker, () => {
      if (isWanted()) this.#replaceLater(worker, FIRST_PAUSE_MS * 2 ** (this.#ends.length - 1))
    })
    onEmpty()
  }

  /**
   * Calls `then` when the gate's share of shared limits is free: in this turn, unless a worker is counting.
   */
  #giveBack(worker: number, then: () => void): void {
    if (giveBack(this.#memory, worker)) then()
    else this.#later(RETRY_MS, () => this.#giveBack(worker, then))
  }

  #replaceLater(worker: number, ms: number): void {
    this.#later(ms, () => {
      if (this.#parts.isWanted()) void this.#replace(worker)
    })
  }

  #later(ms: number, run: () => void): void {
    const cancel = this.#parts.clock.after(ms, () => {
      this.#pauses.delete(cancel)
      run()
    })
    this.#pauses.add(cancel)
  }

  async #replace(worker: number): Promise<void> {
    const gate = this.#make(worker)
    try {
      await this.#parts.gates.join(worker, gate)
      this.#parts.log.info('worker replaced', { worker })
    } catch (error) {
      // Its end is logged and counted like any other.
      await gate.end(`it could not begin: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

/** Without the stack of an error, which the log has. */
function firstLine(why: string): string {
  return why.split('\n', 1)[0]!
}
