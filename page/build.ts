// The build of the page as static files: `node page/build.ts [FOLDER]` writes dist/page, compressed as they
// are served. Fails if they become large: browsers load them over a port-forward, from a pod in trouble.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const MAX_BYTES = 120 * 1024
const folder = process.argv[2] ?? join(import.meta.dirname, '../dist/page')

const { outputFiles } = await build({
  entryPoints: { page: join(import.meta.dirname, 'main.tsx'), style: join(import.meta.dirname, 'page.css') },
  bundle: true,
  minify: true,
  write: false,
  outdir: folder,
  format: 'esm',
  target: ['es2023', 'chrome120', 'firefox121', 'safari17.4'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'none',
  logLevel: 'warning',
})

const bytesOf = (name: string): Uint8Array => outputFiles.find(({ path }) => path.endsWith(name))!.contents
const read = (name: string): Uint8Array => readFileSync(join(import.meta.dirname, name))
const files: Record<string, Uint8Array> = {
  'index.html': read('index.html'),
  'page.svg': read('page.svg'),
  'page.js': bytesOf('page.js'),
  'page.css': bytesOf('style.css'),
}

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
let total = 0
for (const [name, bytes] of Object.entries(files)) {
  const gzipped = gzipSync(bytes, { level: 9 })
  total += gzipped.length
  writeFileSync(join(folder, `${name}.gz`), gzipped)
}
if (total > MAX_BYTES) throw new Error(`the page has ${total} bytes compressed, more than ${MAX_BYTES}`)
