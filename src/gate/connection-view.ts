// The admin server's view of a live connection: a row of the listing, or all details of one.

import type { Close, PeerSide } from '../core/close.ts'
import type { Clock } from '../core/clock.ts'
import type { Connection, Flow } from '../core/connection.ts'
import { taken } from '../core/traffic.ts'
import { earliest } from '../core/wait.ts'
import type { Wait } from '../core/wait.ts'
import { viewTimeline } from '../admin/timeline-view.ts'
import type { CloseView, ConnectionDetail, ConnectionRow, FlowView, WaitView } from '../admin/types.ts'

export function queued({ owner }: Connection, side: PeerSide): number {
  return owner?.queued(side) ?? 0
}

/** The time since data last moved either way, by the last sweep; since the opening where none moved. */
export function idleMs({ owner, openedAt }: Connection, now: number): number {
  return Math.max(0, now - (owner?.activeAt?.() ?? openedAt))
}

/** `rate` in bytes a second; null where it is not known yet. */
export function viewConnection(connection: Connection, now: number, rate: number | null): ConnectionRow {
  const {
    id,
    listener,
    protocol,
    session,
    client,
    peer,
    upstreamAddress,
    phase,
    openedAt,
    connectedAt,
    end,
  } = connection
  return {
    id,
    listener,
    protocol,
    ...(session === null ? {} : { session: session.id }),
    client: client.text,
    peer: peer.text,
    upstream: upstreamAddress,
    phase,
    ageMs: Math.round(now - openedAt),
    connectMs: connectedAt === null ? null : Math.round(connectedAt - openedAt),
    idleMs: Math.round(idleMs(connection, now)),
    bytesPerSec: rate,
    toUpstream: viewFlow(connection.toUpstream, taken(connection, 'upstream')),
    toClient: viewFlow(connection.toClient, taken(connection, 'client')),
    queued: { client: queued(connection, 'client'), upstream: queued(connection, 'upstream') },
    close: end === null ? null : viewClose(end),
  }
}

/** The facts that only its owner knows: they allocate, so they are made only where a query asks for them. */
export function viewWait(connection: Connection, now: number, drainOverAt: number | null): WaitView | null {
  const wait = waitOf(connection, drainOverAt)
  if (wait === null) return null
  const { state, waitsFor, next, kernel } = wait
  return {
    state,
    waitsFor,
    stalledMs: {
      client: stalledMs(connection, 'client', now),
      upstream: stalledMs(connection, 'upstream', now),
    },
    kernel: kernel ?? null,
    next:
      next === null
        ? null
        : { key: next.key, reason: next.reason, side: next.side, inMs: Math.round(next.at - now) },
  }
}

/** The wait as its owner knows it, or the end of a drain, if that comes first. */
function waitOf({ owner, end }: Connection, drainOverAt: number | null): Wait | null {
  const wait = owner?.describe?.() ?? null
  if (wait === null || drainOverAt === null || end !== null) return wait
  const drained = {
    key: 'drain.timeout',
    reason: 'drain_timeout',
    side: 'sidegate',
    at: drainOverAt,
  } as const
  return { ...wait, next: earliest([wait.next, drained]) }
}

/** For how long that peer has taken none of the bytes queued for it; null where none are queued. */
export function stalledMs({ owner }: Connection, side: PeerSide, now: number): number | null {
  if (owner === null || owner.queued(side) === 0) return null
  return Math.max(0, Math.round(now - owner.lastDrainAt(side)))
}

export function viewClose({ reason, side, phase, detail }: Close): CloseView {
  return { reason, side, phase, detail }
}

function viewFlow(flow: Flow, sent: number): FlowView {
  return { received: flow.received, sent, messages: flow.messages, pauses: flow.pauses }
}

/** The row, and the facts that only its owner knows, for one connection. */
export function viewConnectionInFull(
  connection: Connection,
  clock: Clock,
  { rate, drainOverAt }: { rate: number | null; drainOverAt: number | null },
): ConnectionDetail {
  const now = clock.now()
  const { owner, openedAt, connectedAt } = connection
  const at = (moment: number): string => new Date(clock.wall() + moment - now).toISOString()
  const wait = waitOf(connection, drainOverAt)
  return {
    ...viewConnection(connection, now, rate),
    openedAt: at(openedAt),
    connectedAt: connectedAt === null ? null : at(connectedAt),
    tls: connection.tls,
    paused: {
      toUpstream: owner?.isPaused('to_upstream') ?? false,
      toClient: owner?.isPaused('to_client') ?? false,
    },
    state: wait?.state ?? null,
    waitsFor: wait?.waitsFor ?? null,
    nextDeadline:
      wait === null || wait.next === null
        ? null
        : { ...wait.next, at: at(wait.next.at), inMs: Math.round(wait.next.at - now) },
    timeline: viewTimeline(connection, (moment) => clock.wall() + moment - now),
  }
}
