import { test } from 'tap'
import type { Test } from 'tap'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { chunked, get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { HttpClient, RecordingUpstream, Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, sink } from '../support/peers.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
function heapBytes(): number {
  collect()
  return process.memoryUsage().heapUsed
}

async function path(
  t: Test,
  options: string,
  respond?: Respond,
): Promise<{ gate: Gate; client: HttpClient; upstream: RecordingUpstream }> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"${options}`])
  return { gate, upstream, client: await httpClient(t, gate.port) }
}

for (const place of ['first', 'later'] as const) {
  test(`a ${place} head over http.maxHeader is a 431, whole or not, one below it passes`, async (t) => {
    const { gate, upstream } = await path(t, ', http: { maxHeader: 2KiB }')
    const padded = (length: number): string =>
      get('/', `X: ${'x'.repeat(length - get('/', 'X: \r\n').length)}\r\n`)
    const heads: Array<[string, number]> = [
      [padded(1900), 200],
      [padded(2200), 431],
      [padded(2200).slice(0, 2150), 431],
      [padded(60_000), 431],
    ]
    for (const [index, [head, status]] of heads.entries()) {
      const client = await httpClient(t, gate.port)
      if (place === 'later') await client.get(get())
      t.equal((await client.get(head)).status, status, `${head.length}`)
      client.wire.end()
      if (status === 431)
        t.match(await gate.end(index), { reason: 'message_too_big', side: 'client', phase: 'handshake' })
      else await gate.end(index)
    }
    t.equal(upstream.requests.filter(({ length }) => length > 2300).length, 0)
  })
}

test('a body over http.maxBody is message_too_big, a 413: where it is declared before a byte of it, in chunks when it comes', async (t) => {
  const { gate, upstream } = await path(t, ', http: { maxBody: 1KiB }')
  const declared = await httpClient(t, gate.port)
  t.equal(
    (await declared.get(get('/', 'Expect: 100-continue\r\nContent-Length: 1025\r\n', 'POST'))).interim.length,
    0,
  )
  t.match(await gate.end(), { reason: 'message_too_big', side: 'client' })
  const inChunks = await httpClient(t, gate.port)
  t.equal(
    (
      await inChunks.get(
        get('/', 'Transfer-Encoding: chunked\r\n', 'POST') + chunked('x'.repeat(1000), 'x'.repeat(25)),
      )
    ).status,
    413,
  )
  t.match(await gate.end(1), { reason: 'message_too_big', side: 'client' })
  const fine = await httpClient(t, gate.port)
  t.equal((await fine.get(get('/', 'Content-Length: 1024\r\n', 'POST') + 'x'.repeat(1024))).status, 200)
  t.equal(
    (
      await fine.get(
        get('/', 'Transfer-Encoding: chunked\r\n', 'POST') + chunked('x'.repeat(1000), 'x'.repeat(24)),
      )
    ).status,
    200,
  )
  t.same(
    upstream.requests.map(({ body }) => body.length),
    [1024, 1024],
  )
})

test('a client that sends much more than is taken still reads its 413', async (t) => {
  const { client, gate } = await path(t, ', http: { maxBody: 1KiB }')
  void client.send(get('/', 'Content-Length: 4000000\r\n', 'POST'))
  void client.wire.flood({ total: 4_000_000, keepOpen: true })
  t.equal((await client.answer()).status, 413)
  await client.wire.ended
  client.wire.end()
  t.match(await gate.end(), { reason: 'message_too_big' })
})

test('the last of 1000 requests on a connection says so, and those behind it are not served', async (t) => {
  const { client, gate, upstream } = await path(t, '')
  for (let i = 1; i <= 999; i++) {
    const answer = await client.get(get())
    if (answer.status !== 200 || answer.header('connection') !== 'keep-alive') t.fail(`request ${i}`)
  }
  const last = await client.get(get() + get('/behind'))
  t.same([last.status, last.header('connection')], [200, 'close'])
  await client.wire.ended
  t.equal(client.wire.unread, 0)
  client.wire.end()
  t.match(await gate.end(), { reason: 'eof', side: 'sidegate', detail: '1000 requests' })
  t.same(
    upstream.requests.filter(({ target }) => target === '/behind'),
    [],
  )
})

