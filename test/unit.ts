// The unit ring in one process: every test that needs no process of its own, no real peer and no deadline by the wall clock. For `npm test` it
// is one file beside the others: the start of a process, most of the time of these files, is paid once.

import { globSync } from 'node:fs'
import { join } from 'node:path'
import { others } from './unit-others.ts'

// All files are one test to tap, which gives up on one after 30 seconds: too little for all of them on a busy machine.
process.env['TAP_TIMEOUT'] ??= '600'

for (const file of globSync('test/**/*.test.ts', { exclude: others }).toSorted())
  await import(join(process.cwd(), file))
