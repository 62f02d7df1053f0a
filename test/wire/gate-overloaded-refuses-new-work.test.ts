import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate, type Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { parseAnswer, requestRaw, type Answer } from '../support/http.ts'
import { get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { overload, recover } from '../support/overload.ts'
import { connect, echo, trickler } from '../support/peers.ts'
import { rawClient, wsServer } from '../support/websocket.ts'
import type { Closed } from '../support/wire.ts'

async function ask(t: Test, port: number, path: string): Promise<Answer> {
  const { bytes } = await requestRaw(t, port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
  return parseAnswer(bytes)
}

async function readyz({ healthPort }: Gate): Promise<{ isReady: boolean; text: string }> {
  const response = await fetch(`http://127.0.0.1:${healthPort}/readyz?verbose`, {
    headers: { connection: 'close' },
  })
  return { isReady: response.status === 200, text: await response.text() }
}

/** Within one process the RST may come before the socket has reported that it is connected. */
const outcome = (t: Test, port: number): Promise<Closed> =>
  connect(t, port).then(
    (wire) => within(wire.closed),
    (error: NodeJS.ErrnoException) => ({ kind: 'reset', code: error.code ?? null }),
  )

test('an overloaded gate resets new tcp clients, serves those it has, and recovers by itself', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], { memory })
  const inside = await connect(t, gate.port)
  await inside.write('1')
  await inside.read(1)
  await overload(gate, memory)
  t.same(await outcome(t, gate.port), { kind: 'reset', code: 'ECONNRESET' })
  await inside.write('still')
  t.equal((await inside.read(5)).toString(), 'still')
  t.equal(upstream.connections.length, 1)
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', {
      listener: 'l0',
      reason: 'overloaded',
    }),
    1,
  )
  await recover(gate, memory)
  const after = await connect(t, gate.port)
  await after.write('2')
  t.equal((await after.read(1)).toString(), '2')
  t.equal(gate.lines.length, 0)
})

test('an overloaded gate answers HTTP clients with a whole 503 and Retry-After, on new connections and on kept ones', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const memory = testMemory()
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], { memory })
  const kept = await httpClient(t, gate.port)
  t.equal((await kept.get(get('/before'))).status, 200)
  const silent = await httpClient(t, gate.port)
  await eventually(() => gate.registry.size === 2)
  await overload(gate, memory)
  const refused = [
    await ask(t, gate.port, '/new'),
    await kept.get(get('/kept')),
    await silent.get(get('/first')),
  ]
  for (const { status, header, body, isWhole } of refused) {
    t.same([status, header('connection'), isWhole], [503, 'close', true])
    t.match(header('retry-after'), /^[1-5]$/)
    t.match(body.toString(), /^overloaded/)
  }
  t.equal(await within(kept.wire.ended), true, 'FIN follows')
  t.match(await gate.end(), { reason: 'overloaded', side: 'sidegate' })
  await recover(gate, memory)
  t.equal((await (await httpClient(t, gate.port)).get(get('/after'))).status, 200)
  t.same(
    upstream.requests.map(({ target }) => target),
    ['/before', '/after'],
    'nothing reached the upstream meanwhile',
  )
  const samples = readSamples(await gate.metrics())
  t.equal(samples.get('sidegate_http_requests_total', { code: '503' }), 2)
  t.equal(samples.get('sidegate_connections_rejected_total', { listener: 'l0', reason: 'overloaded' }), 1)
})

test('an overloaded gate takes no WebSocket, neither first nor later on a connection, and keeps those that it has', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const memory = testMemory()
  const upstream = await wsServer(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], { memory })
  const inside = await rawClient(t, gate.port)
  const early = await httpClient(t, gate.port)
  const kept = await httpClient(t, gate.port)
  t.equal((await kept.get(get('/plain'))).status, 426)
  await eventually(() => gate.registry.size === 3)
  await overload(gate, memory)
  for (const client of [early, kept, await httpClient(t, gate.port)]) {
    const { status, body, header } = await client.get(upgradeRequest())
    t.equal(status, 503)
    t.match(header('retry-after'), /^[1-5]$/)
    t.match(body.toString(), /^overloaded/)
  }
  await inside.sendFrame({ opcode: 1, payload: Buffer.from('still') })
  t.equal((await inside.nextFrame()).payload.toString(), 'still')
  await recover(gate, memory)
  await rawClient(t, gate.port)
})

