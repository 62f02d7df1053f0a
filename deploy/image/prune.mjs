// Removes from the node_modules beside it what no program reads: types, source maps, documents, tests. For the image.

import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const useless = /\.(d\.[cm]?ts|map|md|markdown|html|tsbuildinfo)$|(^|\/)\.package-lock\.json$/
const uselessFolder = /\/(test|tests|docs|examples|benchmark|browser)$/

for (const entry of readdirSync('node_modules', { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name)
  // Of packages only, and never their licence; a folder of that name deeper inside may be code.
  const isTopFolder =
    entry.isDirectory() && /^node_modules\/(@[^/]+\/)?[^/]+\/[^/]+$/.test(path) && uselessFolder.test(path)
  if (isTopFolder || (entry.isFile() && useless.test(path) && !/licen[cs]e/i.test(entry.name)))
    rmSync(path, { recursive: true, force: true })
}
