// No test file is left out: each belongs to the unit ring, or runs by itself.

import { globSync } from 'node:fs'
import { test } from 'tap'
import { inOrder } from '../order.ts'
import { others, partOf } from '../unit-others.ts'

test('`npm test` runs every test file once', (t) => {
  const all = globSync('test/**/*.test.ts').toSorted()
  const { alone, beside } = inOrder()
  const halves = ['1/2', '2/2']
  t.same(
    beside.slice(0, 2),
    halves.map((half) => `test/unit.ts ${half}`),
  )
  const ring = globSync('test/**/*.test.ts', { exclude: others })
  const unit = halves.flatMap((half) => partOf(ring, half))
  t.same([...alone, ...beside.slice(2), ...unit].toSorted(), all)
  t.ok(alone.length > 0)
  t.end()
})