test('an answer that is under way is finished while new requests are refused', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const asked = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  const upstream = await recordingUpstream(t, async ({ wire }) => {
    await wire.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst')
    asked.resolve()
    await release.promise
    return 'last!'
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], { memory })
  const client = await httpClient(t, gate.port)
  const answer = client.get(get('/long'))
  await asked.promise
  await overload(gate, memory)
  release.resolve()
  t.equal((await answer).body.toString(), 'firstlast!')
})

test('readiness fails while it refuses, liveness never, and the metrics tell how much there is and is used', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], { memory })
  t.match((await readyz(gate)).text, /^\[\+\]memory ok$/m)
  memory.use(0.94)
  await eventually(async () => readSamples(await gate.metrics()).get('sidegate_overload_pressure') === 0.94)
  t.equal((await readyz(gate)).isReady, true, 'shedding is no reason to be taken out of service')
  await overload(gate, memory)
  t.match((await readyz(gate)).text, /^\[-\]memory failed: overloaded$/m)
  for (const path of ['/livez', '/startupz', '/metrics'])
    t.equal((await ask(t, gate.healthPort, path)).status, 200, path)
  const samples = readSamples(await gate.metrics())
  const limit = 100 * 1024 * 1024
  t.equal(samples.get('sidegate_memory_limit_bytes'), limit)
  t.equal(samples.get('sidegate_memory_usage_bytes'), 0.96 * limit)
  t.equal(samples.get('sidegate_memory_buffered_limit_bytes'), 0.25 * limit)
  t.equal(samples.get('sidegate_overload_pressure'), 0.96)
  await recover(gate, memory)
})

test('while memory runs short a silent connection ends by idle_timeout and a kept one by http.keepAlive sooner, and one with data stays', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const [talking, answering] = [await trickler(t, 10, 50), await recordingUpstream(t)]
  const silentUpstream = await echo(t)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${silentUpstream.port}", deadlines: { idle: 10s }`,
      `protocol: tcp, upstream: "127.0.0.1:${talking.port}", deadlines: { idle: 10s }`,
      `protocol: http, upstream: "127.0.0.1:${answering.port}", http: { keepAlive: 10s }`,
    ],
    { memory },
  )
  const live = await connect(t, gate.ports[1]!)
  const silent = await connect(t, gate.ports[0]!)
  const kept = await httpClient(t, gate.ports[2]!)
  t.equal((await kept.get(get('/'))).status, 200)
  const start = performance.now()
  memory.use(0.96)
  await within(Promise.all([silent.closed, kept.wire.ended]), { withinMs: 8000, what: 'both to end' })
  const tookMs = performance.now() - start
  t.ok(tookMs > 700, `${tookMs} ms`)
  await gate.end(1)
  t.same(Object.fromEntries(gate.lines.map((line) => [line['listener'], line['close']])), {
    l0: 'idle_timeout',
    l2: 'eof',
  })
  const before = live.bytes
  await eventually(() => live.bytes > before)
})

for (const { title, deadlines, request, answer } of [
  {
    title: 'an answer that stops',
    deadlines: 'idle: 10s',
    request: get(),
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello',
  },
  {
    title: 'an answer that does not come',
    deadlines: 'upstreamIdle: 10s',
    request: get(),
    answer: undefined,
  },
  {
    title: 'a body that stops',
    deadlines: 'clientIdle: 10s',
    request: `${get('/', 'Content-Length: 10\r\n', 'POST')}hello`,
    answer: undefined,
  },
]) {
  test(`while memory runs short ${title} ends by idle_timeout sooner`, async (t) => {
    watchLeaks(t)
    const memory = testMemory()
    const upstream = await recordingUpstream(t, () => answer)
    const gate = await startGate(
      t,
      [`protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { ${deadlines} }`],
      { memory },
    )
    const client = await httpClient(t, gate.port)
    await client.send(request)
    await upstream.connection()
    memory.use(0.949)
    t.match(await within(gate.end(), { withinMs: 8000 }), { reason: 'idle_timeout' })
    client.wire.destroy()
  })
}
