// The live connections of a gate that match a query, in its order.

import type { ConnectionQuery } from '../admin/connection-query.ts'
import { parseCidr } from '../config/cidr.ts'
import { contains } from '../config/networks.ts'
import { visitInSlices } from '../admin/slices.ts'
import type { Sort } from '../admin/types.ts'
import { spell } from '../core/address.ts'
import type { ClientAddress } from '../core/address.ts'
import type { Clock } from '../core/clock.ts'
import type { Connection, Registry } from '../core/connection.ts'
import { idleMs, queued, stalledMs } from './connection-view.ts'
import type { ConnectionRates } from './connection-rates.ts'

export interface Candidate {
  connection: Connection
  /** The greatest come first. */
  weight: number
}

/**
 * The matching connections, the weightiest first, at most `limit`: works in slices, and never holds many more
 * than that.
 */
export async function selectConnections(
  clock: Clock,
  registry: Registry,
  query: ConnectionQuery,
  rates: ConnectionRates,
): Promise<Candidate[]> {
  const now = clock.now()
  const matches = matcher(query, now)
  let chosen: Candidate[] = []
  await visitInSlices(clock, registry, (connection) => {
    if (!matches(connection)) return
    chosen.push({ connection, weight: weigh(connection, query.sort, rates, now) })
    if (chosen.length >= 2 * query.limit + 1000) chosen = heaviest(chosen, query.limit)
  })
  return heaviest(chosen, query.limit)
}

/** The connections whose end is decided, while their last bytes or a peer's own end are outstanding. */
export async function closingConnections(clock: Clock, registry: Registry): Promise<Connection[]> {
  const closing: Connection[] = []
  await visitInSlices(clock, registry, (connection) => {
    if (connection.end !== null) closing.push(connection)
  })
  // One that closed between two slices is remembered by now.
  return closing.filter(({ id }) => registry.get(id) !== undefined)
}

function heaviest(candidates: Candidate[], limit: number): Candidate[] {
  // Equal weights go by age, the oldest first, so that each answer has the same order.
  return candidates
    .sort((one, other) => other.weight - one.weight || one.connection.id - other.connection.id)
    .slice(0, limit)
}

/** Stalled is a peer that takes nothing for so long: a slow reader takes some bytes in between. */
const STALLED_MS = 1000

function matcher({ filters }: ConnectionQuery, now: number): (connection: Connection) => boolean {
  const { listener, protocol, phase, state, client, peer, upstream } = filters
  const isClient = client === undefined ? null : clientMatcher(client)
  const isPeer = peer === undefined ? null : clientMatcher(peer)
  return (connection) =>
    (listener === undefined || connection.listener === listener) &&
    (protocol === undefined || connection.protocol === protocol) &&
    (phase === undefined || connection.phase === phase) &&
    (isClient === null || isClient(connection.client)) &&
    (isPeer === null || isPeer(connection.peer)) &&
    isAt(connection.upstreamAddress ?? '', upstream) &&
    // Last, since it asks the connection's owner.
    (state === undefined || isIn(connection, state, now))
}

function isIn(connection: Connection, state: string, now: number): boolean {
  if (state !== 'stalled') return connection.owner?.describe?.().state === state
  return (['client', 'upstream'] as const).some(
    (side) => (stalledMs(connection, side, now) ?? 0) >= STALLED_MS,
  )
}

/** Whether `wanted` is the address `ip:port`, with or without its port. */
export function isAt(address: string, wanted: string | undefined): boolean {
  if (wanted === undefined || address === wanted) return true
  const host = address.replace(/:\d+$/, '')
  return host === wanted || host === `[${wanted}]`
}

/** Matches an address with or without its port, or a network. */
export function clientMatcher(wanted: string): (client: ClientAddress) => boolean {
  const network = parseCidr(wanted)
  if ('value' in network && wanted.includes('/')) {
    const isInside = contains([network.value])
    return ({ ip }) => ip !== null && isInside(ip)
  }
  const wantedIp = 'value' in network ? spell(wanted) : null
  return ({ ip, text }) => text === wanted || (ip !== null && ip === wantedIp) || isAt(text, wanted)
}

function weigh(connection: Connection, sort: Sort, rates: ConnectionRates, now: number): number {
  if (sort === 'age') return -connection.openedAt
  if (sort === 'idle') return idleMs(connection, now)
  if (sort === 'buffered') return queued(connection, 'client') + queued(connection, 'upstream')
  return rates.of(connection) ?? 0
}
