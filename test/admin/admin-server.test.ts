import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { AdminServer } from '../../src/admin/admin-server.ts'
import { isLoopbackHost as isLoopback } from '../../src/core/address.ts'
import { adminOptions, setUp } from './admin.ts'
import type { Row } from './admin.ts'

test('a foreign Host is refused: DNS rebinding', async (t) => {
  const { get } = await setUp(t)
  const refused = [
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil.example:17020',
    '10.0.0.1',
    '[::2]',
    '[::1].evil',
    'localhost:1:2',
    '0.0.0.0',
    '127.1',
  ]
  for (const host of refused) t.equal((await get('/info', { host })).status, 403, host)
  const allowed = [
    'localhost',
    'LocalHost:17020',
    '127.0.0.1:17020',
    '127.0.0.53',
    '[::1]',
    '[::1]:80',
    '[::ffff:127.0.0.1]',
  ]
  for (const host of allowed) t.equal((await get('/info', { host })).status, 200, host)
})

test('any Origin is refused, and what a browser sends for another site', async (t) => {
  const { get } = await setUp(t)
  for (const origin of ['http://evil.example', 'http://localhost:17020', 'null', ''])
    t.equal((await get('/info', { origin })).status, 403, origin)
  for (const site of ['cross-site', 'same-site'])
    t.equal((await get('/info', { 'sec-fetch-site': site })).status, 403, site)
  t.equal((await get('/info', { 'sec-fetch-site': 'none' })).status, 200)
})

test('what changes something is refused to pages and foreign names too, before it is done', async (t) => {
  const ends: string[] = []
  const { get, open, log } = await setUp(t)
  const { id } = open('app', 1, { owner: { close: ({ reason }) => void ends.push(reason) } })
  const mutations: [string, string][] = [
    ['DELETE', `/connections/${id}`],
    ['POST', '/log?level=debug'],
    ['POST', '/debug/cpuprofile?seconds=1'],
    ['POST', '/debug/heapsnapshot?force=1'],
  ]
  const foreign: Record<string, string>[] = [
    { host: 'evil.example' },
    { origin: 'http://localhost' },
    { 'sec-fetch-site': 'cross-site' },
  ]
  for (const [method, path] of mutations)
    for (const headers of foreign) t.equal((await get(path, headers, method)).status, 403, path)
  t.same([ends, log.level], [[], 'info'])
})

test('a page of the same origin reads, and changes something only with the token of the page', async (t) => {
  const ends: string[] = []
  const { get, open, port, row } = await setUp(t)
  const { id } = open('app', 1, { owner: { close: ({ reason }) => void ends.push(reason) } })
  const own = {
    origin: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    'sec-fetch-site': 'same-origin',
  }
  t.equal((await get('/info', own)).status, 200)
  const kill = (headers: Record<string, string>) => get(`/connections/${id}`, headers, 'DELETE')
  t.match(await kill(own), { status: 403, body: /token: X-Sidegate-Page/ }, 'before anybody has asked for it')
  const { token } = (await row('/page-token')) as { token: string }
  for (const given of ['', 'x', token.slice(1), `${token}x`, 'x'.repeat(token.length)])
    t.equal((await kill({ ...own, 'x-sidegate-page': given })).status, 403, given)
  t.equal((await kill({ 'sec-fetch-site': 'same-origin' })).status, 403, 'a browser that sends no Origin')
  for (const origin of ['http://127.0.0.1:1', `http://localhost:${port}`, 'null'])
    t.equal((await kill({ ...own, origin, 'x-sidegate-page': token })).status, 403, origin)
  t.equal((await kill({ ...own, 'sec-fetch-site': 'cross-site', 'x-sidegate-page': token })).status, 403)
  t.same(ends, [], 'nothing was done')
  // 409: this owner does not end.
  t.equal((await kill({ ...own, 'x-sidegate-page': token })).status, 409)
  t.equal((await kill({ ...own, origin: `https://127.0.0.1:${port}`, 'x-sidegate-page': token })).status, 409)
  t.same(ends, ['killed', 'killed'])
  t.equal((await kill({})).status, 409, 'tools need none')
})

test('a link from elsewhere leads to the page and to nothing else', async (t) => {
  const { get } = await setUp(t)
  const visit = {
    accept: 'text/html,*/*',
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
  }
  t.equal((await get('/', visit)).status, 200)
  t.equal((await get('/info', visit)).status, 403)
  t.equal((await get('/', { ...visit, 'sec-fetch-dest': 'iframe' })).status, 403)
  t.equal((await get('/', { ...visit, 'sec-fetch-mode': 'no-cors' })).status, 403)
  t.equal((await get('/', { ...visit, accept: '*/*' })).status, 403)
})

test('each path has its methods: what changes something is never a GET', async (t) => {
  const { get } = await setUp(t)
  for (const method of ['POST', 'PUT', 'OPTIONS'])
    t.match(await get('/connections/1', {}, method), { status: 405, headers: { allow: 'GET, HEAD, DELETE' } })
  for (const method of ['POST', 'DELETE'])
    t.match(await get('/connections', {}, method), { status: 405, headers: { allow: 'GET, HEAD' } })
  for (const path of ['/debug/cpuprofile', '/debug/heapprofile', '/debug/heapsnapshot'])
    t.match(await get(path), { status: 405, headers: { allow: 'POST' } }, path)
  t.match(await get('/info', {}, 'HEAD'), { status: 200, body: '' })
  t.equal((await get('/nothing')).status, 404)
})

