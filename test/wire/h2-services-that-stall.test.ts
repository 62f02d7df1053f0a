// One stream that stalls ends, by its deadline and by RST_STREAM; the other streams of its session go on.

import type { Test } from 'tap'
import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  h2Service,
  HEADERS,
  OK,
  rawH2Service,
  RST_STREAM,
  WINDOW_UPDATE,
  word,
} from '../support/h2-services.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { connect } from '../support/peers.ts'

const CANCEL = 8
const to = (port: number, deadlines: string): string =>
  `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c }, deadlines: { ${deadlines} }`

async function get(t: Test, gate: Gate, path: string): Promise<string> {
  const { bytes } = await requestRaw(
    t,
    gate.port,
    `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  )
  return String(parseAnswer(bytes).body)
}

test('a client that takes nothing ends, its stream is reset, and its neighbours read on', async (t) => {
  const endless = Buffer.alloc(65_536)
  const service = await h2Service(t, (stream, { ':path': path }) => {
    stream.respond({ ':status': 200 })
    if (path !== '/endless') return void stream.end(path)
    const more = (): void => {
      while (!stream.destroyed && stream.write(endless));
    }
    stream.on('drain', more)
    more()
  })
  const gate = await startGate(t, [to(service.port, 'write: 400ms')])
  const stalled = await connect(t, gate.port, { unread: true })
  await stalled.write('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => gate.open().owner?.isPaused('to_client') === true)
  const bound = 65_536 + 65_535 + 16_384
  t.ok(gate.open().owner!.queued('client') <= bound, 'buffers.high, a window, and what Node reads ahead')
  t.equal(await get(t, gate, '/beside'), '/beside')
  t.match(await gate.end(1), { reason: 'write_timeout', side: 'client' })
  await eventually(() => service.ended.length === 2)
  t.same(service.ended, [0, CANCEL])
  t.equal(await get(t, gate, '/after'), '/after')
  t.equal(service.sessions.length, 1)
})

test('a service that takes no more of one request ends it; other requests on the session go on', async (t) => {
  const service = await h2Service(t, (stream, { ':path': path }) => {
    // The client reads nothing of this one, so its window never opens.
    if (path === '/stalls') return
    stream.respond({ ':status': 200 })
    stream.end(path)
  })
  const gate = await startGate(t, [to(service.port, 'write: 400ms')])
  const client = await connect(t, gate.port)
  await client.write('POST /stalls HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n')
  void client.flood({ total: 1_000_000 })
  await eventually(() => gate.registry.size === 1 && gate.open().owner?.isPaused('to_upstream') === true)
  t.ok(gate.open().owner!.queued('upstream') > 0, 'what the window does not let through is seen')
  t.equal(await get(t, gate, '/beside'), '/beside')
  t.match(await gate.end(1), { reason: 'write_timeout', side: 'upstream' })
  await eventually(() => service.ended.length === 2)
  t.same(service.ended, [0, CANCEL])
  t.equal(await get(t, gate, '/after'), '/after')
  t.equal(service.sessions.length, 1, 'it answered when it was asked')
})

for (const isGoingOn of [true, false])
  test(`a request behind one that is not read, whose window is the connection’s, is spared${isGoingOn ? '' : ' until it waits for nobody else'}`, async (t) => {
    const clock: FakeClock = { ...fakeClock(), nextTurn: systemClock.nextTurn }
    const service = await rawH2Service(
      t,
      () => {},
      (send, { type, flags, stream }) => {
        if (type === RST_STREAM && isGoingOn) send(frame(WINDOW_UPDATE, 0, 0, word(1000)))
        else if (type === DATA && (flags & END_STREAM) !== 0)
          send(
            Buffer.concat([frame(HEADERS, END_HEADERS, stream, OK), frame(DATA, END_STREAM, stream, 'here')]),
          )
      },
    )
    const gate = await startGate(t, [to(service.port, 'write: 10s, idle: 1h')], { clock })
    const stalled = await connect(t, gate.port)
    await stalled.write('POST /stalls HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n')
    void stalled.flood({ total: 1_000_000 })
    await eventually(() => gate.registry.size === 1 && gate.open().owner?.isPaused('to_upstream') === true)
    const beside = requestRaw(
      t,
      gate.port,
      'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello',
    )
    await eventually(
      () => [...gate.registry].filter(({ owner }) => owner!.queued('upstream') > 0).length === 2,
    )
    for (let second = 0; second < 9; second++) await clock.pass(1000)
    t.equal(gate.lines.length, 0)
    for (let second = 0; second < 3; second++) await clock.pass(1000)
    t.match(await gate.end(), { reason: 'write_timeout', side: 'upstream' })
    if (isGoingOn) return t.equal(String(parseAnswer((await beside).bytes).body), 'here')
    for (let second = 0; second < 6; second++) await clock.pass(1000)
    t.equal(gate.lines.length, 1)
    for (let second = 0; second < 6; second++) await clock.pass(1000)
    return t.match(await gate.end(1), { reason: 'write_timeout', side: 'upstream' })
  })

test('a service that keeps the window of its connection shut gets further requests on another, also once the one that shut it has ended', async (t) => {
  const clock: FakeClock = { ...fakeClock(), nextTurn: systemClock.nextTurn }
  const service = await rawH2Service(
    t,
    () => {},
    (send, { type, flags, stream }) => {
      if (type === DATA && (flags & END_STREAM) !== 0)
        send(
          Buffer.concat([frame(HEADERS, END_HEADERS, stream, OK), frame(DATA, END_STREAM, stream, 'here')]),
        )
    },
  )
  const upstream = `{ addresses: ["127.0.0.1:${service.port}"], protocol: h2c, keepAlive: 1h }`
  const gate = await startGate(
    t,
    [`protocol: http, upstream: ${upstream}, deadlines: { write: 10s, idle: 1h }`],
    { clock },
  )
  const stalled = await connect(t, gate.port)
  await stalled.write('POST /stalls HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n')
  void stalled.flood({ total: 1_000_000 })
  await eventually(() => gate.registry.size === 1 && gate.open().owner?.isPaused('to_upstream') === true)
  for (let second = 0; second < 3; second++) await clock.pass(1000)
  const post = async (): Promise<string> => {
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n'
    return String(parseAnswer((await requestRaw(t, gate.port, `${head}hello`)).bytes).body)
  }
  t.equal(await post(), 'here')
  await gate.end()
  for (let second = 0; second < 10; second++) await clock.pass(1000)
  t.match(await gate.end(1), { reason: 'write_timeout', side: 'upstream' })
  t.equal(await post(), 'here')
  t.equal(service.connections.length, 2)
})

test('a service that takes a request slowly is spared: each step of its window is progress', async (t) => {
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.on('end', () => stream.end('done'))
    const step = setInterval(() => stream.read(16_384), 100)
    stream.on('close', () => clearInterval(step))
  })
  const gate = await startGate(t, [to(service.port, 'write: 600ms')])
  const client = await connect(t, gate.port)
  await client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\nConnection: close\r\n\r\n')
  const startedAt = performance.now()
  void client.flood({ total: 400_000, keepOpen: true })
  await client.closed
  t.equal(String(parseAnswer(await client.received).body), 'done')
  t.ok(performance.now() - startedAt > 1200, 'longer than the deadline')
})

test('a service that is stuck as a whole gets the next request on another connection', async (t) => {
  let asked = 0
  const service = await rawH2Service(t, (send, stream) => {
    if (asked++ > 0)
      send(Buffer.concat([frame(HEADERS, END_HEADERS, stream, OK), frame(DATA, END_STREAM, stream, 'here')]))
  })
  const gate = await startGate(t, [to(service.port, 'response: 300ms')])
  const first = await requestRaw(t, gate.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.equal(parseAnswer(first.bytes).status, 504)
  t.equal(await get(t, gate, '/'), 'here')
  t.equal(service.connections.length, 2)
})

test('one that is only slow for one request keeps its connection', async (t) => {
  const service = await h2Service(t, (stream, { ':path': path }) => {
    if (path === '/slow') return
    stream.respond({ ':status': 200 })
    stream.end(path)
  })
  const gate = await startGate(t, [to(service.port, 'response: 300ms')])
  const first = await requestRaw(t, gate.port, 'GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.equal(parseAnswer(first.bytes).status, 504)
  const [session] = service.sessions
  await eventually(() => service.ended.length === 1)
  await new Promise((resolve) => session!.ping(resolve))
  t.equal(await get(t, gate, '/next'), '/next')
  t.equal(service.sessions.length, 1)
})
