import type { Test } from 'tap'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { goaways, h2Answer, h2Ask, h2Connect } from '../support/h2-client.ts'
import {
  ACK,
  codes,
  FrameReader,
  frame,
  GET,
  headers,
  kinds,
  literals,
  PREFACE,
  request,
  settings,
  settingsAck,
} from '../support/h2-frames.ts'
import type { H2Frame } from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { readMetrics } from '../support/h2-client.ts'

/** A service that answers when the test says so: `/large` with more than any buffer holds, others with a word. */
async function held(t: Test) {
  const waiting: ServerResponse[] = []
  const port = await httpService(t, (request, response) => {
    request.resume()
    if (request.url === '/large') response.end(Buffer.alloc(40_000_000))
    else if (request.url === '/now') response.end('now')
    else waiting.push(response)
  })
  return { port, waiting }
}

const listener = (port: number, keys = ''): string =>
  `protocol: http, upstream: "127.0.0.1:${port}"${keys}, ${keys.includes('http:') ? '' : 'http: { h2c: on }'}`

/** A gate, a client of it, and its request that waits for its answer. */
async function withRequest(t: Test) {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port)])
  const session = await h2Connect(t, gate.port)
  const came = goaways(session)
  const answer = h2Ask(session)
  const response = await eventually(() => waiting[0])
  return { gate, session, came, answer, response }
}

test('a connection without a stream ends after http.keepAlive, and with one it stays', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port, ', http: { h2c: on, keepAlive: 200ms }')])
  const session = await h2Connect(t, gate.port)
  const came = goaways(session)
  const answer = h2Ask(session)
  await eventually(() => waiting.length === 1)
  const start = performance.now()
  await eventually(() => performance.now() - start > 600)
  waiting[0]!.end('late')
  t.match(await answer, { status: 200, body: 'late', code: 0 })
  t.match(await gate.end(1), { reason: 'eof', side: 'sidegate', line: { protocol: 'h2' } })
  t.match(came, [{ code: 0, why: 'eof' }])
})

test('a client that says nothing after its connect ends with handshake_timeout', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port, ', deadlines: { handshake: 200ms }')])
  const wire = await connect(t, gate.port)
  await wire.write(PREFACE)
  t.match(await gate.end(), { reason: 'handshake_timeout', side: 'client', line: { protocol: 'h2' } })
})

test('a request that comes with the answer to the PING between the two GOAWAYs is answered', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port, ', deadlines: { lifetime: 100ms, lifetimeJitter: off }')])
  const client = await rawH2(t, gate.port)
  t.equal((await client.get({ ':path': '/now' })).status, 200)
  const between = await client.frame(({ type, flags }) => type === kinds.PING && (flags & ACK) === 0)
  t.equal(client.goaway?.last, 0x7fff_ffff)
  const id = client.next()
  const ask = headers(id, literals(...request({ ':path': '/now' })))
  void client.send(ask, frame(kinds.PING, ACK, 0, between!.payload))
  const { status, body } = await client.answer(id)
  t.same([status, body.toString()], [200, 'now'])
  // The second PING stays without an answer: the last stream is told after a second.
  t.equal(await client.goodbye(), codes.NO_ERROR)
  t.same(client.goaway?.last, id)
})

test('at lifetime_timeout a client is told by GOAWAY twice, what it has begun is answered, and new streams are refused', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port, ', deadlines: { lifetime: 300ms, lifetimeJitter: off }')])
  const session = await h2Connect(t, gate.port)
  const came = goaways(session)
  const answer = h2Ask(session)
  await eventually(() => came.length >= 2, { what: 'two GOAWAYs' })
  t.match(came, [
    { code: 0, last: 0x7fff_ffff, why: 'lifetime_timeout' },
    { code: 0, last: 1 },
  ])
  await eventually(() => waiting.length === 1)
  waiting[0]!.end('whole')
  t.match(await answer, { status: 200, body: 'whole', code: 0 })
  t.match(await gate.end(1), { reason: 'lifetime_timeout', side: 'sidegate', line: { protocol: 'h2' } })
})

