import { test } from 'tap'
import type { SharedView } from '../../src/admin/types.ts'
import { mergedViews } from '../../src/operator/views.ts'

const view = (shared: SharedView | null) => ({ upstreams: [], shared })
const up: SharedView = {
  redis: 'redis:6379',
  isUp: true,
  mode: 'leased',
  gates: 3,
  leases: 5,
  since: '2026-01-01T00:00:00.000Z',
  problem: null,
}
const away: SharedView = { ...up, isUp: false, mode: 'local', gates: 2, problem: 'no answer within 50 ms' }

test('limits of a fleet are told as the worker has them that fares worst, with the leases of all', (t) => {
  t.same(mergedViews([view(up), view(up)], []).shared, { ...up, leases: 10 })
  for (const views of [
    [view(up), view(away)],
    [view(away), view(up)],
  ])
    t.same(mergedViews(views, []).shared, { ...away, gates: 3, leases: 10 })
  t.equal(mergedViews([view(null), view(null)], []).shared, null)
  t.same(mergedViews([view(null), view(up)], []).shared, up, 'a thread that is not there yet')
  t.end()
})
