// The unit ring in one process: every test that needs no process of its own, no real peer and no deadline by
// the wall clock. One start of a process is most of the time of these files. `node test/unit.ts 1/2` runs every other file:
// test/run.ts starts both halves side by side.

import { globSync } from 'node:fs'
import { join } from 'node:path'
import { others, partOf } from './unit-others.ts'

// To tap all files are one test, which it gives up after 30 seconds: too little for all of them on a busy machine.
process.env['TAP_TIMEOUT'] ??= '600'

const all = globSync('test/**/*.test.ts', { exclude: others }).toSorted()
for (const file of partOf(all, process.argv[2])) await import(join(process.cwd(), file))
