// Deadlines while memory runs short. Those of idleness shrink (`memory.shedAt`), and no others: who waits for a slow
// answer, a slow upload, or the end of the other half waits as long as before. What began before `memory.refuseAt` is
// finished after it. An age counts as ever, and a connection that has come to it and cannot go is a victim like others.

import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import type { RecordingUpstream } from '../support/http-peers.ts'
import { quietFor } from '../support/innocents.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { overload, queued } from '../support/overload.ts'
import { connect, echo, flooder, halfCloser, listen } from '../support/peers.ts'
import { wsClient, wsServer } from '../support/websocket.ts'
import type { Wire } from '../support/wire.ts'

/** A tenth of the idle deadlines is left. */
const SHORT = 0.949
/** Longer than a tenth of them, and shorter than any. */
const PAUSE_MS = 2500
const IDLE = 'idle: 6s'

const tcp = (port: number, deadlines: string): string =>
  `protocol: tcp, upstream: "127.0.0.1:${port}", deadlines: { ${deadlines} }`
const http = (port: number, deadlines: string): string =>
  `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${port}", deadlines: { ${deadlines} }`

/** The memory is short, and the gate knows it: a connection that is idle has gone. */
async function shrinks(t: Test, gate: Gate, port: number, idle: number): Promise<void> {
  const client = await connect(t, port)
  await eventually(() => gate.registry.size === idle + 1)
  t.equal(await within(client.ended, { withinMs: 20_000, what: 'the end of an idle client' }), true)
  client.end()
}

test('halfClose: a client that has said all waits for its answer as long as ever, and is not idle on its side', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const isShort = Promise.withResolvers<void>()
  const answers = await listen(t, async (wire) => {
    await wire.ended
    await Promise.all([quietFor(PAUSE_MS), isShort.promise])
    wire.end('the answer')
  })
  const idle = await echo(t)
  const gate = await startGate(
    t,
    [tcp(answers.port, 'idle: off, clientIdle: 4s, halfClose: 6s'), tcp(idle.port, 'idle: 6s')],
    { memory },
  )
  memory.use(SHORT)
  const client = await connect(t, gate.port)
  client.end('the question')
  await shrinks(t, gate, gate.ports[1]!, 1)
  isShort.resolve()
  t.equal(String(await within(client.received)), 'the answer')
  t.match(await gate.end(1), { reason: 'eof', line: { listener: 'l0' } })
})

test('halfClose: past memory.refuseAt one that takes nothing of its answer is ended, and one whose answer is to come gets it', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const [flood, late] = [await flooder(t), await halfCloser(t, () => 'the answer')]
  const answer = Promise.withResolvers<void>()
  const slow = await listen(t, async (wire) => {
    await wire.ended
    await answer.promise
    wire.end('the answer')
  })
  const gate = await startGate(
    t,
    [flood, slow, late].map(({ port }) => tcp(port, 'halfClose: 1h')),
    { memory },
  )
  const stalled = await connect(t, gate.ports[0]!, { unread: true, halfOpen: true })
  stalled.end('the question')
  await eventually(() => queued(gate) > 0)
  const waits = await connect(t, gate.ports[1]!)
  waits.end('the question')
  const open = await connect(t, gate.ports[2]!)
  await open.write('the ')
  await eventually(() => gate.registry.size === 3)
  await overload(gate, memory)
  t.match(await gate.end(), { reason: 'overloaded', line: { listener: 'l0' } })
  stalled.resumeReading()
  t.match(await within(stalled.closed), { kind: 'reset' })
  open.end('question')
  t.equal(String(await within(open.received)), 'the answer', 'a half may still end')
  answer.resolve()
  t.equal(String(await within(waits.received)), 'the answer')
  t.same(gate.lines.map(({ close }) => String(close)).toSorted(), ['eof', 'eof', 'overloaded'])
})

/** Answers `/slow` after a pause, and a body once it is whole. */
const slowService = (t: Test): Promise<RecordingUpstream> =>
  recordingUpstream(t, async ({ target }) => {
    if (target === '/slow') await quietFor(PAUSE_MS)
    return OK
  })

