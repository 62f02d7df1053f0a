import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { inSlices, ROWS, visitInSlices } from '../../src/admin/slices.ts'

/** The events, in order: `turn` for a turn of the event loop. */
function recorded() {
  const order: Array<string | number> = []
  const clock = {
    ...systemClock,
    nextTurn: (run: () => void) => setImmediate(() => (order.push('turn'), run())),
  }
  return { order, clock }
}

test('rows are made a hundred at a time, and the event loop turns between two of these', async (t) => {
  const { order, clock } = recorded()
  for await (const slice of inSlices(
    clock,
    Array.from({ length: 250 }, (_, nth) => nth),
  ))
    order.push(slice.length)
  t.same(order, [ROWS, 'turn', ROWS, 'turn', 50])
  t.equal(ROWS, 100)
})

test('many are looked at in more than one turn, and what is added meanwhile is not waited for', async (t) => {
  const { order, clock } = recorded()
  const items = new Set(Array.from({ length: 1100 }, (_, nth) => nth))
  let seen = 0
  await visitInSlices(clock, items, () => items.add(10_000 + seen++))
  t.equal(seen, 1100)
  t.same(order, ['turn', 'turn'])
})
