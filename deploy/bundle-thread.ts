// Bundles all code of a worker's thread into one file, in the place of the one that tsc wrote: each thread
// loads it for itself, and two hundred files take twice the time and 7 MB more (bench/README.md). `npm run
// build` runs it after tsc.

import { join } from 'node:path'
import { build } from 'esbuild'

const file = join(import.meta.dirname, '../dist/gate/thread.js')

await build({
  entryPoints: [file],
  outfile: file,
  allowOverwrite: true,
  bundle: true,
  // Packages stay in node_modules.
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node24',
  logLevel: 'warning',
})
