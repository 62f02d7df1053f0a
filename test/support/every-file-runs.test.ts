// No test file is left out: each belongs to a ring, or runs by itself.

import { globSync } from 'node:fs'
import { test } from 'tap'
import { inOrder } from '../order.ts'
import { partOf, unitRing, wireRing } from '../rings.ts'

test('`npm test` runs every test file once', (t) => {
  const { alone, beside } = inOrder()
  const rings: Record<string, readonly string[]> = { 'test/unit.ts': unitRing(), 'test/wire.ts': wireRing() }
  const run = [...alone, ...beside].flatMap((entry) => {
    const [file = '', part] = entry.split(' ')
    return file in rings ? partOf(rings[file]!, part) : [file]
  })
  t.same(run.toSorted(), globSync('test/**/*.test.ts').toSorted())
  t.ok(alone.length > 0)
  t.ok(unitRing().length > 0 && wireRing().length > 0)
  t.end()
})
