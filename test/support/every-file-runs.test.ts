// No test file is left out: each belongs to the unit ring, or runs by itself.

import { globSync } from 'node:fs'
import { test } from 'tap'
import { inOrder } from '../order.ts'
import { others } from '../unit-others.ts'

test('`npm test` runs every test file once', (t) => {
  const all = globSync('test/**/*.test.ts').toSorted()
  const { alone, beside } = inOrder()
  const unit = globSync('test/**/*.test.ts', { exclude: others })
  t.same(
    [...alone, ...beside]
      .filter((file) => file !== 'test/unit.ts')
      .concat(unit)
      .toSorted(),
    all,
  )
  t.equal(beside[0], 'test/unit.ts')
  t.ok(alone.length > 0)
  t.end()
})
