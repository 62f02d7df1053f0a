// A query for live connections: its filters and order. A query with a mistake gets a sentence about it, never
// the answer to another query.

import { phases } from '../core/close.ts'
import { parseCidr } from '../config/cidr.ts'
import { Address } from '../core/address.ts'
import { protocols } from '../core/connection.ts'
import { sorts, states } from './types.ts'
import type { Sort } from './types.ts'

const filters = ['listener', 'protocol', 'phase', 'state', 'client', 'peer', 'upstream'] as const

/** Plain data. */
export interface ConnectionQuery {
  /** Only the given ones; an address with or without its port, and of clients and peers a network. */
  filters: Partial<Record<(typeof filters)[number], string>>
  sort: Sort
  limit: number
  /** The rows include the current wait of each connection. */
  withWaits: boolean
}

/** Asks for the rows of those connections, in that order. */
export interface RowsQuery {
  ids: readonly number[]
  withWaits: boolean
}

const MAX_LIMIT = 10_000
const words: Partial<Record<string, readonly string[]>> = {
  protocol: protocols,
  phase: phases,
  state: states,
  sort: sorts,
  wait: ['1'],
}

/** A sentence about the mistake, for a query whose answer would otherwise answer another one. */
export function readConnectionQuery(query: URLSearchParams): ConnectionQuery | string {
  const known: readonly string[] = [...filters, 'sort', 'limit', 'wait']
  for (const key of query.keys()) {
    if (!known.includes(key)) return `unknown parameter, known are ${known.join(', ')}`
    if (query.getAll(key).length > 1) return `${key} is given twice`
    const allowed = words[key]
    if (allowed !== undefined && !allowed.includes(query.get(key)!))
      return `${key} must be one of ${allowed.join(', ')}`
  }
  for (const name of ['client', 'peer'])
    if (!isClient(query.get(name)))
      return `${name} must be an address such as 10.0.0.7, with its port or without, or a network such as 10.0.0.0/8`
  const limit = query.get('limit') ?? '100'
  if (!/^\d{1,5}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT)
    return `limit must be 1 to ${MAX_LIMIT}`
  const given = filters.flatMap((name) => (query.has(name) ? [[name, query.get(name)!] as const] : []))
  return {
    filters: Object.fromEntries(given),
    sort: (query.get('sort') ?? 'age') as Sort,
    limit: Number(limit),
    withWaits: query.has('wait'),
  }
}

/** An address as the rows show it, or a network; `unix` is a client without an address. */
function isClient(text: string | null): boolean {
  if (text === null || text === 'unix' || Address.parse(text) !== null) return true
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text
  // The interface of a link-local address is not part of it.
  return 'value' in parseCidr(bare.replace(/%.*$/, ''))
}
