// The list of all generators of the repository, run in the order in which they build on each other; with `--check` each only names the files
// that are out of date. Exits with 1 where a generator does.

import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'

const root = dirname(import.meta.dirname)
/** The charts copy the dashboards and rules, so they come last. */
const generators = [
  'docs/generate.ts',
  'docs/rooms.ts',
  'deploy/observability/generate.ts',
  'deploy/generate.ts',
  'helm/generate.ts',
]

const codes = generators.map(
  (generator) =>
    spawnSync(process.execPath, [join(root, generator), ...process.argv.slice(2)], { stdio: 'inherit' })
      .status,
)
process.exitCode = codes.every((code) => code === 0) ? 0 : 1
