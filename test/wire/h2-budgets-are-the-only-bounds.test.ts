// A client may do everything that a budget allows it beside its work: node:http2 counts some of it for the
// whole life of a connection, and must not end it.

import { test, type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { budgets } from '../../src/http2/frame-budgets.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2, type RawOptions } from '../support/h2-raw.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { wsServer } from '../support/websocket.ts'

const ROUNDS = 7
/** A message of gRPC, as small as most are. */
const MESSAGE = 15
const MESSAGES = 4000
const EACH = 180
/** The time in which any budget is full again. */
const PAUSE_MS = 40_000

const never = h2.literals(...h2.request({ ':path': '/never' }))
const malformed = h2.literals(...h2.request({ ':path': '/never' }, [['connection', 'close']]))
const websocket = h2.websocket()

async function line(t: Test, maxStreams: number, options: RawOptions = {}) {
  watchLeaks(t)
  const clock: FakeClock = { ...fakeClock(), nextTurn: systemClock.nextTurn }
  const upstream = await recordingUpstream(t, ({ target }) => {
    if (target === '/never') return undefined
    if (target === '/begun') return 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun'
    const body = target === '/messages' ? 'm'.repeat(MESSAGE * MESSAGES) : 'ok'
    return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  })
  const http = `{ h2c: on, keepAlive: 1h, maxStreams: ${maxStreams} }`
  const gate = await startGate(
    t,
    [`protocol: http, upstream: "127.0.0.1:${upstream.port}", http: ${http}, deadlines: { response: 1h }`],
    { clock },
  )
  return { clock, gate, client: await rawH2(t, gate.port, options) }
}

for (const { what, make } of [
  { what: 'cancels', make: (id: number) => [h2.headers(id, never), h2.rst(id)] },
  { what: 'malformed requests', make: (id: number) => [h2.headers(id, malformed)] },
])
  test(`${ROUNDS * EACH} ${what}, as many at a time as a budget allows, end no connection`, async (t) => {
    t.ok(EACH < budgets.resets.burst && EACH < budgets.made.burst)
    const { clock, gate, client } = await line(t, 200)
    for (let round = 0; round < ROUNDS; round++) {
      await client.send(...Array.from({ length: EACH }, () => make(client.next())).flat())
      t.ok(await client.ping(), `round ${round}`)
      await clock.pass(PAUSE_MS)
    }
    t.equal((await client.get()).status, 200)
    t.equal(gate.lines.filter(({ protocol }) => protocol === 'h2').length, 0)
  })

for (const { what, path, ageMs } of [
  { what: 'give up a service that hangs, after 100 ms', path: '/never', ageMs: 100 },
  { what: 'leave at the first bytes of their answer', path: '/begun', ageMs: 0 },
])
  test(`callers may ${what}, a thousand within a second, beside one who waits`, async (t) => {
    const { clock, gate, client } = await line(t, 101)
    const waits = client.request(h2.request({ ':path': '/never' }))
    for (let round = 0; round < 10; round++) {
      const ids = Array.from({ length: 100 }, () => client.request(h2.request({ ':path': path })))
      if (path === '/begun')
        await eventually(() => ids.every((id) => client.bodyBytes(id) === 5), { what: 'their bytes' })
      else t.ok(await client.ping(), `round ${round}`)
      await clock.pass(ageMs)
      await client.send(...ids.map((id) => h2.rst(id)))
      t.ok(await client.ping(), `round ${round} has left`)
    }
    t.equal((await client.get()).status, 200)
    t.same(
      gate.lines.filter(({ close }) => close === 'rate_limited'),
      [],
    )
    t.notOk(
      client.frames.some(({ type, stream }) => type === h2.kinds.RST_STREAM && stream === waits),
      'the one who waits goes on waiting',
    )
  })

test('a client may acknowledge each of many small messages that came in a few frames, and open each stream by 5 bytes', async (t) => {
  const { client, gate } = await line(t, 100, { settings: h2.settings() })
  const id = client.request(h2.request({ ':path': '/messages' }))
  t.equal((await client.answer(id)).body.length, MESSAGE * MESSAGES)
  t.ok(client.counts.get(h2.kinds.DATA)! < MESSAGES / 10, 'the gate has merged them')
  const each = [h2.windowUpdate(id, MESSAGE), h2.windowUpdate(0, MESSAGE)]
  for (let round = 0; round < 10; round++) {
    await client.send(...Array.from({ length: MESSAGES / 10 }, () => each).flat())
    t.ok(await client.ping(), `round ${round}`)
  }
  for (let round = 0; round < 9; round++) {
    const calls = Array.from({ length: 100 }, () => client.next())
    await client.send(
      ...calls.flatMap((call) => [h2.headers(call, h2.literals(...h2.request())), h2.windowUpdate(call, 5)]),
    )
    const answers = await Promise.all(calls.map((call) => client.answer(call)))
    t.ok(
      answers.every(({ status }) => status === 200),
      `calls of round ${round}`,
    )
    await client.send(...calls.flatMap(() => [h2.windowUpdate(0, 2), h2.windowUpdate(0, 5)]))
  }
  t.equal(gate.lines.filter(({ protocol }) => protocol === 'h2').length, 0)
})

test('a client that opens more streams than it may have, before it knows how many these are, is refused the rest', async (t) => {
  const { client } = await line(t, 4)
  const ids = Array.from({ length: 4 + EACH }, () => client.next())
  await client.send(...ids.map((id) => h2.headers(id, never)))
  for (const id of ids.slice(4)) t.match(await client.end(id), { reset: h2.codes.REFUSED_STREAM })
  t.equal(client.goaway, null)
})

test('a stream that its client has cancelled makes room for another, also in the same packet', async (t) => {
  const { client } = await line(t, 4)
  const open = Array.from({ length: 4 }, () => client.next())
  await client.send(...open.map((id) => h2.headers(id, never)))
  await client.ping()
  for (const id of open) {
    const next = client.next()
    await client.send(h2.rst(id), h2.headers(next, h2.literals(...h2.request())))
    t.equal((await client.answer(next)).status, 200)
    await client.send(h2.headers(client.next(), never))
  }
})

test('a WebSocket that its client has cancelled makes room for another in the same packet', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on, maxStreams: 2 }`,
  ])
  const client = await rawH2(t, gate.port)
  const open = (): Buffer => h2.headers(client.next(), websocket, h2.END_HEADERS)
  await client.send(open(), open())
  for (const id of [1, 3]) t.match(await client.head(id), { ':status': '200' })
  await client.send(h2.rst(1), open())
  t.match(await client.head(5), { ':status': '200' })
})