test('a drain: GOAWAY twice, answers go on to their end, and the connection with them', async (t) => {
  const { gate, came, answer, response } = await withRequest(t)
  const drained = gate.drain(10_000)
  await eventually(() => came.length >= 2, { what: 'two GOAWAYs' })
  response.end('whole')
  t.match(await answer, { status: 200, body: 'whole', code: 0 })
  t.match(await drained, { cut: 0 })
  const lines = [await gate.end(0), await gate.end(1)].map(({ line }) => [line['protocol'], line['close']])
  t.same(lines, [
    ['http', 'drain'],
    ['h2', 'drain'],
  ])
})

test('a client that is leaving by itself gets its answer in a drain', async (t) => {
  const { gate, session, came, answer, response } = await withRequest(t)
  session.close()
  await eventually(() => came.length > 0)
  const drained = gate.drain(10_000)
  await eventually(() => came.length > 1)
  response.end('whole')
  t.match(await answer, { status: 200, body: 'whole', code: 0 })
  t.match(await drained, { cut: 0 })
})

test('a client without a stream that leaves at the first GOAWAY is not cut', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port)])
  const client = await rawH2(t, gate.port)
  t.equal((await client.get({ ':path': '/now' })).status, 200)
  const drained = gate.drain(10_000)
  await client.frame(({ type }) => type === kinds.GOAWAY)
  client.wire.end()
  t.match(await drained, { drained: 1, cut: 0 })
  t.notOk('cut' in (await gate.end(1)).line)
})

test('at drain_timeout what is left is reset', async (t) => {
  const { gate, answer } = await withRequest(t)
  await gate.drain(300)
  t.not((await answer).status, 200)
  const reasons = [await gate.end(0), await gate.end(1)].map(({ reason }) => reason)
  t.same(reasons, ['drain_timeout', 'drain_timeout'])
})

test('a listener that a reload removes lets its clients go with reloaded', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port), listener(port)])
  const session = await h2Connect(t, gate.ports[1]!)
  const came = goaways(session)
  const answer = h2Ask(session)
  await eventually(() => waiting.length === 1)
  await gate.reload([listener(port)])
  waiting[0]!.end('whole')
  t.match(await answer, { status: 200, body: 'whole' })
  t.match(await gate.end(1), { reason: 'reloaded', line: { protocol: 'h2' } })
  t.equal(came[0]?.why, 'reloaded')
})

test('a stream whose window stays shut ends with write_timeout and CANCEL; another of the connection goes on', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port, ', deadlines: { write: 400ms }')])
  const session = await h2Connect(t, gate.port)
  session.setLocalWindowSize(10_000_000)
  const stalled = session.request({ ':path': '/large' })
  stalled.pause()
  const other = h2Ask(session)
  await eventually(() => waiting.length === 1)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client', line: { protocol: 'http' } })
  waiting[0]!.end('other')
  t.match(await other, { status: 200, body: 'other', code: 0 })
  await eventually(() => stalled.closed)
  t.equal(stalled.rstCode, codes.CANCEL)
})

/** A connection by hand, and its received frames. */
async function byHand(t: Test, port: number) {
  const came: H2Frame[] = []
  const reader = new FrameReader((one) => came.push(one))
  const wire = await connect(t, port)
  wire.socket.on('data', (chunk: Buffer) => reader.write(chunk))
  await wire.write(Buffer.concat([PREFACE, settings([4, 1_000_000]), settingsAck()]))
  return { wire, came }
}

