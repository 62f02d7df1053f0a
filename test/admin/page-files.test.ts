import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { plainEnv } from '../support/plain-env.ts'
import { setUp } from './admin.ts'

const root = join(import.meta.dirname, '../..')
if (!existsSync(join(root, 'dist/page/page.js.gz')))
  execFileSync(process.execPath, [join(root, 'page/build.ts')], { env: plainEnv() })

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

test('who wants HTML gets the page, and everybody else the list of routes', async (t) => {
  const { get } = await setUp(t)
  t.match(await get('/', html), {
    status: 200,
    headers: { 'content-type': 'text/html; charset=utf-8' },
    body: /<div id="page">/,
  })
  for (const headers of [{}, { accept: '*/*' }, { accept: 'application/json' }])
    t.match(await get('/', headers), {
      status: 200,
      headers: { 'content-type': /text\/plain/ },
      body: /^Sidegate admin/,
    })
})

test('files of the page may be kept, run nothing but themselves, and are framed by nobody', async (t) => {
  const { get } = await setUp(t)
  for (const path of ['/', '/page.js', '/page.css', '/page.svg']) {
    const { headers } = await get(path, html)
    const policy = headers['content-security-policy']
    t.match(policy, /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/, path)
    t.notMatch(policy, /unsafe|data:|http/, path)
    t.equal(headers['cache-control'], 'no-cache', path)
    const etag = headers['etag']!
    t.match(await get(path, { ...html, 'if-none-match': etag }), { status: 304, body: '' }, path)
    t.match(
      await get(path, { ...html, 'if-none-match': '"other"' }),
      { status: 200, headers: { etag } },
      path,
    )
  }
  t.equal((await get('/info')).headers['cache-control'], 'no-store', 'what is of this moment is not kept')
})

test('they are sent compressed, and whole to who does not say that it can read that', async (t) => {
  const { port } = await setUp(t)
  const plain = await fetch(`http://127.0.0.1:${port}/page.js`, {
    headers: { 'accept-encoding': 'identity' },
  })
  t.equal(plain.headers.get('content-encoding'), null)
  const zipped = await fetch(`http://127.0.0.1:${port}/page.js`, {
    headers: { 'accept-encoding': 'gzip, br' },
  })
  t.equal(zipped.headers.get('content-encoding'), 'gzip')
  t.ok(Number(zipped.headers.get('content-length')) < 60_000)
  t.equal(await zipped.text(), await plain.text())
})

test('with a token file the page is given to everybody, and tells nothing', async (t) => {
  const file = join(t.testdir({ token: 'correct-horse-battery' }), 'token')
  const { get } = await setUp(t, { tokenFile: file })
  t.equal((await get('/', html)).status, 200)
  t.equal((await get('/page.js')).status, 200)
  for (const path of ['/', '/info', '/page-token', '/series', '/page.jsx'])
    t.equal((await get(path)).status, 401, path)
  t.equal((await get('/', html, 'POST')).status, 401)
})
