// The parameters of a query: a question with a mistake gets a sentence about it, never the answer to another
// question.

import { jsonAnswer } from '../ops/answer.ts'
import type { Route } from '../ops/ops-server.ts'
import { MOST_ROWS } from './types.ts'
import type { ListenerView } from './types.ts'

/** Null where `query` has only `known` parameters, each once, and a `limit` in its bounds if any. */
export function problemOf(query: URLSearchParams, known: readonly string[]): string | null {
  for (const key of query.keys()) {
    if (!known.includes(key)) return `unknown parameter, known are ${known.join(', ')}`
    if (query.getAll(key).length > 1) return `${key} is given twice`
  }
  const limit = limitOf(query)
  return limit >= 1 && limit <= MOST_ROWS ? null : `limit must be 1 to ${MOST_ROWS}`
}

/** NaN where it is no number. */
export function limitOf(query: URLSearchParams): number {
  const limit = query.get('limit') ?? '100'
  return /^\d{1,5}$/.test(limit) ? Number(limit) : Number.NaN
}

/** A sentence about a name that no listener in force has; null for one that it has. */
export function unknownListener(
  name: string,
  listeners: readonly Pick<ListenerView, 'name'>[],
): string | null {
  const names = listeners.map((listener) => listener.name)
  return names.includes(name) ? null : `there is no such listener, known are ${names.join(', ')}`
}

/** The routes whose answer, or act, nothing narrows down. */
const without = new Set([
  'GET /info',
  'GET /connections/:id',
  'DELETE /connections/:id',
  'DELETE /advice',
  'GET /listeners',
  'GET /upstreams',
  'GET /config',
  'GET /config/origins',
  'GET /config/error',
  'GET /log',
  'POST /reload',
])

/** A route without parameters refuses them: `GET /log?level=debug` would seem to have set it. */
export function refuseParameters(route: Route): Route {
  if (!without.has(`${route.method} ${route.path}`)) return route
  return {
    ...route,
    handle: (request) =>
      request.query.size === 0
        ? route.handle(request)
        : jsonAnswer({ error: `${route.method} ${route.path} takes no parameters` }, 400),
  }
}
