// Which connections, in words of the command line: the same for `connections` and `top`.

import { sorts } from '../../admin/types.ts'
import type { Sort } from '../../admin/types.ts'
import { suggest } from '../../config/words.ts'
import { UsageError } from './usage.ts'

export const filterOptions = {
  listener: { type: 'string' },
  protocol: { type: 'string' },
  phase: { type: 'string' },
  client: { type: 'string' },
  upstream: { type: 'string' },
  sort: { type: 'string' },
  limit: { type: 'string' },
} as const

type Filters = { [K in keyof typeof filterOptions]?: string | undefined }

/** The query of `GET /connections`, less its sort. The gate itself complains of the rest. */
export function queryOf(filters: Filters, defaultLimit: number): URLSearchParams {
  const query = new URLSearchParams()
  for (const name of ['listener', 'protocol', 'phase', 'client', 'upstream'] as const) {
    const value = filters[name]
    if (value !== undefined) query.set(name, name === 'protocol' && value === 'ws' ? 'websocket' : value)
  }
  query.set('limit', filters.limit ?? String(defaultLimit))
  return query
}

export function sortOf({ sort = 'age' }: Filters): Sort {
  const found = sorts.find((one) => one === sort)
  if (found !== undefined) return found
  const meant = suggest(sort, sorts)
  throw new UsageError(`--sort must be one of ${sorts.join(', ')}${meant === null ? '' : `, did you mean ${meant}?`}`)
}
