// The unit ring in one process: every test that needs no process of its own, no real peer and no deadline by the wall clock. `npm test` runs
// the same files one process each; here the start of a process, most of their time, is paid once.

import { globSync } from 'node:fs'
import { join } from 'node:path'

/** Rooms whose tests start programs, render charts or run whole gates, and single files that measure the heap of their process. */
const others = ['test/{cli,demo,deploy,support,system,wire}/**', 'test/admin/debug-routes.test.ts']

for (const file of globSync('test/**/*.test.ts', { exclude: others }).toSorted()) await import(join(process.cwd(), file))
