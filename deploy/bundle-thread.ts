// All that a worker's thread runs in one file, in the place of the one that tsc wrote: each thread loads it for itself, and two hundred
// files take it twice the time and 7 MB more (bench/README.md). Run after tsc, by `npm run build`.

import { join } from 'node:path'
import { build } from 'esbuild'

const file = join(import.meta.dirname, '../dist/gate/thread.js')

await build({
  entryPoints: [file],
  outfile: file,
  allowOverwrite: true,
  bundle: true,
  // What node_modules has stays there.
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node24',
  logLevel: 'warning',
})
