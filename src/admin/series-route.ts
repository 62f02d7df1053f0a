// The last quarter of an hour, as the gate itself keeps it.

import type { HistoryView } from '../metrics/history.ts'
import { jsonAnswer } from '../ops/answer.ts'
import type { Route } from '../ops/ops-server.ts'
import type { SeriesView } from './types.ts'

const nothing: HistoryView = { stepMs: 0, last: 0, at: [], columns: [] }

export function seriesRoute(history: ((after: number) => HistoryView) | undefined): Route {
  return {
    method: 'GET',
    path: '/series',
    summary: 'the last 15 minutes in steps of 5 s: ?after=STEP',
    handle({ query }) {
      const unknown = [...query.keys()].find((key) => key !== 'after')
      if (unknown !== undefined) return jsonAnswer({ error: 'unknown parameter, known is after' }, 400)
      const after = query.get('after') ?? '0'
      if (!/^\d{1,15}$/.test(after))
        return jsonAnswer({ error: 'after must be the number of a step: last of an earlier answer' }, 400)
      const view = history?.(Number(after)) ?? nothing
      const answer: SeriesView = { ...view, at: view.at.map((at) => new Date(at).toISOString()) }
      // On one line: a quarter of an hour is 30 KB, and on lines for people three times that.
      return { status: 200, contentType: 'application/json', body: `${JSON.stringify(answer)}\n` }
    },
  }
}
