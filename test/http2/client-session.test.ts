// A client's connection: the records of its streams, the requests that it refuses itself, and its waits.

import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { Connection } from '../../src/core/connection.ts'
import { silentObserver } from '../support/silent-observer.ts'
import { InvariantError } from '../../src/core/errors.ts'
import { addressOf, atPort } from '../support/addresses.ts'
import { eventually } from '../support/eventually.ts'
import * as h2 from '../support/h2-frames.ts'
import { memorySession } from './memory-session.ts'

const POST = h2.literals(...h2.request({ ':method': 'POST' }))

test('the record of a stream has the facts of its connection, and is listed while it is open', async (t) => {
  const facts = {
    client: addressOf('198.51.100.7:7'),
    namesClients: true,
    tls: { protocol: 'h2' } as unknown as NonNullable<Connection['tls']>,
    localAddress: atPort('192.0.2.2:443'),
  }
  const line = memorySession(t, { prepare: (connection) => Object.assign(connection, facts) })
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  const { connection } = stream
  for (const [name, value] of Object.entries(facts))
    t.equal(connection[name as keyof typeof facts], value, name)
  t.equal(connection.session, line.session)
  t.equal(connection.peer, line.connection.peer)
  t.match(connection, { protocol: 'http', listener: 'app' })
  t.equal(line.registry.get(connection.id), connection)
  stream.done()
  await line.ping()
  t.same(line.ends, [connection])
})

test('a server that breaks an invariant ends its stream as internal_error, and another of the connection goes on', async (t) => {
  const error = new InvariantError('never so')
  const line = memorySession(t)
  const { served } = line
  const push = served.push.bind(served)
  served.push = (one) => {
    push(one)
    if (served.length === 1) throw error
    return served.length
  }
  line.send(h2.headers(1, h2.GET), h2.headers(3, h2.GET))
  await eventually(() => served.length === 2)
  await line.ping()
  t.match(served[0]!.closes, [{ reason: 'internal_error', side: 'sidegate', detail: 'never so' }])
  served[1]!.done()
  await line.ping()
  t.same(line.frames().filter(({ type, stream }) => type === h2.kinds.HEADERS && stream === 3).length, 1)
})

test('a malformed request, and a head over http.maxHeader, are told of as ends of streams', async (t) => {
  const opened: Connection[] = []
  const line = memorySession(t, {
    maxHeaderBytes: 200,
    context: { observer: { ...silentObserver, onOpened: (one) => void opened.push(one) } },
  })
  line.send(
    h2.headers(1, h2.literals(...h2.request({ host: 'b' }))),
    h2.headers(3, h2.literals(...h2.request({ x: 'y'.repeat(200) }))),
  )
  await eventually(() => line.ends.length === 2)
  t.same(line.served, [])
  t.same(
    line.ends.map(({ end }) => end!.reason),
    ['protocol_error', 'message_too_big'],
  )
  t.same(opened, line.ends)
  await eventually(() => line.ofKind(h2.kinds.RST_STREAM).length > 0)
  t.same(
    line.ofKind(h2.kinds.RST_STREAM).map(({ stream, payload }) => [stream, payload.readUInt32BE(0)]),
    [[1, h2.codes.PROTOCOL_ERROR]],
  )
  t.equal(line.registry.size, 1)
})

test('a head of exactly http.maxHeader is served', async (t) => {
  const size = (more: string): number => {
    const lines = ['GET / HTTP/1.1', 'Host: a', `x: ${more}`, 'connection: close', '', '']
    return lines.join('\r\n').length
  }
  const line = memorySession(t, { maxHeaderBytes: 200 })
  const [fits, over] = [200, 201].map((bytes) => 'y'.repeat(bytes - size('')))
  line.send(h2.headers(1, h2.literals(...h2.request({ x: fits! }))))
  line.send(h2.headers(3, h2.literals(...h2.request({ x: over! }))))
  await eventually(() => line.ends.length === 1)
  await line.ping()
  t.equal(line.served.length, 1)
  t.match(line.ends, [{ end: { reason: 'message_too_big' } }])
})

test('a head of an upgrade is told of, as the engine tells of the others', async (t) => {
  const heads: number[] = []
  const line = memorySession(t, {
    context: { observer: { ...silentObserver, onHead: (_one, _side, bytes) => void heads.push(bytes) } },
  })
  line.send(h2.headers(1, h2.GET), h2.headers(3, h2.websocket('/chat'), h2.END_HEADERS))
  await eventually(() => line.served.length === 2)
  t.same(
    line.served.map(({ head }) => head),
    ['GET /', 'upgrade /chat'],
  )
  t.equal(heads.length, 1)
})

