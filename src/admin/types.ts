// The JSON of the admin server, typed once: its routes make it, the commands read it. docs/admin-api.md documents every field; fields are
// added, never renamed. Milliseconds, bytes, and addresses as text, unless a name says otherwise.

import type { ClientTls } from '../core/client-tls.ts'
import type { Close, Side } from '../core/close.ts'
import type { DrainState } from '../lifecycle/drain.ts'

export const sorts = ['age', 'idle', 'buffered', 'rate'] as const
export type Sort = (typeof sorts)[number]

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
  client: string
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
  /** Set while it lingers: it ended, but a queue is still being flushed. */
  close: CloseView | null
}

/** `GET /connections/ID`: the row, and the words that only the owner of the connection has. */
export interface ConnectionDetail extends ConnectionRow {
  openedAt: string
  connectedAt: string | null
  /** What its TLS handshake told; null where there was none, or nobody asks. */
  tls: ClientTls | null
  paused: { toUpstream: boolean; toClient: boolean }
  state: string | null
  waitsFor: string | null
  nextDeadline: { key: string; reason: string; side: Side; at: string; inMs: number } | null
}

/** `DELETE /connections/ID`. */
export type Killed = Pick<ConnectionRow, 'id' | 'listener' | 'protocol' | 'client' | 'upstream'> & { close: CloseView }

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
}

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
