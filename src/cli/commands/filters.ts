// The filters of connections as options of the command line: the same for `connections` and `top`.

import { connectionFilters, MOST_ROWS, sorts, states } from '../../admin/types.ts'
import type { Sort } from '../../admin/types.ts'
import { phases } from '../../core/close.ts'
import { protocols } from '../../core/connection.ts'
import { choiceOf, countOf } from './usage.ts'

export const filterOptions = {
  listener: { type: 'string' },
  protocol: { type: 'string' },
  phase: { type: 'string' },
  state: { type: 'string' },
  client: { type: 'string' },
  peer: { type: 'string' },
  upstream: { type: 'string' },
  sort: { type: 'string' },
  limit: { type: 'string' },
} as const

type Filters = { [K in keyof typeof filterOptions]?: string | undefined }

/** The query of `GET /connections`, without its sort. */
export function queryOf(filters: Filters, defaultLimit: number): URLSearchParams {
  const query = new URLSearchParams()
  const checked = {
    ...filters,
    protocol: choiceOf('--protocol', filters.protocol === 'ws' ? 'websocket' : filters.protocol, protocols),
    phase: choiceOf('--phase', filters.phase, phases),
    limit: countOf('--limit', filters.limit, MOST_ROWS),
    state: choiceOf('--state', filters.state, states),
  }
  for (const name of connectionFilters) {
    const value = checked[name]
    if (value !== undefined) query.set(name, value)
  }
  query.set('limit', checked.limit ?? String(defaultLimit))
  return query
}

export function sortOf({ sort = 'age' }: Filters): Sort {
  return choiceOf('--sort', sort, sorts) ?? 'age'
}

/** The gate itself reports an unknown state. */
export function stateOf({ state }: Filters): string | null {
  return state ?? null
}