test('what a client has taken is asked of the kernel where no queue of ours says so', async (t) => {
  const line = memorySession(t)
  await line.ping()
  const { client, session } = line
  const { sent } = session.flow
  t.ok(session.hasTaken(sent))
  t.equal(client.measured, 0)
  client.inKernel = 50
  client.measure()
  await Promise.resolve()
  t.notOk(session.hasTaken(sent))
  t.equal(client.measured, 2)
  t.ok(session.hasTaken(sent - 50))
  t.equal(client.measured, 2, 'known without asking')
  client.stall()
  line.send(h2.ping())
  await eventually(() => client.queued > 0)
  t.notOk(session.hasTaken(sent))
  t.equal(client.measured, 2, 'what waits here is enough of an answer')
})

test('a client is stalled since it took bytes of its socket, or DATA that its window let out', async (t) => {
  const atRest = memorySession(t)
  t.ok(atRest.session.isAtRest)
  await atRest.clock.pass(60_000)
  t.equal(atRest.session.lastDrainAt(), atRest.clock.now())
  const shut = memorySession(t, { first: h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 1_000_000]) })
  shut.send(h2.headers(1, h2.GET))
  const one = await shut.stream()
  one.answer(`HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`)
  await eventually(() => one.client.queued > 0 && one.client.queued < 40_000)
  const since = shut.clock.now()
  await shut.clock.pass(60_000)
  t.ok(shut.session.lastDrainAt() <= since + 250, 'its window')
  const stuck = memorySession(t)
  await stuck.ping()
  stuck.client.stall()
  stuck.send(h2.ping())
  await eventually(() => stuck.client.queued > 0)
  const from = stuck.clock.now()
  await stuck.clock.pass(60_000)
  t.ok(stuck.session.lastDrainAt() <= from + 250, 'its socket')
})

test('streams are held while the frames of their connection wait for their turn', async (t) => {
  const line = memorySession(t)
  await line.ping()
  t.notOk(line.session.isHeld)
  line.send(...Array.from({ length: 60 }, (_, nth) => h2.headers(2 * nth + 1, h2.GET)))
  t.ok(line.session.isHeld)
  await eventually(() => line.served.length === 60)
  await line.ping()
  t.notOk(line.session.isHeld)
})

test('frames either way are what a connection does', async (t) => {
  const line = memorySession(t)
  await line.ping()
  await line.clock.pass(10_000)
  const before = line.connection.owner!.activeAt!()
  await line.ping()
  await line.clock.pass(250)
  t.ok(before < 1500 && line.connection.owner!.activeAt!() > 11_000)
})

test('an upload that goes on is not lost while its client is there', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, POST, h2.END_HEADERS))
  const stream = await line.stream()
  await line.clock.pass(1000)
  t.same(stream.closes, [])
})

test('bytes that wait in streams count for the connection', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, POST, h2.END_HEADERS), h2.headers(3, POST, h2.END_HEADERS))
  await eventually(() => line.served.length === 2)
  for (const one of line.served) one.client.pause()
  line.send(h2.data(1, 'x'.repeat(30)), h2.data(3, 'x'.repeat(12)))
  await line.ping()
  t.equal(line.session.held, 42)
  t.notOk(line.session.isAtRest)
})

test('a client is asked by PING while a stream waits and nothing is queued for it, and not else', async (t) => {
  const line = memorySession(t, { pingMs: 10_000 })
  const asked = (): number => line.ofKind(h2.kinds.PING).filter(({ flags }) => flags === 0).length
  await line.ping()
  await line.clock.pass(60_000)
  await line.ping()
  t.equal(asked(), 0, 'no stream')
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  line.client.stall()
  line.send(h2.ping())
  await eventually(() => line.client.queued > 0)
  await line.clock.pass(60_000)
  line.client.take(Infinity)
  await line.ping()
  t.equal(asked(), 0, 'much to take')
  await line.clock.pass(10_250)
  await eventually(() => asked() === 1)
  stream.done()
})

test('a client that answers no PING is gone', async (t) => {
  const line = memorySession(t, { pingMs: 10_000 })
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  await line.clock.pass(10_500)
  await line.clock.pass(1250)
  t.match(await line.end(), { reason: 'ping_timeout', side: 'client' })
  t.match(stream.closes, [{ reason: 'ping_timeout' }])
})

test('a client that has said that it leaves is not asked, and waits for its answer', async (t) => {
  const line = memorySession(t, { pingMs: 10_000 })
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  line.send(h2.goaway())
  await line.ping()
  for (let second = 0; second < 60; second++) await line.clock.pass(1000)
  t.same(stream.closes, [])
  stream.done()
  t.match(await line.end(), { reason: 'eof', side: 'client' })
})

test('pings that are for upstreams alone are for no client', async (t) => {
  const line = memorySession(t, { pingMs: 10_000, pingTo: 'upstream' })
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  await line.clock.pass(60_000)
  t.same(stream.closes, [])
})

