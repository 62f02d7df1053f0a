#!/usr/bin/env node
// The entry point of the process: restarts the gate with the flags that it needs, before anything else is
// loaded.

import { restartWithFlags } from './flags.ts'

if (process.argv[2] === 'run') restartWithFlags()
await import('./main.ts')
