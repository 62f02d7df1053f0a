import { test } from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { stopwatch } from './stopwatch.ts'

test('a stopwatch counts what passes, but for the time in which the process stood still', async (t) => {
  let skipped = 0
  const watch = stopwatch(t, () => performance.now() + skipped)
  await delay(60)
  skipped += 5000
  await delay(60)
  t.ok(watch.ms >= 5115, `${watch.ms} ms`)
  t.ok(watch.livedMs >= 115 && watch.livedMs <= watch.ms - 5000 + 100, `${watch.livedMs} of ${watch.ms} ms`)
})

test('whoever looks in one and the same turn sees a gap once, and no more of it than a turn may be', (t) => {
  let now = 0
  const watch = stopwatch(t, () => now)
  now = 30
  t.same([watch.ms, watch.livedMs, watch.livedMs], [30, 30, 30])
  now = 2030
  t.same([watch.ms, watch.livedMs], [2030, 130])
  t.end()
})
