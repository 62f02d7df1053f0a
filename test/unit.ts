// The unit ring in one process: every test that needs no process of its own, no real peer and no deadline by
// the wall clock. For `npm test` it is one file beside the others, and pays for one start of a process, which
// is most of the time of these files.

import { globSync } from 'node:fs'
import { join } from 'node:path'
import { others } from './unit-others.ts'

// To tap all files are one test, which it gives up after 30 seconds: too little for all of them on a busy machine.
process.env['TAP_TIMEOUT'] ??= '600'

for (const file of globSync('test/**/*.test.ts', { exclude: others }).toSorted())
  await import(join(process.cwd(), file))
