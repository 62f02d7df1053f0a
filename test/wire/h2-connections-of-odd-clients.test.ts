// What a client of HTTP/2 may do at the edges of a connection: many and large fields, a GOAWAY of its own, an end in the
// middle, rests between its requests, a drain that it does not answer.

import { test, type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const never = h2.literals(...h2.request({ ':path': '/never' }))

async function line(t: Test, keys = '') {
  watchLeaks(t)
  const clock: FakeClock = { ...fakeClock(), nextTurn: systemClock.nextTurn }
  const upstream = await recordingUpstream(t, ({ target }) =>
    target === '/never' ? undefined : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  )
  const listener = `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on, keepAlive: 10s ${keys} }`
  const gate = await startGate(t, [listener], { clock })
  return { clock, gate, upstream, client: await rawH2(t, gate.port) }
}

test('a head of 200 fields arrives', async (t) => {
  const { client, upstream } = await line(t)
  const fields = Array.from({ length: 200 }, (_, nth): h2.Field => [`x-${nth}`, 'y'])
  t.equal((await client.get({}, fields)).status, 200)
  t.equal(upstream.requests[0]!.header('x-199'), 'y')
})

test('a head of three times http.maxHeader is read, and answered with 431', async (t) => {
  const { client } = await line(t, ', maxHeader: 32KiB')
  await client.ping()
  const id = client.next()
  const block = h2.literals(
    ...h2.request(),
    ...['a', 'b', 'c', 'd'].map((name): h2.Field => [name, 'y'.repeat(25_000)]),
  )
  const pieces: Buffer[] = []
  for (let at = 0; at < block.length; at += 16_000) pieces.push(block.subarray(at, at + 16_000))
  const frames = pieces.map((piece, nth) => {
    const flags = nth === pieces.length - 1 ? h2.END_HEADERS : 0
    return nth === 0 ? h2.headers(id, piece, flags | h2.END_STREAM) : h2.continuation(id, piece, flags)
  })
  await client.send(...frames)
  t.equal((await client.answer(id)).status, 431)
  t.equal((await client.get()).status, 200)
})

test('a client that says by GOAWAY that it met a fault ends as aborted, with its code', async (t) => {
  const { client, gate } = await line(t)
  t.equal((await client.get()).status, 200)
  await client.send(h2.goaway(0, h2.codes.INTERNAL_ERROR))
  await client.goodbye()
  const end = await eventually(() => gate.lines.find(({ protocol }) => protocol === 'h2'))
  t.match(end, { close: 'aborted', side: 'client', detail: 'GOAWAY with INTERNAL_ERROR' })
})

test('a client that leaves in the middle of a request takes it along, and is answered what it has asked whole', async (t) => {
  const { client, gate } = await line(t)
  const half = client.request(h2.request({ ':method': 'POST', ':path': '/never' }), null)
  await client.ping()
  client.wire.end()
  const end = await eventually(() => gate.lines.find(({ protocol }) => protocol === 'http'))
  t.match(end, { close: 'aborted', side: 'client', detail: /before its request was complete/ })
  await client.end(half).catch(() => null)
  await eventually(() => gate.registry.size === 0)
})

test('a client that has left and shut its window before holds nothing, also of an answer that is complete here', async (t) => {
  const { client, gate, clock } = await line(t)
  await client.send(h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 1]))
  const id = client.request()
  await client.frame(({ type, stream }) => type === h2.kinds.DATA && stream === id)
  // The service has said all: the stream is ending, and has `deadlines.write` for its last byte.
  await eventually(() => gate.open().end !== null)
  client.wire.end()
  await eventually(() => gate.registry.size === 0)
  await clock.pass(0)
  const end = gate.lines.find(({ protocol }) => protocol === 'http')
  t.match(end, { close: 'aborted', side: 'client', detail: /1 byte for the client dropped/ })
})

test('http.keepAlive counts from the end of the last request', async (t) => {
  const { client, clock, gate } = await line(t)
  for (let nth = 0; nth < 3; nth++) {
    t.equal((await client.get()).status, 200)
    await eventually(() => gate.registry.size === 1)
    for (let second = 0; second < 9; second++) await clock.pass(1000)
  }
  t.equal((await client.get()).status, 200)
  await eventually(() => gate.registry.size === 1)
  for (let second = 0; second < 11; second++) await clock.pass(1000)
  t.equal(await client.goodbye(), h2.codes.NO_ERROR)
})

test('a client that is to leave and answers no PING is told the last stream after a second', async (t) => {
  const { client, clock, gate } = await line(t)
  await client.send(h2.headers(client.next(), never))
  await client.ping()
  const drained = gate.drain(60_000)
  await client.frame(({ type }) => type === h2.kinds.GOAWAY)
  t.equal(client.goaway!.last, 0x7fff_ffff)
  for (let nth = 0; nth < 12; nth++) await clock.pass(100)
  await eventually(() => client.goaway!.last === 1)
  await client.send(h2.rst(1))
  await client.goodbye()
  await Promise.all([drained, clock.pass(1000)])
})