test('SETTINGS are due after the connect, and http.keepAlive counts from the last stream', async (t) => {
  const silent = memorySession(t, { handshakeMs: 5000, keepAliveMs: 1000, first: Buffer.alloc(0) })
  await silent.clock.pass(4999)
  t.same(silent.ends, [])
  await silent.clock.pass(251)
  t.match(await silent.end(), { reason: 'handshake_timeout', phase: 'handshake' })
  t.equal(silent.client.closes[0], 'flush')
  t.same(silent.goaways(), [[0, h2.codes.SETTINGS_TIMEOUT, 'handshake_timeout']])
  const line = memorySession(t, { handshakeMs: 5000, keepAliveMs: 10_000 })
  await line.ping()
  await line.clock.pass(9000)
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  await line.clock.pass(20_000)
  t.same(line.ends, [])
  stream.done()
  await line.ping()
  await line.clock.pass(9749)
  t.equal(line.ends.length, 1)
  await line.clock.pass(501)
  t.match(await line.end(), { reason: 'eof', side: 'sidegate' })
})

test('a malformed request is no stream for http.keepAlive', async (t) => {
  const line = memorySession(t, { keepAliveMs: 10_000 })
  await line.ping()
  await line.clock.pass(9000)
  line.send(h2.headers(1, h2.literals(...h2.request({ host: 'b' }))))
  await eventually(() => line.ends.length === 1)
  await line.clock.pass(1250)
  t.match(await line.end(), { reason: 'eof', side: 'sidegate' })
})

test('a client that ends its half gets what it asked whole, and each stream that cannot complete ends', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET), h2.headers(3, POST, h2.END_HEADERS))
  await line.ping()
  line.client.fin()
  const [whole, half] = line.served
  await eventually(() => half!.closes.length > 0)
  t.match(half!.closes, [
    { reason: 'aborted', side: 'client', detail: 'left before its request was complete' },
  ])
  t.same(whole!.closes, [])
  whole!.done()
  t.match(await line.end(), { reason: 'eof', side: 'client' })
  t.equal(line.frames().filter(({ type, stream }) => type === h2.kinds.DATA && stream === 1).length, 1)
})

test('a client that ends its half, and whose window shuts afterwards, loses that stream', async (t) => {
  const line = memorySession(t, { first: h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 10]) })
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  await line.ping()
  line.client.fin()
  await line.clock.pass(250)
  t.same(stream.closes, [])
  stream.answer(`HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n${'x'.repeat(20)}`)
  await eventually(() => line.ofKind(h2.kinds.DATA).length > 0)
  await line.clock.pass(250)
  t.match(stream.closes, [{ reason: 'aborted', detail: 'left before it had taken its answer' }])
})

test('a stream that its client has cancelled makes room, also in the same read', async (t) => {
  const line = memorySession(t, { maxStreams: 2 })
  line.send(h2.headers(1, h2.GET), h2.headers(3, h2.GET))
  await line.ping()
  line.send(h2.rst(1), h2.headers(5, h2.GET))
  await line.ping()
  t.equal(line.served.length, 3)
})

test('uploads that have ended are no reason for small windows', async (t) => {
  const line = memorySession(t)
  const told = (): number => line.ofKind(h2.kinds.SETTINGS).filter(({ flags }) => flags === 0).length
  for (let nth = 0; nth < 17; nth++) line.send(h2.headers(2 * nth + 1, POST, h2.END_HEADERS))
  await line.ping()
  for (const { client } of line.served) client.pause()
  await line.ping()
  t.equal(told(), 2)
  line.send(h2.settingsAck(), h2.settingsAck())
  for (let nth = 0; nth < 17; nth++) line.send(h2.rst(2 * nth + 1))
  await eventually(() => line.ends.length === 17)
  await line.clock.pass(250)
  await line.ping()
  t.equal(told(), 3)
})

test('a client that sends more than its budget allows ends, with the code of that', async (t) => {
  const line = memorySession(t)
  await line.ping()
  line.send(...Array.from({ length: 101 }, () => h2.settings()))
  t.match(await line.end(), { reason: 'rate_limited', side: 'client' })
  t.same(
    line.goaways().map(([, code]) => code),
    [h2.codes.ENHANCE_YOUR_CALM],
  )
})

test('a stream more than http.maxStreams is refused, and has no record', async (t) => {
  const line = memorySession(t, { maxStreams: 2 })
  line.send(h2.headers(1, h2.GET), h2.headers(3, h2.GET), h2.headers(5, h2.GET))
  await line.ping()
  t.same(
    line.ofKind(h2.kinds.RST_STREAM).map(({ stream, payload }) => [stream, payload.readUInt32BE(0)]),
    [[5, h2.codes.REFUSED_STREAM]],
  )
  t.equal(line.served.length, 2)
  t.equal(line.registry.size, 3)
  line.connection.owner!.close(makeClose('killed', 'sidegate', 'relay'))
  t.equal(line.ofKind(h2.kinds.GOAWAY)[0]!.payload.readUInt32BE(0), 3, 'nor was it heard')
})