test('a client that never opens the window of its connection ends with write_timeout, all of it', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port, ', deadlines: { write: 400ms }')])
  const { wire } = await byHand(t, gate.port)
  await wire.write(Buffer.concat([headers(1, pathOf('/large')), headers(3, pathOf('/large'))]))
  const ends = [await gate.end(0), await gate.end(1), await gate.end(2)]
  t.same(
    ends.map(({ reason, side }) => [reason, side]),
    Array.from({ length: 3 }, () => ['write_timeout', 'client']),
  )
})

test('a client that takes nothing of its socket ends with write_timeout', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port, ', deadlines: { write: 500ms }')])
  const { wire } = await byHand(t, gate.port)
  await wire.write(frame(kinds.WINDOW_UPDATE, 0, 0, Buffer.from([0x7f, 0, 0, 0])))
  const big = Array.from({ length: 8 }, (_, nth) =>
    Buffer.concat([
      headers(2 * nth + 1, pathOf('/large')),
      frame(kinds.WINDOW_UPDATE, 0, 2 * nth + 1, Buffer.from([0x7f, 0, 0, 0])),
    ]),
  )
  wire.stopReading()
  await wire.write(Buffer.concat(big))
  await eventually(() => gate.lines.some((line) => line['protocol'] === 'h2'), { withinMs: 20_000 })
  const line = gate.lines.find((one) => one['protocol'] === 'h2')
  t.match(line, { close: 'write_timeout', side: 'client' })
})

test('a stream and a connection can be killed; a kill of one stream leaves the others', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port)])
  const session = await h2Connect(t, gate.port)
  const [one, other] = [h2Ask(session), h2Ask(session)]
  await eventually(() => waiting.length === 2)
  const rows = [...gate.registry]
  const h2 = rows.find(({ protocol }) => protocol === 'h2')!
  const streams = rows.filter(({ session: of }) => of?.id === h2.id)
  t.equal(streams.length, 2)
  streams[0]!.owner!.close({ reason: 'killed', side: 'sidegate', phase: 'relay' })
  await eventually(() => gate.lines.length === 1)
  for (const response of waiting) if (!response.destroyed) response.end('still')
  const answers = await Promise.all([one, other])
  t.same(
    answers.map(({ status }) => status).sort((a, b) => a - b),
    [200, 503],
  )
  h2.owner!.close({ reason: 'killed', side: 'sidegate', phase: 'relay' })
  t.match(await gate.end(2), { reason: 'killed', line: { protocol: 'h2' } })
})

test('a client that cancels a stream takes its request along, and nothing else', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port)])
  const session = await h2Connect(t, gate.port)
  const stream = session.request({ ':path': '/x' })
  const cancelled = h2Answer(stream)
  await eventually(() => waiting.length === 1)
  stream.close(codes.CANCEL)
  await cancelled
  await within(once(waiting[0]!, 'close'), { what: 'the end of the request at the service' })
  t.match(await gate.end(), { reason: 'reset', side: 'client', detail: 'RST_STREAM: CANCEL' })
  t.match(await h2Ask(session, { ':path': '/now' }), { status: 200, body: 'now' })
})

test('a client that leaves takes all its streams along', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port)])
  const { wire } = await byHand(t, gate.port)
  await wire.write(Buffer.concat([headers(1, GET), headers(3, GET)]))
  await eventually(() => waiting.length === 2)
  wire.reset()
  const ends = [await gate.end(0), await gate.end(1), await gate.end(2)]
  t.same(
    ends.map(({ reason, side }) => [reason, side]),
    Array.from({ length: 3 }, () => ['reset', 'client']),
  )
})

test('http.maxStreams is what a client is told, and a stream more is refused', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port, ', http: { h2c: on, maxStreams: 2 }')])
  const session = await h2Connect(t, gate.port)
  t.equal(session.remoteSettings.maxConcurrentStreams, 2)
  const { wire, came } = await byHand(t, gate.port)
  await wire.write(Buffer.concat([1, 3, 5].map((id) => headers(id, GET))))
  const told = await eventually(() => came.find(({ type }) => type === kinds.RST_STREAM))
  t.same([told.stream, told.payload.readUInt32BE(0)], [5, codes.REFUSED_STREAM])
  t.same([gate.lines, gate.registry.size], [[], 4], 'the others go on')
})

