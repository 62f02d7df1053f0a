// The JSON of the admin server, typed once: its routes make it, the commands read it. docs/admin-api.md
// documents every field; fields are added, never renamed. Milliseconds, bytes, and addresses as text, unless
// a name says otherwise.

import type { ClientTls } from '../core/client-tls.ts'
import type { Close, Phase, Reason, Side } from '../core/close.ts'
import type { TimelineEvent } from '../core/timeline.ts'
import type { DrainState } from '../lifecycle/drain.ts'
import type { HistoryView } from '../metrics/history.ts'

/** The filters of `GET /connections`. */
export const connectionFilters = [
  'listener',
  'protocol',
  'phase',
  'state',
  'client',
  'peer',
  'upstream',
] as const
/** The largest `limit` of a listing; for ends, as many as `admin.recent` can be. */
export const MOST_ROWS = 10_000

export const sorts = ['age', 'idle', 'buffered', 'rate'] as const
export type Sort = (typeof sorts)[number]

/**
 * The states of a connection, as its owner reports them; `stalled` means that a peer has taken nothing queued
 * for it for a second.
 */
export const states = ['waiting', 'open', 'idle', 'busy', 'lingering', 'closing', 'stalled'] as const

export interface FlowView {
  received: number
  sent: number
  messages: number
  pauses: number
}

export type CloseView = Pick<Close, 'reason' | 'side' | 'phase'> & { detail: string | undefined }

/** A row of `GET /connections`. */
export interface ConnectionRow {
  id: number
  listener: string
  protocol: string
  /** For a stream of HTTP/2: the id of its connection. */
  session?: number
  /** The client: the peer, or, while a request is under way, the client that a trusted peer named. */
  client: string
  peer: string
  upstream: string | null
  phase: string
  ageMs: number
  connectMs: number | null
  idleMs: number
  /** Null where it is not known yet. */
  bytesPerSec: number | null
  toUpstream: FlowView
  toClient: FlowView
  queued: { client: number; upstream: number }
  /** The current wait; only where the query asks for it. */
  wait?: WaitView | null
  /** Set while it lingers: it ended, but a queue is still being flushed. */
  close: CloseView | null
}

/** The wait of a connection, as its owner reports it. */
export interface WaitView {
  state: string
  waitsFor: string
  /** For how long each peer has taken nothing queued for it; null where nothing is queued. */
  stalledMs: { client: number | null; upstream: number | null }
  /** Bytes that the kernel held for each peer at the last look; null where nothing looks. */
  kernel: { client: number; upstream: number } | null
  next: { key: string; reason: string; side: Side; inMs: number } | null
}

/** `GET /connections/ID`: the row, and the words that only the owner of the connection has. */
export interface ConnectionDetail extends ConnectionRow {
  openedAt: string
  connectedAt: string | null
  /** The result of its TLS handshake; null where there was none, or where nothing uses it. */
  tls: ClientTls | null
  paused: { toUpstream: boolean; toClient: boolean }
  state: string | null
  waitsFor: string | null
  nextDeadline: { key: string; reason: string; side: Side; at: string; inMs: number } | null
  timeline: TimelineEntry[]
}

/** One line of a timeline, in order of time; at most 32 of them. */
export interface TimelineEntry {
  at: string
  /** Since the accept. */
  afterMs: number
  event: TimelineEvent
  detail?: string
  /** How often from `at` to `until`; absent where it is once. */
  count?: number
  until?: string
}

/**
 * One of `GET /recent`: an ended connection, or several that were refused alike within a second. The newest
 * come first.
 */
export interface RecentEnd {
  /** Null: the connection was refused in admission. */
  id: number | null
  listener: string
  /** Null where it was refused before the protocol was known. */
  protocol: string | null
  /** Null for refusals that are reported together, whose addresses were not read. */
  client: string | null
  /** The trusted peer that named the client; null where that is the client itself. */
  peer: string | null
  upstream: string | null
  reason: Reason
  side: Side
  phase: Phase
  detail: string | null
  /** We ended it while bytes or an answer were owed to it. */
  cut: boolean
  /** Last bytes, or a peer's own end, are outstanding: the numbers, and `cut`, may change. */
  closing: boolean
  /** How many alike: more than 1 for refusals only. */
  count: number
  started: string
  ended: string
  durationMs: number
  connectMs: number | null
  /** Read from the client, and from the upstream. */
  bytesToUpstream: number
  bytesToClient: number
  messagesToUpstream: number
  messagesToClient: number
  timeline: TimelineEntry[]
}

