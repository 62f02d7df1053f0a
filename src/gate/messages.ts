// All messages between an operator and its gates. A gate has no server and no signal, an operator has no
// connection. Questions, orders, answers and events are plain data, so that a gate may live in another
// thread: each method of `GatePort` takes at most one value, which can be cloned, and resolves with one.
//
//     operator --prepare--> each gate: binds and reads the new configuration; all gates, or --abandon--> none
//              --commit---> each gate: swaps, in one turn of its event loop
//              --list, rows, describe, recent, close, counts, metrics, figures, queues, views, profile-->
//                           questions about its connections, and orders to end them
//              --drain, strain, learn, log, stop-->
//     gate -----log, found, empty--> operator                           events, without an answer
//
// The only message for each connection is its log line, which its gate makes. A gate counts and logs refusals
// itself (log/rejections.ts): a message for each would cost more than the refusal, when even the system call
// for the client's address may be too much.
//
// The gate that uses a certificate reads and watches it: its context is an object of OpenSSL, which crosses
// no thread, and a private key that is in no message is in no queue and no heap of another thread.

import type { Config } from '../config/schema.ts'
import type { Reason } from '../core/close.ts'
import type { StrainLevel } from '../core/strain.ts'
import type { ConfigProblem, Written } from '../core/errors.ts'
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
import type { GateMemory, Queue } from '../overload/queues.ts'
import type { Finding } from '../upstream/finding.ts'
import type { UpstreamView } from '../upstream/upstream-view.ts'

/** The data with which a gate is made; it keeps them for life. */
export interface GateSettings {
  /**
   * The number of this gate, from 0, and how many there are: its connections have the ids that leave the
   * remainder `worker` when divided by `workers`.
   */
  worker: number
  workers: number
  /** The listeners that its metrics show from the start. */
  config: Config
  /** Connections that the descriptor limit allows. */
  fits: number
  /** Accepted sockets read into one shared buffer (`checkAdoption`). */
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

/** The bound port of each listener; null for a unix socket. */
export type Ports = Array<number | null>

export interface PrepareOrder {
  config: Config
  /** The ports that another gate has bound, to share their connections; null where this gate is the first. */
  ports: Ports | null
  /** Where the keys of its files stand; null for a configuration from no file. */
  written: Written | null
}

/** Why `prepare` failed; the gate is as it was. */
export interface Unprepared {
  file: string
  problems: readonly ConfigProblem[]
}

/** Connections that match a query, the weightiest first. */
export interface Listed {
  ids: number[]
  /** The sort key of each connection. */
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
  /**
   * Makes everything that `config` needs, beside the running configuration, and returns its ports. One call
   * at a time.
   */
  prepare(order: PrepareOrder): Promise<Ports | Unprepared>
  /** Puts the prepared configuration into effect. */
  commit(): Promise<void>
  /** Drops the prepared configuration. */
  abandon(): Promise<void>
  list(query: ConnectionQuery): Promise<Listed>
  /** The rows of the connections that are still open, in that order. */
  rows(query: RowsQuery): Promise<ConnectionRow[]>
  describe(id: number): Promise<ConnectionDetail | null>
  /** The habits of each listener's connections. */
  habits(): Promise<HabitsData[]>
  forgetHabits(): Promise<void>
  /** The connections that have just ended. */
  recent(query: RecentQuery): Promise<RecentEnd[]>
  /** Resolves with the connections that it ended; with none for `all`. */
  close(order: CloseOrder): Promise<Ended[]>
  counts(): Promise<ConnectionCounts>
  metrics(): Promise<MetricRows>
  /** The present figures for the history. */
  figures(): Promise<Figure[]>
  views(): Promise<GateViews>
  /** A profile of its thread: a file for Chrome's DevTools. */
  profile(order: { kind: ProfileKind; seconds: number }): Promise<string>
  memory(): Promise<GateMemory>
  queues(): Promise<Queue[]>
  drain(step: DrainStep): Promise<DrainCounts>
  strain(level: StrainLevel): Promise<void>
  /** The findings of other gates about addresses of upstreams. */
  learn(findings: readonly Finding[]): Promise<void>
  collectGarbage(): Promise<void>
  log(settings: LogSettings): Promise<void>
  /** Ends all that is open, and stops everything that keeps the event loop alive. */
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
  'memory',
  'queues',
  'drain',
  'strain',
  'learn',
  'collectGarbage',
  'log',
  'stop',
] as const satisfies ReadonlyArray<keyof GatePort>

/**
 * Questions that only read, and concern the whole gate: the other gates' answers are of use without this
 * one's.
 */
export const looks: ReadonlySet<string> = new Set([
  'list',
  'rows',
  'habits',
  'recent',
  'counts',
  'metrics',
  'figures',
  'views',
  'memory',
  'queues',
] satisfies ReadonlyArray<keyof GatePort>)

/** Questions and orders whose asker would rather hear that the gate hangs than wait until it is replaced. */
export const unheard: ReadonlySet<string> = new Set([
  ...looks,
  'describe',
  'close',
  'profile',
] satisfies ReadonlyArray<string>)

/** Of these, orders that a gate gets all the same: it may turn again. */
export const standing: ReadonlySet<string> = new Set(['close'] satisfies ReadonlyArray<keyof GatePort>)

/** Questions whose answers the end of the process does not need. */
export const lastQuestions: ReadonlySet<string> = new Set([
  ...unheard,
  'drain',
  'stop',
] satisfies ReadonlyArray<string>)

/** The process ends: after this question a gate hears no others. */
export function isLastQuestion(name: string, question: unknown): boolean {
  const step = name === 'drain' ? (question as DrainStep).step : null
  return name === 'stop' || step === 'finish' || step === 'end'
}

/** The reports that a gate sends on its own. */
export interface GateEvents {
  /** A line with its line feed. */
  log(line: string): void
  /** For the other gates, if there are any. */
  found(finding: Finding): void
  /** Listeners are closed, and the last connection has ended. */
  empty(): void
}
