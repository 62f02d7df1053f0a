// The live connections as the admin server shows them, and which of them an asker wants.

import type { Connection, Flow, Registry } from '../connection.ts'
import { taken } from '../metrics/traffic.ts'

export interface ConnectionQuery {
  listener: string | null
  limit: number
  sort: 'age' | 'buffered'
}

const MAX_LIMIT = 10_000
const parameters = ['listener', 'limit', 'sort']

/** A word on what is wrong, for a query that would otherwise be answered with something else than was asked. */
export function readConnectionQuery(query: URLSearchParams): ConnectionQuery | string {
  const unknown = [...query.keys()].find((key) => !parameters.includes(key))
  if (unknown !== undefined) return `unknown parameter, known are ${parameters.join(', ')}`
  const limit = query.get('limit') ?? '100'
  if (!/^\d{1,5}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) return `limit must be 1 to ${MAX_LIMIT}`
  const sort = query.get('sort') ?? 'age'
  if (sort !== 'age' && sort !== 'buffered') return 'sort must be age or buffered'
  return { listener: query.get('listener'), limit: Number(limit), sort }
}

/** The oldest, or those with most in their queues, first. Only the rows that are shown are built. */
export function selectConnections(registry: Registry, query: ConnectionQuery): Connection[] {
  const chosen: Array<{ connection: Connection; buffered: number }> = []
  for (const connection of registry) {
    if (query.listener !== null && connection.listener !== query.listener) continue
    chosen.push({ connection, buffered: query.sort === 'buffered' ? buffered(connection) : 0 })
  }
  chosen.sort((one, other) => other.buffered - one.buffered || one.connection.openedAt - other.connection.openedAt)
  return chosen.slice(0, query.limit).map(({ connection }) => connection)
}

function buffered({ owner }: Connection): number {
  return owner === null ? 0 : owner.queued('client') + owner.queued('upstream')
}

export function viewConnection(connection: Connection, now: number) {
  const { id, listener, protocol, clientAddress, upstreamAddress, phase, openedAt, connectedAt, owner, end } = connection
  return {
    id,
    listener,
    protocol,
    client: clientAddress,
    upstream: upstreamAddress,
    phase,
    ageMs: Math.round(now - openedAt),
    connectMs: connectedAt === null ? null : Math.round(connectedAt - openedAt),
    toUpstream: viewFlow(connection.toUpstream, taken(connection, 'upstream')),
    toClient: viewFlow(connection.toClient, taken(connection, 'client')),
    queued: { client: owner?.queued('client') ?? 0, upstream: owner?.queued('upstream') ?? 0 },
    /** Set while it lingers: it ended, but a queue is still being flushed. */
    close: end === null ? null : { reason: end.reason, side: end.side, phase: end.phase, detail: end.detail },
  }
}

function viewFlow(flow: Flow, sent: number) {
  return { received: flow.received, sent, messages: flow.messages, pauses: flow.pauses }
}