test('with answers under way as well: the connection and its streams end with protocol_error', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port)])
  const { wire, came } = await byHand(t, gate.port)
  await wire.write(settings([4, 0]))
  await wire.write(Buffer.concat(Array.from({ length: 100 }, (_, nth) => headers(2 * nth + 1, GET))))
  await eventually(() => waiting.length === 100)
  for (const response of waiting) response.write('an answer')
  await eventually(() => came.filter(({ type }) => type === kinds.HEADERS).length === 100)
  await wire.write(headers(202, GET))
  await eventually(() => gate.lines.length === 101)
  t.same([...new Set(gate.lines.map((line) => line['close']))], ['protocol_error'])
  const told = came.filter(({ type }) => type === kinds.GOAWAY)
  t.same(
    told.map(({ payload }) => payload.readUInt32BE(4)),
    [codes.PROTOCOL_ERROR],
  )
})

const pings = ', websocket: { ping: { interval: 100ms, timeout: 100ms, misses: 2, to: client } }'

test('a client that answers no PING while a stream waits ends with ping_timeout', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port, pings)])
  const { wire } = await byHand(t, gate.port)
  await wire.write(headers(1, GET))
  t.match(await gate.end(0), { reason: 'ping_timeout', side: 'client' })
  t.match(await gate.end(1), { reason: 'ping_timeout', side: 'client' })
})

test('one that answers them waits for its answer as long as that takes', async (t) => {
  watchLeaks(t)
  const { port, waiting } = await held(t)
  const gate = await startGate(t, [listener(port, pings)])
  const session = await h2Connect(t, gate.port)
  const answer = h2Ask(session)
  const start = performance.now()
  await eventually(() => performance.now() - start > 1500)
  t.same(gate.lines, [])
  waiting[0]!.end('late')
  t.match(await answer, { status: 200, body: 'late' })
})

test('a head over http.maxHeader is answered with 431, and one that breaks a rule is a stream error', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port)])
  const session = await h2Connect(t, gate.port)
  t.match(await h2Ask(session, { ':path': '/now', 'x-large': 'a'.repeat(20_000) }), { status: 431, code: 0 })
  t.match(await gate.end(0), { reason: 'message_too_big', line: { protocol: 'http' } })
  t.match(await h2Ask(session, { ':path': '/now', ':authority': 'a', host: 'b' }), {
    status: 0,
    code: codes.PROTOCOL_ERROR,
  })
  t.match(await gate.end(1), { reason: 'protocol_error', detail: 'Host and :authority disagree' })
  t.match(await h2Ask(session, { ':path': '/now' }), { status: 200 })
})

test('bytes of a client are counted once, and records say whose stream is whose', async (t) => {
  watchLeaks(t)
  const { port } = await held(t)
  const gate = await startGate(t, [listener(port)])
  const session = await h2Connect(t, gate.port)
  t.match(await h2Ask(session, { ':path': '/now' }, Buffer.alloc(100_000)), { status: 200 })
  session.close()
  await gate.end(1)
  const [stream, connection] = [gate.lines[0]!, gate.lines[1]!]
  t.equal(stream['session'], connection['id'])
  t.notOk('session' in connection)
  const samples = readMetrics(await gate.metrics())
  t.equal(samples('sidegate_receive_bytes_total{listener="l0",side="client"}'), connection['bytesToUpstream'])
  t.equal(samples('sidegate_connections_opened_total{listener="l0",protocol="h2"}'), 1)
  t.equal(samples('sidegate_connections_opened_total{listener="l0",protocol="http"}'), 1)
})

function pathOf(path: string): Buffer {
  return literals(...request({ ':path': path }))
}
