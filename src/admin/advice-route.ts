// `GET /advice`: limits that are learnt from traffic; DELETE begins anew.

import type { Clock } from '../core/clock.ts'
import type { HabitsData } from '../metrics/habits.ts'
import { jsonAnswer } from '../ops/answer.ts'
import type { Answer } from '../ops/answer.ts'
import type { Route } from '../ops/ops-server.ts'
import { advise } from './advice.ts'
import { unknownListener } from './parameters.ts'

export interface AdviceSource {
  /** The habits of each listener's connections. */
  habits: () => Promise<HabitsData[]>
  forgetHabits: () => Promise<void>
  /** The view of the configuration in force. */
  config: () => Promise<unknown>
  clock: Clock
}

export function adviceRoutes(source: AdviceSource): Route[] {
  return [
    {
      method: 'GET',
      path: '/advice',
      summary: 'limits that are learnt from traffic: ?listener= &anyway=1',
      handle: ({ query }) => answer(source, query),
    },
    {
      method: 'DELETE',
      path: '/advice',
      summary: 'forgets what it was learnt from, and begins anew',
      async handle() {
        await source.forgetHabits()
        return jsonAnswer({ since: new Date(source.clock.wall()).toISOString() })
      },
    },
  ]
}

async function answer(source: AdviceSource, query: URLSearchParams): Promise<Answer> {
  const listener = query.get('listener')
  const anyway = query.get('anyway')
  if (
    [...query.keys()].some((key) => key !== 'listener' && key !== 'anyway') ||
    (anyway !== null && anyway !== '1')
  )
    return jsonAnswer({ error: 'the parameters are listener= and anyway=1' }, 400)
  const { listeners = [] } = (await source.config()) as { listeners?: Record<string, unknown>[] }
  const known = new Map(listeners.map((one) => [String(one['name']), one]))
  const views = [...known.keys()].map((name) => ({ name }))
  const unknown = listener === null ? null : unknownListener(listener, views)
  if (unknown !== null) return jsonAnswer({ error: unknown }, 404)
  const habits = (await source.habits()).filter(
    (one) => known.has(one.listener) && (listener ?? one.listener) === one.listener,
  )
  return jsonAnswer(
    habits.map((one) => advise(one, known.get(one.listener)!, source.clock.wall(), anyway === '1')),
  )
}
