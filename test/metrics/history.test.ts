import { test } from 'tap'
import { History, STEP_MS, STEPS } from '../../src/metrics/history.ts'
import type { Figure, HistoryView } from '../../src/metrics/history.ts'
import { fakeClock } from '../support/fake-clock.ts'

const level = (name: string, value: number, labels: Figure['labels'] = {}): Figure => ({
  name,
  labels,
  kind: 'level',
  value,
})
const count = (name: string, value: number, labels: Figure['labels'] = {}): Figure => ({
  name,
  labels,
  kind: 'count',
  value,
})
const valuesOf = (view: HistoryView, name: string): Array<number | null> | undefined =>
  view.columns.find((column) => column.name === name)?.values

test('a level is kept as it is, a count as what it grew in each step', async (t) => {
  const clock = fakeClock()
  let figures = [level('open', 3), count('ended', 100)]
  const history = new History(clock, async () => figures)
  history.start()
  figures = [level('open', 5), count('ended', 107)]
  await clock.pass(STEP_MS)
  figures = [level('open', 4), count('ended', 107), count('late', 2)]
  await clock.pass(STEP_MS)
  const view = history.view()
  t.same(valuesOf(view, 'open'), [3, 5, 4])
  t.same(valuesOf(view, 'ended'), [0, 7, 0], 'what was before the first step is not of it')
  t.same(valuesOf(view, 'late'), [0, 0, 2], 'a count that comes later began at 0')
  t.equal(view.last, 3)
  t.equal(view.at[2]! - view.at[1]!, STEP_MS)
  t.same(valuesOf(history.view(2), 'open'), [4], 'only what is after')
  t.same(valuesOf(history.view(3), 'open'), [])
  history.stop()
  t.same(clock.armed.every, 0)
})

test('figures of one name and labels add up within a step', async (t) => {
  const clock = fakeClock()
  let total = 1
  const history = new History(clock, async () => [
    level('held', 1),
    level('held', 2),
    count('n', total),
    count('n', total),
  ])
  history.start()
  total = 5
  await clock.pass(STEP_MS)
  t.same(valuesOf(history.view(), 'held'), [3, 3])
  t.same(valuesOf(history.view(), 'n'), [0, 8])
  history.stop()
})

test('what is not told is null, and forgotten when the ring has gone round', async (t) => {
  const clock = fakeClock()
  let figures = [level('gone', 1), level('stays', 1)]
  const history = new History(clock, async () => figures)
  history.start()
  figures = [level('stays', 1)]
  await clock.pass(STEP_MS)
  t.same(valuesOf(history.view(), 'gone'), [1, null])
  for (let step = 2; step < STEPS; step++) await clock.pass(STEP_MS)
  t.same(valuesOf(history.view(), 'gone')?.[0], 1, 'still in the ring')
  await clock.pass(STEP_MS)
  t.same(valuesOf(history.view(), 'gone'), undefined)
  t.equal(valuesOf(history.view(), 'stays')?.length, STEPS)
  history.stop()
})

test('it is bounded: steps by the ring, listeners by what is added up under others', async (t) => {
  const clock = fakeClock()
  let names = Array.from({ length: 300 }, (_, nth) => `l${nth}`)
  const history = new History(clock, async () =>
    names.map((listener) => level('connections', 1, { listener })),
  )
  history.start()
  for (let step = 0; step < 2 * STEPS; step++) await clock.pass(STEP_MS)
  const view = history.view()
  t.equal(view.at.length, STEPS)
  t.equal(view.columns.length, 129)
  t.equal(view.columns.find(({ labels }) => labels['listener'] === 'others')?.values.at(-1), 300 - 128)
  t.ok(JSON.stringify(view).length < 300_000)
  names = ['new']
  for (let step = 0; step <= STEPS; step++) await clock.pass(STEP_MS)
  names = ['newer']
  await clock.pass(STEP_MS)
  t.ok(
    history.view().columns.some(({ labels }) => labels['listener'] === 'newer'),
    'there is room again',
  )
  history.stop()
})
