// The first files of a worker's thread. Each thread loads all of src for itself, two hundred files whose types Node strips: test/run.ts
// makes one file of them, once for all tests.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Names the folder of the bundles, for the processes of tests. */
const FOLDER = 'SIDEGATE_TEST_THREADS'
const root = join(import.meta.dirname, '../..')
const sources = {
  thread: join(root, 'src/gate/thread.ts'),
  'faulty-thread': join(root, 'test/support/faulty-thread.ts'),
}

export function threadFile(name: keyof typeof sources): URL {
  const folder = process.env[FOLDER]
  return pathToFileURL(folder === undefined ? sources[name] : join(folder, `${name}.js`))
}

/** For the time of this process. */
export async function bundleThreads(): Promise<void> {
  // As deep below the project as the sources, which look for package.json.
  const folder = join(root, '.tap', `threads-${process.pid}`)
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const { build } = await import('esbuild')
  const { bundled } = await import('../../deploy/bundle.ts')
  await build({ ...bundled, entryPoints: sources, outdir: folder })
  process.env[FOLDER] = folder
}
