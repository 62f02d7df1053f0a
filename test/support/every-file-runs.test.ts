// No test file is left out: each belongs to the unit ring, or the runner includes it by itself.

import { globSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { others } from '../unit-others.ts'

test('`npm test` runs every test file once', (t) => {
  const { include } = parse(readFileSync('.taprc', 'utf8')) as Record<string, string[]>
  const all = globSync('test/**/*.test.ts').toSorted()
  const alone = include!.flatMap((pattern) => globSync(pattern)).filter((file) => file !== 'test/unit.ts')
  const unit = globSync('test/**/*.test.ts', { exclude: others })
  t.same([...alone, ...unit].toSorted(), all)
  t.ok(include!.includes('test/unit.ts'))
  t.end()
})
