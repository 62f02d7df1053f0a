// What several gates count, of which each may have others: as many as there are apart.

import { test } from 'tap'
import { mergedFigures } from '../../src/metrics/figures.ts'
import type { Figure } from '../../src/metrics/history.ts'
import { merged } from '../../src/metrics/metric-rows.ts'
import type { MetricRow } from '../../src/metrics/metric-rows.ts'

const row = (members: string[] | undefined, value = members!.length): MetricRow => ({
  name: 'n',
  help: '',
  type: 'gauge',
  aggregator: 'max',
  values: [{ labels: { state: 'gone' }, value, ...(members === undefined ? {} : { members }) }],
})

test('values with members are as many as those are apart, others as the aggregator has it', (t) => {
  const of = (...rows: MetricRow[]): number => merged(rows.map((one) => [one]))[0]!.values[0]!.value
  t.equal(of(row(['a', 'b']), row(['c'])), 3)
  t.equal(of(row(['a', 'b']), row(['b']), row(['a', 'd'])), 3)
  t.equal(of(row([]), row([])), 0)
  t.equal(of(row(undefined, 2), row(undefined, 5)), 5)
  t.equal(of(row(['a', 'b']), row(undefined, 1)), 2)
  t.end()
})

test('the figures of a gate are added up over its listeners, before the gates are compared', (t) => {
  const upstreams = (state: string, value: number, members?: string[]): Figure => ({
    name: 'upstreams',
    labels: { state },
    kind: 'level',
    value,
    ...(members === undefined ? {} : { members }),
  })
  const one = [
    upstreams('healthy', 2),
    upstreams('healthy', 3),
    upstreams('gone', 1, ['a x']),
    upstreams('gone', 0, []),
  ]
  const other = [
    upstreams('healthy', 2),
    upstreams('healthy', 3),
    upstreams('gone', 1, ['a x']),
    upstreams('gone', 2, ['b y', 'b z']),
  ]
  const found = Object.fromEntries(
    mergedFigures([one, other]).map(({ labels, value }) => [labels['state'], value]),
  )
  t.same(found, { healthy: 5, gone: 3 })
  t.end()
})