test('no route takes a parameter that it does not know for nothing', async (t) => {
  const done: string[] = []
  const act = async (): Promise<never> => {
    done.push('acted')
    throw new Error('acted')
  }
  const { get } = await setUp(t, {
    habits: { habits: async () => [], forgetHabits: act },
    lifecycle: { reload: act, drain: () => 'none', undoDrain: () => false } as never,
  })
  const { body } = await get('/')
  const routes = [...body.matchAll(/^ *(GET|POST|DELETE) +(\/\S+) /gm)]
    .map(([, method, path]) => [method!, path!])
    // Files, in which a parameter defeats a cache.
    .filter(([, path]) => !path!.startsWith('/page'))
  t.ok(routes.length > 15, `${routes.length} routes`)
  for (const [method, path] of routes)
    t.match(
      await get(`${path!.replace(':id', '1')}?nonsense=1`, {}, method),
      { status: 400, body: /parameter/ },
      `${method} ${path}`,
    )
  t.same(done, [])
})

test('the configuration in force and the last error are shown as they are given', async (t) => {
  const { row } = await setUp(t, {
    config: () => Promise.resolve({ admin: { address: 'x' } }),
    configError: () => ({ file: 'f', problems: [{ line: 1 }] }),
  })
  t.same(await row('/config'), { admin: { address: 'x' } })
  t.same(await row('/config/error'), { error: { file: 'f', problems: [{ line: 1 }] } })
  t.same(await (await setUp(t)).row('/config/error'), { error: null })
})

test('the help names every route', async (t) => {
  const { body } = await (await setUp(t)).get('/')
  for (const path of [
    '/info',
    '/connections',
    '/connections/:id',
    '/listeners',
    '/config',
    '/config/error',
    '/log',
  ])
    t.match(body, new RegExp(`GET +${path} `))
})

test('info tells version, process and counts', async (t) => {
  const { get, open } = await setUp(t)
  open('app', 10)
  open('app', 10).phase = 'relay'
  const info = JSON.parse((await get('/info')).body) as Row
  t.match(info, {
    version: '1.2.3',
    revision: 'abc',
    state: 'running',
    node: process.version,
    pid: process.pid,
    connections: 2,
    phases: { admit: 1, relay: 1 },
    protocols: { websocket: 2 },
  })
  t.ok(typeof info['uptimeMs'] === 'number' && info['uptimeMs'] < 60_000)
})

test('a connection shows what it is and what waits in it', async (t) => {
  const { get, open } = await setUp(t)
  const connection = open('app', 5000, { queuedForClient: 300 })
  connection.connectedAt = connection.openedAt + 4
  connection.upstreamAddress = '127.0.0.1:8080'
  connection.toClient.received = 1000
  connection.toClient.sent = 1000
  connection.end = makeClose('drain', 'sidegate', 'relay')
  const shown = JSON.parse((await get(`/connections/${connection.id}`)).body) as Row
  t.match(shown, {
    id: connection.id,
    listener: 'app',
    protocol: 'websocket',
    client: '10.0.0.1:0',
    upstream: '127.0.0.1:8080',
    phase: 'admit',
    connectMs: 4,
    idleMs: Number,
    bytesPerSec: null,
    toUpstream: { received: 0, sent: 0, messages: 0, pauses: 0 },
    toClient: { received: 1000, sent: 700, messages: 0, pauses: 0 },
    queued: { client: 300, upstream: 0 },
    close: { reason: 'drain', side: 'sidegate', phase: 'relay' },
  })
  t.ok(Number(shown['ageMs']) >= 5000)
  for (const id of ['999', 'x', '-1', '1e3', '%31'])
    t.equal((await get(`/connections/${id}`)).status, 404, id)
})

test('listeners come with their number of connections', async (t) => {
  const { rows, open } = await setUp(t)
  open('app', 1)
  t.match(await rows('/listeners'), [
    { name: 'app', address: ':17080', connections: 1 },
    { name: 'raw', upstream: '127.0.0.1:9090', connections: 0 },
  ])
})

test('an address that others could reach is not bound', async (t) => {
  const server = new AdminServer(adminOptions())
  for (const address of [
    { port: 0 },
    { port: 0, host: '0.0.0.0' },
    { port: 0, host: '::' },
    { port: 0, host: 'example.com' },
  ]) {
    await t.rejects(server.start(address), { name: 'InvariantError' })
  }
  for (const host of ['127.0.0.1', '::1', '::FFFF:127.0.0.1', 'localhost']) t.ok(isLoopback(host), host)
})

test('upstreams are shown as they tell of themselves', async (t) => {
  const view = { listener: 'app', targets: [{ address: '127.0.0.1:8080' }] }
  const { rows } = await setUp(t, { upstreams: async () => [view] })
  t.same(await rows('/upstreams'), [view])
})
