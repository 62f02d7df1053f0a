import { request, type IncomingHttpHeaders } from 'node:http'
import { test, type Test } from 'tap'
import { makeClose } from '../../src/close.ts'
import { systemClock } from '../../src/clock.ts'
import { Connection, Registry } from '../../src/connection.ts'
import { AdminServer } from '../../src/admin/admin-server.ts'
import { isLoopback } from '../../src/admin/loopback-guard.ts'

interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

type Row = Record<string, unknown>

async function setUp(t: Test) {
  const registry = new Registry()
  const server = new AdminServer({
    clock: systemClock,
    registry,
    version: '1.2.3',
    revision: 'abc',
    listeners: () => [
      { name: 'app', address: ':17080', protocol: 'http', upstream: '127.0.0.1:8080' },
      { name: 'raw', address: ':17081', protocol: 'tcp', upstream: '127.0.0.1:9090' },
    ],
    upstreams: () => [{ listener: 'app', targets: [{ address: '127.0.0.1:8080' }] }],
  })
  const port = await server.start({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.stop())
  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') => ask(port, path, headers, method)
  const rows = async (path: string) => JSON.parse((await get(path)).body) as Row[]

  function open(listener: string, ageMs: number, queuedForClient = 0): Connection {
    const connection = new Connection(registry.nextId(), listener, 'websocket', `10.0.0.1:${registry.size}`, systemClock.now() - ageMs)
    connection.owner = { close() {}, queued: (side) => (side === 'client' ? queuedForClient : 0), takenAt: () => 0, isPaused: () => false }
    registry.add(connection)
    return connection
  }
  return { port, get, rows, open, registry }
}

function ask(port: number, path: string, headers: Record<string, string>, method: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
      let body = ''
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    asked.on('error', reject)
    asked.end()
  })
}

test('a foreign Host is refused: DNS rebinding', async (t) => {
  const { get } = await setUp(t)
  const refused = ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:17020', '10.0.0.1', '[::2]', '[::1].evil', 'localhost:1:2', '0.0.0.0', '127.1']
  for (const host of refused) t.equal((await get('/info', { host })).status, 403, host)
  const allowed = ['localhost', 'LocalHost:17020', '127.0.0.1:17020', '127.0.0.53', '[::1]', '[::1]:80', '[::ffff:127.0.0.1]']
  for (const host of allowed) t.equal((await get('/info', { host })).status, 200, host)
})

test('any Origin is refused, and what a browser sends for another site', async (t) => {
  const { get } = await setUp(t)
  for (const origin of ['http://evil.example', 'http://localhost:17020', 'null', '']) t.equal((await get('/info', { origin })).status, 403, origin)
  for (const site of ['cross-site', 'same-site']) t.equal((await get('/info', { 'sec-fetch-site': site })).status, 403, site)
  t.equal((await get('/info', { 'sec-fetch-site': 'none' })).status, 200)
})

test('only GET and HEAD are allowed', async (t) => {
  const { get } = await setUp(t)
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) t.match(await get('/connections/1', {}, method), { status: 405, headers: { allow: 'GET, HEAD' } })
  t.match(await get('/info', {}, 'HEAD'), { status: 200, body: '' })
  t.equal((await get('/nothing')).status, 404)
})

test('the help names every route', async (t) => {
  const { body } = await (await setUp(t)).get('/')
  for (const path of ['/info', '/connections', '/connections/:id', '/listeners', '/upstreams']) t.match(body, new RegExp(`GET +${path} `))
})

test('info tells version, process and counts', async (t) => {
  const { get, open } = await setUp(t)
  open('app', 10)
  open('app', 10).phase = 'relay'
  const info = JSON.parse((await get('/info')).body) as Row
  t.match(info, { version: '1.2.3', revision: 'abc', node: process.version, pid: process.pid, connections: 2, phases: { admit: 1, relay: 1 }, protocols: { websocket: 2 } })
  t.ok(typeof info['uptimeMs'] === 'number' && info['uptimeMs'] < 60_000)
})

test('a connection shows what it is and what waits in it', async (t) => {
  const { get, open } = await setUp(t)
  const connection = open('app', 5000, 300)
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
    toUpstream: { received: 0, sent: 0, messages: 0, pauses: 0 },
    toClient: { received: 1000, sent: 700, messages: 0, pauses: 0 },
    queued: { client: 300, upstream: 0 },
    close: { reason: 'drain', side: 'sidegate', phase: 'relay' },
  })
  t.ok(Number(shown['ageMs']) >= 5000)
  for (const id of ['999', 'x', '-1', '1e3', '%31']) t.equal((await get(`/connections/${id}`)).status, 404, id)
})

test('connections are filtered, sorted and limited', async (t) => {
  const { rows, open } = await setUp(t)
  const young = open('app', 10, 500)
  const old = open('app', 1000, 1)
  const other = open('raw', 500, 900)
  t.same((await rows('/connections')).map(({ id }) => id), [old.id, other.id, young.id])
  t.same((await rows('/connections?sort=buffered')).map(({ id }) => id), [other.id, young.id, old.id])
  t.same((await rows('/connections?sort=buffered&limit=1&listener=app')).map(({ id }) => id), [young.id])
  t.same(await rows('/connections?listener=none'), [])
  for (let index = 0; index < 150; index++) open('app', 1)
  t.equal((await rows('/connections')).length, 100)
})

test('a question that is not understood is refused, not answered otherwise', async (t) => {
  const { get } = await setUp(t)
  for (const query of ['limit=0', 'limit=-1', 'limit=x', 'limit=99999', 'sort=idle', 'sorted=age']) t.equal((await get(`/connections?${query}`)).status, 400, query)
})

test('listeners come with their number of connections', async (t) => {
  const { rows, open } = await setUp(t)
  open('app', 1)
  t.match(await rows('/listeners'), [{ name: 'app', address: ':17080', connections: 1 }, { name: 'raw', upstream: '127.0.0.1:9090', connections: 0 }])
})

test('5,000 connections are listed in less than 200 ms', async (t) => {
  const { get, rows, open } = await setUp(t)
  for (let index = 0; index < 5000; index++) open('app', index, index)
  await get('/connections?limit=5000')
  for (const path of ['/connections', '/connections?sort=buffered', '/connections?limit=5000&sort=buffered', '/info']) {
    const before = performance.now()
    await get(path)
    const tookMs = performance.now() - before
    t.comment(`${path} ${tookMs.toFixed(1)} ms`)
    t.ok(tookMs < 200, path)
  }
  t.equal((await rows('/connections?limit=5000')).length, 5000)
})

test('an address that others could reach is not bound', async (t) => {
  const server = new AdminServer({ clock: systemClock, registry: new Registry(), version: '', revision: '', listeners: () => [] })
  for (const address of [{ port: 0 }, { port: 0, host: '0.0.0.0' }, { port: 0, host: '::' }, { port: 0, host: 'example.com' }]) {
    await t.rejects(server.start(address), { name: 'InvariantError' })
  }
  for (const host of ['127.0.0.1', '::1', '::FFFF:127.0.0.1', 'localhost']) t.ok(isLoopback(host), host)
})

test('upstreams are shown as they tell of themselves', async (t) => {
  const { rows } = await setUp(t)
  t.same(await rows('/upstreams'), [{ listener: 'app', targets: [{ address: '127.0.0.1:8080' }] }])
})