test('request and response: a slow answer and an upload that pauses have all their time, over HTTP/1.1 and HTTP/2', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await slowService(t)
  const idle = await echo(t)
  const gate = await startGate(
    t,
    [http(upstream.port, `response: 8s, request: 8s, ${IDLE}`), tcp(idle.port, 'idle: 6s')],
    { memory },
  )
  memory.use(SHORT)
  await shrinks(t, gate, gate.ports[1]!, 0)
  const session = await h2Connect(t, gate.port)
  const streams = [h2Ask(session, { ':path': '/slow' })]
  const [one, other] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  await one.send(get('/slow'))
  await other.send(`${get('/', 'Content-Length: 10\r\n', 'POST')}hello`)
  await quietFor(PAUSE_MS)
  await other.send('more!')
  t.match(
    [(await one.answer()).status, (await other.answer()).status, (await streams[0])?.status],
    [200, 200, 200],
  )
})

test('request and response: their ends come at their time', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await recordingUpstream(t, () => undefined)
  const gate = await startGate(t, [http(upstream.port, 'response: 1s, request: 1s')], { memory })
  const [one, other] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  await one.send(get())
  await other.send(`${get('/', 'Content-Length: 10\r\n', 'POST')}hello`)
  await eventually(() => upstream.connections.length === 2)
  await overload(gate, memory)
  t.same([(await one.answer()).status, (await other.answer()).status], [504, 408])
  for (const { wire } of [one, other]) wire.end()
})

test('request and response: what has begun before memory.refuseAt is finished, the rest of an upload too; what comes behind it is refused', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [http(upstream.port, 'request: 30s')], { memory })
  const client = await httpClient(t, gate.port)
  await client.send(`${get('/', 'Content-Length: 10\r\n', 'POST')}hello`)
  await upstream.connection()
  await overload(gate, memory)
  await client.send(`more!${get('/next')}`)
  t.equal((await client.answer()).status, 200)
  t.equal(String(upstream.requests[0]!.body), 'hellomore!')
  const { status, header } = await client.answer()
  t.same([status, header('connection')], [503, 'close'])
  await client.wire.ended
  client.wire.end()
  t.equal(upstream.requests.length, 1)
})

test('lifetime: it is neither shorter nor longer while memory is short, and ends each kind as ever', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const [bytes, sockets] = [await echo(t), await wsServer(t)]
  const lasting = 'idle: off, lifetime: 3s, lifetimeJitter: off'
  const gate = await startGate(
    t,
    [
      tcp(bytes.port, lasting),
      `protocol: http, upstream: "127.0.0.1:${sockets.port}", deadlines: { ${lasting} }`,
    ],
    { memory },
  )
  const plain = await connect(t, gate.ports[0]!)
  const socket = await wsClient(t, `ws://127.0.0.1:${gate.ports[1]!}`)
  await overload(gate, memory)
  const openedAt = Math.max(...[...gate.registry].map(({ openedAt: at }) => at))
  t.same(await within(socket.closed), { code: 1001, reason: 'lifetime_timeout' })
  t.equal(await within(plain.ended), true, 'FIN')
  t.ok(performance.now() - openedAt > 2900)
  plain.end()
  await gate.end(1)
  t.same(
    gate.lines.map(({ close }) => close),
    ['lifetime_timeout', 'lifetime_timeout'],
  )
})

/** Ends, and does not go: bytes wait for a client that takes none. */
async function cannotGo(t: Test, gate: Gate): Promise<Wire> {
  const client = await connect(t, gate.port, { unread: true })
  await eventually(() => [...gate.registry][0]?.phase === 'close')
  t.ok(queued(gate) > 0)
  return client
}

test('lifetime: a connection that has come to it and takes none of its last bytes is ended for its memory', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await flooder(t)
  const gate = await startGate(
    t,
    [tcp(upstream.port, 'lifetime: 1s, lifetimeJitter: off, close: 1h, write: 1h')],
    { memory },
  )
  const client = await cannotGo(t, gate)
  memory.use(0.96)
  t.match(await gate.end(), {
    reason: 'lifetime_timeout',
    detail: /bytes for the client dropped.*memory.refuseAt/,
  })
  client.resumeReading()
  t.match(await within(client.closed), { kind: 'reset' })
})
