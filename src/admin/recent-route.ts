// `GET /recent`: connections that have just ended, the newest first.

import { reasonNames } from '../core/close.ts'
import type { Reason } from '../core/close.ts'
import { jsonAnswer } from '../ops/answer.ts'
import type { Route } from '../ops/ops-server.ts'
import { problemOfClient } from './connection-query.ts'
import { limitOf, problemOf, unknownListener } from './parameters.ts'
import type { ListenerView, RecentEnd } from './types.ts'

const parameters = ['reason', 'listener', 'client', 'limit'] as const

/** Null does not filter. */
export interface RecentQuery {
  reason: Reason | null
  listener: string | null
  /** With or without its port, or a network. */
  client: string | null
  limit: number
}

/** A sentence about the mistake, for a query whose answer would otherwise answer another one. */
function readRecentQuery(query: URLSearchParams): RecentQuery | string {
  const problem = problemOf(query, parameters)
  if (problem !== null) return problem
  const reason = reasonNames.find((name) => name === query.get('reason')) ?? null
  if (reason === null && query.has('reason')) return 'unknown reason, sidegate explain lists them'
  const mistake = problemOfClient('client', query.get('client'))
  if (mistake !== null) return mistake
  return { reason, listener: query.get('listener'), client: query.get('client'), limit: limitOf(query) }
}

export interface RecentParts {
  /** Returns the newest first. */
  recent: (query: RecentQuery) => Promise<readonly RecentEnd[]>
  listeners: () => readonly Pick<ListenerView, 'name'>[]
}

export function recentRoute({ recent, listeners }: RecentParts): Route {
  return {
    method: 'GET',
    path: '/recent',
    summary: 'what has just ended, and why: ?reason= &listener= &client= &limit=100',
    async handle({ query: search }) {
      const query = readRecentQuery(search)
      if (typeof query === 'string') return jsonAnswer({ error: query }, 400)
      const ends = await recent(query)
      // A listener that a reload removed has left its ends here.
      const unknown =
        ends.length > 0 || query.listener === null ? null : unknownListener(query.listener, listeners())
      return unknown === null ? jsonAnswer(ends) : jsonAnswer({ error: unknown }, 400)
    },
  }
}
