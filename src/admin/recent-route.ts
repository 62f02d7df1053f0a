// `GET /recent`: connections that have just ended, the newest first.

import { reasonNames } from '../core/close.ts'
import type { Reason } from '../core/close.ts'
import { jsonAnswer } from '../ops/answer.ts'
import type { Route } from '../ops/ops-server.ts'
import { limitOf, problemOf } from './parameters.ts'
import type { RecentEnd } from './types.ts'

const parameters = ['reason', 'listener', 'client', 'limit'] as const

/** Null does not filter. */
export interface RecentQuery {
  reason: Reason | null
  listener: string | null
  /** With or without its port. */
  client: string | null
  limit: number
}

/** A sentence about the mistake, for a query whose answer would otherwise answer another one. */
function readRecentQuery(query: URLSearchParams): RecentQuery | string {
  const problem = problemOf(query, parameters)
  if (problem !== null) return problem
  const reason = reasonNames.find((name) => name === query.get('reason')) ?? null
  if (reason === null && query.has('reason')) return 'unknown reason, sidegate explain lists them'
  return { reason, listener: query.get('listener'), client: query.get('client'), limit: limitOf(query) }
}

/** `recent` returns the newest first. */
export function recentRoute(recent: (query: RecentQuery) => Promise<readonly RecentEnd[]>): Route {
  return {
    method: 'GET',
    path: '/recent',
    summary: 'what has just ended, and why: ?reason= &listener= &client= &limit=100',
    async handle({ query: search }) {
      const query = readRecentQuery(search)
      return typeof query === 'string' ? jsonAnswer({ error: query }, 400) : jsonAnswer(await recent(query))
    },
  }
}
