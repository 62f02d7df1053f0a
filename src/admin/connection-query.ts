// A query for live connections: its filters and order.

import { phases } from '../core/close.ts'
import { parseCidr } from '../config/cidr.ts'
import { Address } from '../core/address.ts'
import { protocols } from '../core/connection.ts'
import { limitOf, problemOf } from './parameters.ts'
import { connectionFilters, sorts, states } from './types.ts'
import type { Sort } from './types.ts'

/** Plain data. */
export interface ConnectionQuery {
  /** Only the given ones; an address with or without its port, and of clients and peers a network. */
  filters: Partial<Record<(typeof connectionFilters)[number], string>>
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

const MAX_PORT = 65_535

const words: Partial<Record<string, readonly string[]>> = {
  protocol: protocols,
  phase: phases,
  state: states,
  sort: sorts,
  wait: ['1'],
}

/** A sentence about the mistake, for a query whose answer would otherwise answer another one. */
export function readConnectionQuery(query: URLSearchParams): ConnectionQuery | string {
  const problem = problemOf(query, [...connectionFilters, 'sort', 'limit', 'wait'])
  if (problem !== null) return problem
  for (const [key, value] of query) {
    const allowed = words[key]
    if (allowed !== undefined && !allowed.includes(value))
      return `${key} must be one of ${allowed.join(', ')}`
  }
  for (const name of ['client', 'peer']) {
    const mistake = problemOfClient(name, query.get(name))
    if (mistake !== null) return mistake
  }
  if (!isUpstream(query.get('upstream')))
    return 'upstream must be an address such as 10.0.0.7, with its port or without, or unix:/run/app.sock'
  const given = connectionFilters.flatMap((name) =>
    query.has(name) ? [[name, query.get(name)!] as const] : [],
  )
  return {
    filters: Object.fromEntries(given),
    sort: (query.get('sort') ?? 'age') as Sort,
    limit: limitOf(query),
    withWaits: query.has('wait'),
  }
}

/** A sentence for a value that can be no client; null where it can, or is absent. */
export function problemOfClient(name: string, text: string | null): string | null {
  return isClient(text)
    ? null
    : `${name} must be an address such as 10.0.0.7, with its port or without, or a network such as 10.0.0.0/8`
}

/** A name would match nothing: rows have the address that it was resolved to. */
function isUpstream(text: string | null): boolean {
  return text?.startsWith('unix:') === true || (text?.includes('/') !== true && isClient(text))
}

/** An address as the rows show it, or a network; `unix` is a client without an address. */
function isClient(text: string | null): boolean {
  if (text === null || text === 'unix') return true
  const address = Address.parse(text)
  if (address !== null) return address.port! <= MAX_PORT
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text
  // The interface of a link-local address is not part of it.
  return 'value' in parseCidr(bare.replace(/%.*$/, ''))
}
