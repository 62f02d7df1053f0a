// A live connection as the admin server shows it: a row of the listing, or all that is known of one.

import type { Close, PeerSide } from '../core/close.ts'
import type { Clock } from '../core/clock.ts'
import type { Connection, Flow } from '../core/connection.ts'
import { taken } from '../core/traffic.ts'
import { viewTimeline } from '../admin/timeline-view.ts'
import type { CloseView, ConnectionDetail, ConnectionRow, FlowView, WaitView } from '../admin/types.ts'

export function queued({ owner }: Connection, side: PeerSide): number {
  return owner?.queued(side) ?? 0
}

/** Since data last moved either way, as far as the last sweep saw; since it was opened where none did. */
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

/** What only its owner can tell: it allocates, so it is for those rows that are asked for with it. */
export function viewWait(connection: Connection, now: number): WaitView | null {
  const wait = connection.owner?.describe?.() ?? null
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

/** Since when that peer has taken nothing of what waits for it; null where nothing waits. */
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

/** The row, and what only its owner can tell: made for the one that was asked for. */
export function viewConnectionInFull(
  connection: Connection,
  clock: Clock,
  rate: number | null,
): ConnectionDetail {
  const now = clock.now()
  const { owner, openedAt, connectedAt } = connection
  const at = (moment: number): string => new Date(clock.wall() + moment - now).toISOString()
  const wait = owner?.describe?.() ?? null
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
