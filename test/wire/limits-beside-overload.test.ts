// Limits while memory runs short. A client that is refused with `overloaded` has used up nothing: no token, no place;
// one that waited for its turn is refused when that comes, since its work begins only then; and who is ended gives
// back its places, to those that wait for one.

import { test } from 'tap'
import type { Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import type { HttpClient } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { overload, queued, recover } from '../support/overload.ts'
import { connect, echo, flooder } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import type { Closed, Wire } from '../support/wire.ts'

const [ANN, BOB] = ['203.0.113.1', '203.0.113.2']
const RESET = { kind: 'reset', code: 'ECONNRESET' }

/** Within one process the RST may come before the socket has reported that it is connected. */
const outcome = (t: Test, port: number): Promise<Closed> =>
  connect(t, port).then(
    (wire) => within(wire.closed),
    (error: NodeJS.ErrnoException) => ({ kind: 'reset', code: error.code ?? null }),
  )

async function asks(wire: Wire): Promise<string> {
  void wire.write('?')
  return String(await wire.read(1))
}

const limited = async (gate: Gate, limit: string): Promise<number> =>
  readSamples(await gate.metrics()).get('sidegate_rate_limited_total', { limit }) ?? 0

test('newConnections: who waited for its turn when memory ran short is refused at it, and nothing is dialled', async (t) => {
  watchLeaks(t)
  const [memory, clock] = [testMemory(), stillClock()]
  const upstream = await echo(t)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { newConnections: { rate: 1, burst: 1 } }`,
    ],
    { memory, clock },
  )
  const inside = await connect(t, gate.port)
  t.equal(await asks(inside), '?')
  const waiting = await connect(t, gate.port)
  await eventually(async () => (await limited(gate, 'newConnections')) === 1)
  await overload(gate, memory)
  t.equal(waiting.outcome, null)
  clock.pass(1000)
  t.same(await within(waiting.closed), RESET)
  t.match(await gate.end(), { reason: 'overloaded', side: 'sidegate', phase: 'admit' })
  t.equal(upstream.connections.length, 1)
  t.equal(await asks(inside), '?', 'a connection that was served is served')
})

test('newConnections: a client that was refused for want of memory used up no token', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await recordingUpstream(t)
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { newConnections: { rate: 1, burst: 2, onExceed: close } }`,
    ],
    { memory, clock: stillClock() },
  )
  t.equal((await (await httpClient(t, gate.port)).get(get())).status, 200)
  await overload(gate, memory)
  for (let nth = 0; nth < 5; nth++) {
    const client = await httpClient(t, gate.port)
    const { status, body } = await client.get(get())
    t.match([status, String(body)], [503, /^overloaded/])
  }
  await recover(gate, memory)
  t.equal((await (await httpClient(t, gate.port)).get(get())).status, 200, 'the second token')
  t.equal((await (await httpClient(t, gate.port)).get(get())).status, 429)
})

test('connectionsPerClient: those that are refused take no place, and one that is ended gives its place back', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await flooder(t)
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connectionsPerClient: 1 }`],
    { memory },
  )
  const stalled = await connect(t, gate.port, { unread: true })
  await eventually(() => queued(gate) > 0)
  t.same(await outcome(t, gate.port), RESET, 'too many')
  await overload(gate, memory)
  t.match(await gate.end(), { reason: 'overloaded' })
  stalled.resumeReading()
  await within(stalled.closed)
  for (let nth = 0; nth < 3; nth++) t.same(await outcome(t, gate.port), RESET)
  await recover(gate, memory)
  const after = await connect(t, gate.port, { into: { write: () => {} } })
  await eventually(() => after.bytes > 0)
  t.same(await outcome(t, gate.port), RESET)
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', { reason: 'too_many' }),
    2,
  )
})

for (const [kind, head] of [
  ['a request', (name: string) => get('/', `X-Forwarded-For: ${name}\r\n`)],
  ['an upgrade', (name: string) => upgradeRequest({ headers: { 'X-Forwarded-For': name } })],
] as const)
  test(`trustForwarded: ${kind} that is refused for want of memory uses up no limit of the client that it names, and is told as its own`, async (t) => {
    watchLeaks(t)
    const memory = testMemory()
    const upstream = await recordingUpstream(t)
    const gate = await startGate(
      t,
      [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { trustForwarded: [private] }, access: { deny: [${BOB}] }, limits: { connectionsPerClient: 1, newConnections: { rate: 1, burst: 1, per: client, onExceed: close } }`,
      ],
      { memory, clock: stillClock() },
    )
    const inside = await httpClient(t, gate.port)
    t.equal((await inside.get(get('/', 'X-Forwarded-For: 203.0.113.9\r\n'))).status, 200)
    const others = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
    await eventually(() => gate.registry.size === 3)
    await overload(gate, memory)
    for (const client of [inside, ...others]) {
      const { status, body } = await client.get(head(ANN))
      t.match([status, String(body)], [503, /^overloaded/], 'and not 429')
      await client.wire.ended
      client.wire.end()
    }
    await gate.end(2)
    t.same(
      [...new Set(gate.lines.map(({ client, close }) => `${String(client)} ${String(close)}`))],
      [`${ANN} overloaded`],
    )
    await recover(gate, memory)
    const after = await httpClient(t, gate.port)
    t.equal((await after.get(get('/', `X-Forwarded-For: ${ANN}\r\n`))).status, 200, 'its first token')
    t.equal((await (await httpClient(t, gate.port)).get(get('/', `X-Forwarded-For: ${ANN}\r\n`))).status, 429)
  })

test('maxConnections: a place of one that is ended for want of memory goes to who waits for it, and who waits has begun', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const large = `HTTP/1.1 200 OK\r\nContent-Length: ${32 << 20}\r\n\r\n${'x'.repeat(32 << 20)}`
  const upstream = await recordingUpstream(t, ({ target }) => (target === '/large' ? large : OK))
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: { maxConnections: 1, queueTimeout: 1h, addresses: ["127.0.0.1:${upstream.port}"] }`,
    ],
    { memory },
  )
  const stalled = await connect(t, gate.port, { unread: true })
  await stalled.write(get('/large'))
  await eventually(() => queued(gate) > 0)
  const waiting: HttpClient[] = []
  for (let nth = 0; nth < 3; nth++) {
    waiting.push(await httpClient(t, gate.port))
    await waiting[nth]!.send(get(`/${nth}`))
    await eventually(async () => (await gate.metrics()).includes(`upstream_queued{listener="l0"} ${nth + 1}`))
  }
  memory.use(0.96)
  t.match(await gate.end(), { reason: 'overloaded', line: { id: 1 } })
  for (const [nth, client] of waiting.entries()) t.equal((await client.answer()).status, 200, `${nth}`)
  t.same(
    upstream.requests.map(({ target }) => target),
    ['/large', '/0', '/1', '/2'],
  )
  t.match(await waiting[0]!.get(get('/late')), { status: 503 })
  stalled.destroy()
})
