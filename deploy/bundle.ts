// Bundles what tsc compiled into the files of dist/: those of the program, of the process that judges a configuration, and of a worker's
// thread. Node reads, compiles and keeps each file apart: with two hundred of them a gate takes half as much CPU again until it serves, and
// holds 7 MB more (bench/README.md). Parts that come late, or that two of these share, are files in dist/chunks. `npm run build`
// runs it after tsc; the tests bundle their threads with the same options.

import { rmSync } from 'node:fs'
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
  const root = join(import.meta.dirname, '..')
  const compiled = (name: string): string => join(root, '.build', name)
  const into = { outdir: join(root, 'dist'), outbase: compiled('') }
  rmSync(into.outdir, { recursive: true, force: true })
  await build({
    ...bundled,
    ...into,
    entryPoints: [compiled('cli/cli.js'), compiled('config/check-process.js')],
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  })
  // By itself, since a thread that loads one file starts sooner than one that shares twenty.
  await build({ ...bundled, ...into, entryPoints: [compiled('gate/thread.js')] })
}
