import { test } from 'tap'
import { LookPatience } from '../../src/endpoint/look-patience.ts'

/** When it is over, asked every so many milliseconds. */
function overAfter(everyMs: number): number {
  const patience = new LookPatience()
  let now = 0
  while (!patience.isOver(now)) now += everyMs
  return now
}

test('a look is waited for as long where a short deadline has connections swept often', (t) => {
  for (const everyMs of [5, 12, 125, 250])
    t.ok(Math.abs(overAfter(everyMs) - 10_000) <= everyMs, `${overAfter(everyMs)} ms, asked every ${everyMs}`)
  t.end()
})

test('a process that stands still between its sweeps has not waited', (t) => {
  t.equal(overAfter(5000), 40 * 5000)
  t.end()
})