test('pipelined requests wait for their turn, however many: one reaches the service at a time, the answers come in order', async (t) => {
  const waiting: Array<() => void> = []
  const { client, gate, upstream } = await path(
    t,
    '',
    () => new Promise<string>((resolve) => waiting.push(() => resolve(OK))),
  )
  const count = 100
  await client.send(
    Array.from({ length: count }, (_, i) =>
      i % 3 === 0
        ? get(`/${i}`, 'Transfer-Encoding: chunked\r\n', 'POST') + chunked('ab', '\r\n\r\n')
        : get(`/${i}`),
    ).join(''),
  )
  for (let i = 0; i < count; i++) {
    await upstream.request(i)
    if (upstream.requests.length > i + 1) t.fail(`request ${i + 1} before the answer to ${i}`)
    waiting.shift()!()
    if ((await client.answer()).status !== 200) t.fail(`answer ${i}`)
  }
  t.same(
    upstream.requests.map(({ target }) => target),
    Array.from({ length: count }, (_, i) => `/${i}`),
  )
  client.wire.end()
  t.match(await gate.end(), { reason: 'eof', side: 'client' })
})

test('a flood of pipelined requests is not read beyond its bound, and costs no more than what was read', async (t) => {
  const { gate, upstream } = await path(t, ', deadlines: { write: 100ms }', () => undefined)
  const clients = await Promise.all(Array.from({ length: 4 }, () => httpClient(t, gate.port)))
  const flood = Buffer.from(get('/').repeat(300_000))
  const before = heapBytes()
  for (const client of clients) {
    void client.send(flood)
    await client.wire.stalled(400)
  }
  const grown = (heapBytes() - before) / clients.length
  t.ok(grown < 3_000_000, `${grown} bytes of heap for each`)
  t.equal(upstream.requests.length, clients.length)
  for (const { toUpstream } of gate.registry)
    t.ok(toUpstream.received < 300_000, `${toUpstream.received} bytes read`)
  for (const client of clients) client.wire.reset()
  for (const wire of upstream.connections) wire.reset()
  await gate.end(clients.length - 1)
})

test('a client that is still sending reads the answer that ends its connection', async (t) => {
  const { gate } = await path(t, '')
  const client = await httpClient(t, gate.port, { halfOpen: true })
  await client.send(get('/', 'Connection: close\r\n'))
  const flood = client.wire.flood({ total: 6_000_000, keepOpen: true })
  t.equal((await client.answer()).body.toString(), 'ok')
  await client.wire.ended
  await flood
  client.wire.end()
  t.equal((await client.wire.closed).kind, 'fin')
  t.match(await gate.end(), { reason: 'eof', side: 'client' })
})

test('requests before one that cannot be read are answered, then that one', async (t) => {
  const { client, upstream } = await path(t, '')
  await client.send(`${get('/1')}${get('/2')}GET / HTTP/1.1\r\nX : y\r\n\r\n${get('/hidden')}`)
  t.same(
    [(await client.answer()).status, (await client.answer()).status, (await client.answer()).status],
    [200, 200, 400],
  )
  await client.wire.ended
  t.equal(client.wire.unread, 0)
  t.same(
    upstream.requests.map(({ target }) => target),
    ['/1', '/2'],
  )
})

test('what is pipelined counts as queued for the upstream until its turn comes', async (t) => {
  const waiting: Array<() => void> = []
  const { client, gate, upstream } = await path(
    t,
    '',
    () => new Promise<string>((resolve) => waiting.push(() => resolve(OK))),
  )
  const behind = get('/behind', `X: ${'x'.repeat(5000)}\r\n`)
  await client.send(get('/') + behind)
  await upstream.request()
  await eventually(() => gate.open().owner!.queued('upstream') === behind.length, { what: 'what waits' })
  waiting.shift()!()
  t.equal((await client.answer()).status, 200)
  await upstream.request(1)
  await eventually(() => gate.open().owner!.queued('upstream') === 0, { what: 'nothing to wait' })
  waiting.shift()!()
  t.equal((await client.answer()).status, 200)
})

test('a request that waits keeps no more memory than its bytes, however large the read was that brought it', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const CLIENTS = 100
  const BODY = 50_000
  const upstream = await sink(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const text = Buffer.from(
    `${get('/', `Content-Length: ${BODY}\r\n`, 'POST')}${'x'.repeat(BODY)}${get('/behind')}`,
  )
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(t, gate.port)))
  collect()
  const before = process.memoryUsage().arrayBuffers
  for (const client of clients) void client.write(text)
  await eventually(
    () => upstream.connections.length === CLIENTS && upstream.connections.every(({ bytes }) => bytes > BODY),
    { what: 'all bodies', withinMs: 20_000 },
  )
  let held = Number.POSITIVE_INFINITY
  await eventually(
    () => {
      collect()
      held = (process.memoryUsage().arrayBuffers - before) / CLIENTS
      return held < BODY / 4
    },
    { what: 'the reads to be given back' },
  )
  t.ok(held < BODY / 4, `${held} bytes each`)
  for (const client of clients) client.reset()
  await gate.end(CLIENTS - 1)
})
