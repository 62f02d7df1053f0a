// What all listeners of a gate share.

import type { ConnectionLimit } from '../limits/places.ts'
import type { Refusals } from '../admission/refusal.ts'
import type { Cells } from '../core/cells.ts'
import type { Clock, Sweeps } from '../core/clock.ts'
import type { Connection, Registry } from '../core/connection.ts'
import type { Log } from '../log/log.ts'
import type { Rejections } from '../log/rejections.ts'
import type { GateMetrics } from '../metrics/gate-metrics.ts'
import type { HabitsObserver } from '../metrics/habits.ts'
import type { TokenQueue } from '../limits/token-queue.ts'
import type { Strain } from '../core/strain.ts'
import type { Findings } from '../upstream/findings.ts'
import type { Names } from '../upstream/names.ts'

/** The parts that all listeners share. */
export interface GateContext {
  clock: Clock
  sweeps: Sweeps
  /** Gives turns to whom a rate limit delays. */
  tokenQueue: TokenQueue
  random: () => number
  registry: Registry
  metrics: GateMetrics
  /** That of the listener of that name, whichever serves it. */
  observerOf: (listener: string) => HabitsObserver
  log: Log
  /** For what each gate finds alike, of files, names and limits: the first one tells it. */
  facts: Pick<Log, 'info' | 'warn'>
  refusals: Refusals
  rejections: Rejections
  names: Names
  /** Of addresses, by all gates; null where this is the only one. */
  findings: Findings | null
  /** Which gate this is, of how many. */
  worker: number
  workers: number
  /** Sockets read into one shared buffer (`checkAdoption`). */
  usesSharedBuffer: boolean
  /** The cells that limits count in. */
  cells: Cells
  /** What limits of a whole fleet count in, and the name that listeners have there, if it is not their own; null where there is none. */
  fleet: { cells: Cells; group: string | null } | null
  /** Connections that the descriptor limit holds, and how many of them are taken. */
  processLimit: ConnectionLimit
  /** The demands of a shortage of memory on all of them. */
  strain: Strain
  logsRequests: boolean
  isDraining: () => boolean
  /** Both sides of a connection are gone, and its place is free again. */
  onClosed: (connection: Connection) => void
}
