// Which of the live connections an asker wants, and in which order. A question that is not understood gets a sentence, never
// the answer to another one.

import type { Clock } from '../core/clock.ts'
import { phases } from '../core/close.ts'
import { protocols } from '../core/connection.ts'
import type { Connection, Registry } from '../core/connection.ts'
import { idleMs, queued } from './connection-view.ts'
import type { Rates } from './rates.ts'
import { visitInSlices } from './slices.ts'
import { sorts } from './types.ts'
import type { Sort } from './types.ts'

const filters = ['listener', 'protocol', 'phase', 'client', 'upstream'] as const

export interface ConnectionQuery {
  /** Those that are given; an address with or without its port. */
  filters: Partial<Record<(typeof filters)[number], string>>
  sort: Sort
  limit: number
}

const MAX_LIMIT = 10_000
const words: Partial<Record<string, readonly string[]>> = { protocol: protocols, phase: phases, sort: sorts }

/** A sentence on what is wrong, for a query that would otherwise be answered with something else than was asked. */
export function readConnectionQuery(query: URLSearchParams): ConnectionQuery | string {
  const known: readonly string[] = [...filters, 'sort', 'limit']
  for (const key of query.keys()) {
    if (!known.includes(key)) return `unknown parameter, known are ${known.join(', ')}`
    if (query.getAll(key).length > 1) return `${key} is given twice`
    const allowed = words[key]
    if (allowed !== undefined && !allowed.includes(query.get(key)!)) return `${key} must be one of ${allowed.join(', ')}`
  }
  const limit = query.get('limit') ?? '100'
  if (!/^\d{1,5}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) return `limit must be 1 to ${MAX_LIMIT}`
  const given = filters.flatMap((name) => (query.has(name) ? [[name, query.get(name)!] as const] : []))
  return { filters: Object.fromEntries(given), sort: (query.get('sort') ?? 'age') as Sort, limit: Number(limit) }
}

interface Candidate {
  connection: Connection
  /** The greatest come first. */
  weight: number
}

/** Those that match, the weightiest first, at most `limit`: a slice at a time, and never many more than that are held. */
export async function selectConnections(clock: Clock, registry: Registry, query: ConnectionQuery, rates: Rates): Promise<Connection[]> {
  const now = clock.now()
  let chosen: Candidate[] = []
  await visitInSlices(clock, registry, (connection) => {
    if (!matches(connection, query)) return
    chosen.push({ connection, weight: weigh(connection, query.sort, rates, now) })
    if (chosen.length >= 2 * query.limit + 1000) chosen = heaviest(chosen, query.limit)
  })
  return heaviest(chosen, query.limit).map(({ connection }) => connection)
}

function heaviest(candidates: Candidate[], limit: number): Candidate[] {
  // Among equals the oldest first: the order of one answer is the order of the next.
  return candidates.sort((one, other) => other.weight - one.weight || one.connection.id - other.connection.id).slice(0, limit)
}

function matches(connection: Connection, { filters }: ConnectionQuery): boolean {
  const { listener = connection.listener, protocol = connection.protocol, phase = connection.phase, client, upstream } = filters
  if (connection.listener !== listener || connection.protocol !== protocol || connection.phase !== phase) return false
  return isAt(connection.clientAddress, client) && isAt(connection.upstreamAddress ?? '', upstream)
}

function isAt(address: string, wanted: string | undefined): boolean {
  if (wanted === undefined || address === wanted) return true
  // A client of a Unix socket has no port.
  const host = address.replace(/:\d+$/, '')
  return host === wanted || host === `[${wanted}]`
}

function weigh(connection: Connection, sort: Sort, rates: Rates, now: number): number {
  if (sort === 'age') return now - connection.openedAt
  if (sort === 'idle') return idleMs(connection, now)
  if (sort === 'buffered') return queued(connection, 'client') + queued(connection, 'upstream')
  return rates.of(connection) ?? 0
}
