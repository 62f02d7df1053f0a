// The unit ring in one process: every test that needs no process of its own, no real peer and no deadline by
// the wall clock. `node test/unit.ts 1/2` runs every other file: test/run.ts starts both halves side by side.

import { load, unitRing } from './rings.ts'

await load(unitRing(), process.argv[2])
