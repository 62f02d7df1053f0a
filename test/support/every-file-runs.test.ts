// No test file is left out: each belongs to a ring, or runs by itself.

import { globSync } from 'node:fs'
import { test } from 'tap'
import { inOrder } from '../order.ts'
import { filesOf, groups, partOf, unitRing, wireRing } from '../rings.ts'

test('`npm test` runs every test file once', (t) => {
  const { alone, beside } = inOrder()
  const run = [...alone, ...beside].flatMap((entry) => {
    const [file = '', ...words] = entry.split(' ')
    if (file === 'test/unit.ts') return partOf(unitRing(), words[0])
    if (file === 'test/wire.ts') return partOf(wireRing(), words[0])
    return file === 'test/group.ts' ? partOf(filesOf(groups[words[0]!]!), words[1]) : [file]
  })
  t.same(run.toSorted(), globSync('test/**/*.test.ts').toSorted())
  t.ok(alone.length > 0)
  t.ok(unitRing().length > 0 && wireRing().length > 0)
  t.end()
})
