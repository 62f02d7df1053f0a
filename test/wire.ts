// The wire ring, or a part of it such as `1/16`, in one process: gates over real sockets, one file after another.

import { load, wireRing } from './rings.ts'
// It looks at the resources of a process in which no test has begun.
import './support/leaks.ts'

await load(wireRing(), process.argv[2])