/** `DELETE /connections/ID`. */
export type Killed = Pick<ConnectionRow, 'id' | 'listener' | 'protocol' | 'client' | 'upstream'> & {
  close: CloseView
}

/** `close` is null where it cannot be ended yet. */
export type Ended = Omit<Killed, 'close'> & { close: CloseView | null }

/** The numbers of connections, by their words. */
export interface ConnectionCounts {
  connections: number
  phases: Record<string, number>
  protocols: Record<string, number>
  listeners: Record<string, number>
}

/** `GET /info`. */
export interface Info {
  version: string
  revision: string
  node: string
  pid: number
  state: string
  drain: DrainState
  startedAt: string
  uptimeMs: number
  connections: number
  phases: Record<string, number>
  protocols: Record<string, number>
  /** Null where no file, or no memory, is watched. */
  config: ConfigStateView | null
  memory: MemoryView | null
  /** Null where no limits are shared with other gates. */
  shared: SharedView | null
  /** Null where the main thread relays (`workers: 1`). */
  workers: WorkersView | null
}

/** The threads that relay. */
export interface WorkersView {
  count: number
  /** Those whose event loop has not turned for seconds: no listing has their connections and ends. */
  silent: readonly number[]
  /** The last one that ended unasked, and the connections that ended with it. */
  lastEnd: { at: string; worker: number; why: string; connections: number } | null
}

/** The state of limits with `scope: fleet`. */
export interface SharedView {
  /** The address of Redis; those of sentinels or of a cluster, with that word before them. */
  redis: string
  isUp: boolean
  /** leased: from Redis. local, open, closed: as `shared.redis.onUnavailable` says, while it is away. */
  mode: 'leased' | 'local' | 'open' | 'closed'
  /** Gates that share limits, as Redis last reported. */
  gates: number
  /** Clients and listeners for which this gate holds a lease. */
  leases: number
  /** When Redis last came or went; null: it has not answered yet. */
  since: string | null
  /** Why it is away. */
  problem: string | null
}

/** The configuration in effect; moments are ISO 8601. */
export interface ConfigStateView {
  hash: string
  appliedAt: string
  /** When the last reload failed; null if none has failed since. */
  failedAt: string | null
  restartRequired: readonly string[]
}

export interface MemoryView {
  usageBytes: number
  limitBytes: number
  bufferedLimitBytes: number
  /** The used share of V8's heap, as far as V8 can use it; of several workers, the largest. */
  heapShare: number
  /** 0 to 1. */
  pressure: number
}

/** `GET /series`. */
export type SeriesView = Omit<HistoryView, 'at'> & { at: string[] }

/** `GET /config/origins`: by the path of a value; an absent one is a default. Null: unknown. */
export interface OriginsView {
  origins: Readonly<Record<string, string>> | null
}

/** `GET /page-token`. */
export interface PageTokenView {
  token: string
}

/** A row of `GET /listeners`. */
export interface ListenerRow {
  name: string
  /** As in the configuration; for its port 0, the bound port. */
  address: string
  protocol: 'tcp' | 'http'
  upstream: string
  connections: number
}

/** A listener, as far as its gate knows it. */
export type ListenerView = Omit<ListenerRow, 'connections'>

/** `POST /drain`. */
export interface DrainView {
  drain: DrainState
}

/** `GET /log` and `POST /log`. */
export interface LevelView {
  level: string
  goesBackTo: string | null
  goesBackAt: string | null
}

/** One listener in `GET /advice`. */
export interface AdviceView {
  listener: string
  since: string
  ageMs: number
  items: AdviceItem[]
}

export interface AdviceItem {
  /** Below the listener. */
  key: string
  /** The value in force, as the file has it. */
  inForce: string
  /** The habits that it was learnt from: milliseconds, bytes or a number, by `unit`. */
  seen: {
    what: string
    unit: 'ms' | 'bytes' | 'count'
    count: number
    p50: number
    p99: number
    p999: number
    max: number
  }
  /** As it would be written; null where nothing is proposed. */
  proposed: string | null
  /** Keys and values that would set it; empty where there is nothing to change. */
  patch: Record<string, string | number>
  /** At most so many of `seen.count` would have been touched by it. */
  touched: number
  why: string
  /** The part that nobody can know; null where there is none. */
  unknown: string | null
}
