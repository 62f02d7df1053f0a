// All that an operator and its gates say to each other. A gate has no server and no signal, an operator has no connection. Questions, orders, answers and events are plain data, so that a gate may live in another thread: each method of `GatePort` takes one value
// that can be cloned at the most, and resolves with one.
//
//     operator --prepare--> each gate: binds and reads what is new; all of them, or --abandon--> none
//              --commit---> each gate: swaps, in one turn of its event loop
//              --list, rows, describe, recent, close, counts, metrics, figures, queues, views, profile--> what a gate tells of its connections, or does to them
//              --drain, strain, learn, log, stop-->
//     gate -----log, found, empty--> operator                           events, which nobody answers
//
// Nothing is sent for each connection but its log line, which is made in the gate. A refusal is counted and told in the gate too (log/rejections.ts): who
// is refused may not be worth the system call that tells its address, so a message for each would cost more than the refusal.
//
// Certificates are read and watched by the gate that shows them: their contexts are objects of OpenSSL, which cross no thread, and a private
// key that is no message is in no queue and in no heap of another thread.

import type { Config } from '../config/schema.ts'
import type { Reason } from '../core/close.ts'
import type { StrainLevel } from '../core/strain.ts'
import type { ConfigProblem } from '../core/errors.ts'
import type { ConnectionQuery, RowsQuery } from '../admin/connection-query.ts'
import type { ProfileKind } from '../admin/profiler.ts'
import type { RecentQuery } from '../admin/recent-route.ts'
import type {
  ConnectionCounts,
  ConnectionDetail,
  ConnectionRow,
  Ended,
  RecentEnd,
  SharedView,
} from '../admin/types.ts'
import type { DrainCounts, DrainStep } from '../lifecycle/departure.ts'
import type { SharedMemory } from '../limits/shared-memory.ts'
import type { LogFormat, LogLevel } from '../log/line.ts'
import type { HabitsData } from '../metrics/habits.ts'
import type { Figure } from '../metrics/history.ts'
import type { MetricRows } from '../metrics/metric-rows.ts'
import type { Queue } from '../overload/queues.ts'
import type { Finding } from '../upstream/findings.ts'
import type { UpstreamView } from '../upstream/upstream-view.ts'

/** The data that a gate is made with, and keeps for its life. */
export interface GateSettings {
  /** Which one it is, from 0, of how many: the ids of its connections are those that leave the rest `worker` when divided by `workers`. */
  worker: number
  workers: number
  /** The listeners that its metrics show from the start. */
  config: Config
  /** Connections that the descriptor limit holds. */
  fits: number
  /** Accepted sockets are read into one shared buffer (`checkAdoption`). */
  usesSharedBuffer: boolean
  /** Where the limits of all gates count (limits/shared-memory.ts); without it this gate is the only one. */
  memory?: SharedMemory
  log: LogSettings
}

export interface LogSettings {
  level: LogLevel
  format: LogFormat
  probes: boolean
  timeline: boolean
}

/** The port of each listener as bound; null for a unix socket. */
export type Ports = Array<number | null>

export interface PrepareOrder {
  config: Config
  /** As another gate has bound them, whose connections it shares; null where it is the first. */
  ports: Ports | null
}

/** Why nothing was prepared; the gate is as it was. */
export interface Unprepared {
  file: string
  problems: readonly ConfigProblem[]
}

/** Connections that may be of interest, the weightiest first. */
export interface Listed {
  ids: number[]
  /** The figure that each was sorted by. */
  weights: number[]
}

/** `detail` goes into the record and the log line. */
export interface CloseOrder {
  reason: Reason
  which: 'all' | ReadonlyArray<{ id: number; detail?: string }>
}

export interface GateViews {
  upstreams: Array<UpstreamView & { listener: string }>
  /** Null where no limits are shared with other gates. */
  shared: SharedView | null
}

/** The questions and orders of an operator to a gate. */
export interface GatePort {
  /** Makes all that `config` needs beside what runs, and gives the ports that it will have. One at a time. */
  prepare(order: PrepareOrder): Promise<Ports | Unprepared>
  /** Puts the prepared configuration in effect. */
  commit(): Promise<void>
  /** Gives the prepared configuration up. */
  abandon(): Promise<void>
  list(query: ConnectionQuery): Promise<Listed>
  /** Those of the connections that are still open, in that order. */
  rows(query: RowsQuery): Promise<ConnectionRow[]>
  describe(id: number): Promise<ConnectionDetail | null>
  /** What the connections of each listener do. */
  habits(): Promise<HabitsData[]>
  forgetHabits(): Promise<void>
  /** The connections that have just ended. */
  recent(query: RecentQuery): Promise<RecentEnd[]>
  /** Resolves with those that it ended; with none for `all`. */
  close(order: CloseOrder): Promise<Ended[]>
  counts(): Promise<ConnectionCounts>
  metrics(): Promise<MetricRows>
  /** The figures that the history keeps of this moment. */
  figures(): Promise<Figure[]>
  views(): Promise<GateViews>
  /** What its thread does: a file that Chrome's DevTools open. */
  profile(order: { kind: ProfileKind; seconds: number }): Promise<string>
  /** Bytes in all queues. */
  queued(): Promise<number>
  queues(): Promise<Queue[]>
  drain(step: DrainStep): Promise<DrainCounts>
  strain(level: StrainLevel): Promise<void>
  /** What other gates have found of addresses of upstreams. */
  learn(findings: readonly Finding[]): Promise<void>
  collectGarbage(): Promise<void>
  log(settings: LogSettings): Promise<void>
  /** Ends all that is open, and stops all that keeps the event loop. */
  stop(): Promise<void>
}

/** The questions that may come from another thread. */
export const gateQuestions = [
  'prepare',
  'commit',
  'abandon',
  'list',
  'rows',
  'describe',
  'habits',
  'forgetHabits',
  'recent',
  'close',
  'counts',
  'metrics',
  'figures',
  'views',
  'profile',
  'queued',
  'queues',
  'drain',
  'strain',
  'learn',
  'collectGarbage',
  'log',
  'stop',
] as const satisfies ReadonlyArray<keyof GatePort>

/** Those that only look, at all of a gate: what the others answer is of use without it. */
export const looks: ReadonlySet<string> = new Set([
  'list',
  'rows',
  'habits',
  'recent',
  'counts',
  'metrics',
  'figures',
  'views',
  'queued',
  'queues',
] satisfies ReadonlyArray<keyof GatePort>)

/** The reports of a gate that nobody asked for. */
export interface GateEvents {
  /** A line with its line feed. */
  log(line: string): void
  /** For the other gates, if there are any. */
  found(finding: Finding): void
  /** Listeners are closed, and the last connection is gone. */
  empty(): void
}
