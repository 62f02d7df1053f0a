// The parts that all listeners of a gate share.

import type { ConnectionLimit } from '../limits/places.ts'
import type { Refusals } from '../admission/refusal.ts'
import type { Cells } from '../core/cells.ts'
import type { Clock, Sweeps } from '../core/clock.ts'
import type { Connection, Registry } from '../core/connection.ts'
import type { Written } from '../core/errors.ts'
import type { Log } from '../log/log.ts'
import type { Rejections } from '../log/rejections.ts'
import type { GateMetrics } from '../metrics/gate-metrics.ts'
import type { HabitsObserver } from '../metrics/habits.ts'
import type { TokenQueue } from '../limits/token-queue.ts'
import type { Strain } from '../core/strain.ts'
import type { Findings } from '../upstream/findings.ts'
import type { IdleEnds } from '../upstream/idle-ends.ts'
import type { Lineages } from '../upstream/lineage.ts'
import type { Names } from '../upstream/names.ts'

export interface GateContext {
  clock: Clock
  sweeps: Sweeps
  /** Gives turns to connections that a rate limit delays. */
  tokenQueue: TokenQueue
  random: () => number
  registry: Registry
  metrics: GateMetrics
  /** The observer of the listener of that name, whichever runtime serves it. */
  observerOf: (listener: string) => HabitsObserver
  log: Log
  /** For facts that every gate finds alike, about files, names and limits: only the first gate logs them. */
  facts: Pick<Log, 'info' | 'warn'>
  refusals: Refusals
  rejections: Rejections
  names: Names
  /** The habits of services, as kept connections have shown them. */
  idleEnds: IdleEnds
  /** The findings of all gates about addresses: for the other gates, and for upstreams after a reload. */
  findings: Findings
  /** The number of this gate, and how many there are. */
  worker: number
  workers: number
  /** Sockets read into one shared buffer (`checkAdoption`). */
  usesSharedBuffer: boolean
  /** The cells in which limits count. */
  cells: Cells
  /** What an upstream shares with those that reloads make of it, the cells of their places included. */
  lineages: Lineages
  /**
   * The cells of a whole fleet's limits, and the group name that replaces listener names there, if any; null
   * where there is no fleet.
   */
  fleet: { cells: Cells; group: string | null } | null
  /** Places for the connections that the descriptor limit allows. */
  processLimit: ConnectionLimit
  /** The demands that a shortage of memory makes on all listeners. */
  strain: Strain
  logsRequests: boolean
  /** Where the configuration in effect names its files; null where it is from no file. */
  written: Written | null
  isDraining: () => boolean
  /** A client has passed admission, and is served. */
  onAdmitted: (connection: Connection) => void
  /** Both sides of a connection are closed, and its place is free again. */
  onClosed: (connection: Connection) => void
}
