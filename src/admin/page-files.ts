// The page for browsers: static files that `npm run build` makes of page/, already compressed. The first
// request reads them; then they are kept, 50 KB. They reveal nothing of this gate, so they need no token: the
// page asks for it.

import { readFile } from 'node:fs/promises'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { nodeCrypto, nodeZlib } from '../core/late.ts'
import type { Answer } from '../ops/answer.ts'
import type { Route } from '../ops/ops-server.ts'

const files: Readonly<Record<string, { name: string; contentType: string }>> = {
  '/': { name: 'index.html', contentType: 'text/html; charset=utf-8' },
  '/page.js': { name: 'page.js', contentType: 'text/javascript; charset=utf-8' },
  '/page.css': { name: 'page.css', contentType: 'text/css; charset=utf-8' },
  '/page.svg': { name: 'page.svg', contentType: 'image/svg+xml' },
}

/** Nothing from elsewhere, nothing written into the page, no frame around it. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const headers = {
  'Content-Security-Policy': policy,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  // Kept, and revalidated each time: a gate of another version may be behind the same port.
  'Cache-Control': 'no-cache',
  Vary: 'Accept, Accept-Encoding',
}

interface Loaded {
  gzipped: Buffer
  etag: string
}

/** Beside the built program; where the sources run, in their build. */
const folders = ['../page/', '../../dist/page/'].map((path) => new URL(path, import.meta.url))

export class PageFiles {
  readonly #loaded = new Map<string, Promise<Loaded | null>>()

  /** Null where the page was not built. */
  async answer(path: string, asked: IncomingHttpHeaders): Promise<Answer | null> {
    const { name, contentType } = files[path]!
    let loading = this.#loaded.get(name)
    if (loading === undefined) this.#loaded.set(name, (loading = load(name)))
    const file = await loading
    if (file === null) return null
    const common = { contentType, headers: { ...headers, ETag: file.etag } }
    if (asked['if-none-match'] === file.etag) return { ...common, status: 304, body: '' }
    if (/\bgzip\b/.test(String(asked['accept-encoding'])))
      return {
        ...common,
        status: 200,
        headers: { ...common.headers, 'Content-Encoding': 'gzip' },
        body: file.gzipped,
      }
    return { ...common, status: 200, body: await unzip(file.gzipped) }
  }

  routes(): Route[] {
    return Object.keys(files)
      .filter((path) => path !== '/')
      .map((path) => ({
        method: 'GET',
        path,
        summary: 'a file of the page for browsers',
        handle: async ({ headers: asked }) => (await this.answer(path, asked)) ?? notBuilt,
      }))
  }
}

const notBuilt: Answer = { status: 404, body: 'the page was not built: npm run build\n' }

/** A browser that comes for a page; tools accept anything, or JSON. */
export function wantsPage({ accept }: IncomingHttpHeaders): boolean {
  return accept?.includes('text/html') === true
}

/** Whether the request is for a file of the page, and not for data of the gate. */
export function isForPage({ method, url, headers: asked }: IncomingMessage): boolean {
  const path = url?.split('?', 1)[0] ?? ''
  return (method === 'GET' || method === 'HEAD') && path in files && (path !== '/' || wantsPage(asked))
}

async function load(name: string): Promise<Loaded | null> {
  for (const folder of folders) {
    try {
      const gzipped = await readFile(new URL(`${name}.gz`, folder))
      const digest = nodeCrypto().createHash('sha256').update(gzipped).digest('base64url').slice(0, 22)
      return { gzipped, etag: `"${digest}"` }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  return null
}

async function unzip(gzipped: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) =>
    nodeZlib().gunzip(gzipped, (error, bytes) => (error === null ? resolve(bytes) : reject(error))),
  )
}
