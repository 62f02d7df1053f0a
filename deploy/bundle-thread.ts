// Bundles all code of a worker's thread into one file, in the place of the one that tsc wrote: each thread
// loads it for itself, and two hundred files take twice the time and 7 MB more (bench/README.md). `npm run
// build` runs it after tsc; the tests bundle their threads with the same options.

import { join } from 'node:path'
import { build } from 'esbuild'
import type { BuildOptions } from 'esbuild'

export const bundled = {
  bundle: true,
  // Packages stay in node_modules.
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node24',
  logLevel: 'warning',
} satisfies BuildOptions

if (import.meta.main) {
  const file = join(import.meta.dirname, '../dist/gate/thread.js')
  await build({ ...bundled, entryPoints: [file], outfile: file, allowOverwrite: true })
}
