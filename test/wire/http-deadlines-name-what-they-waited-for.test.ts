import { test } from 'tap'
import type { Test } from 'tap'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { parseAnswer } from '../support/http.ts'
import { get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { HttpClient, RecordingUpstream, Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import { stopwatch } from '../support/stopwatch.ts'

/** The delay that a busy machine may add to a deadline. */
const SLACK_MS = 1500
const nowhere = { write: () => {} }

async function path(
  t: Test,
  options: string,
  respond?: Respond,
): Promise<{ gate: Gate; client: HttpClient; upstream: RecordingUpstream }> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${options}`])
  return { gate, upstream, client: await httpClient(t, gate.port) }
}

/** Sends `pieces`, one each `everyMs`, until the connection ends. */
function trickle(t: Test, client: HttpClient, pieces: string[], everyMs: number): void {
  const timer = setInterval(() => {
    const piece = pieces.shift()
    if (piece !== undefined && client.wire.outcome === null) void client.send(piece)
  }, everyMs)
  t.teardown(() => clearInterval(timer))
}

async function isIn(t: Test, ms: number, what: Promise<unknown>): Promise<void> {
  const watch = stopwatch(t)
  await what
  // The gate began to wait before this watch, which a busy machine may start late.
  t.ok(watch.ms >= ms / 2 && watch.livedMs < ms + SLACK_MS, `${watch.livedMs} of ${watch.ms} ms`)
}

for (const place of ['first', 'later'] as const) {
  test(`a byte at a time does not keep the ${place} head open beyond deadlines.handshake: 408`, async (t) => {
    const { gate, client, upstream } = await path(t, 'deadlines: { handshake: 150ms }')
    if (place === 'later') t.equal((await client.get(get('/fine'))).status, 200)
    trickle(t, client, get('/never').split(''), 20)
    const closed = client.wire.ended.then(() => client.wire.end())
    await isIn(t, 150, closed)
    const { status, body } = parseAnswer(client.wire.takeUnread())
    t.equal(status, 408)
    t.match(body.toString(), /^handshake_timeout/)
    t.match(await gate.end(), { reason: 'handshake_timeout', side: 'client', phase: 'handshake' })
    t.equal(upstream.requests.length, place === 'later' ? 1 : 0)
  })
}

for (const [name, headers, begin] of [
  ['with a length', 'Content-Length: 100\r\n', 'part'],
  ['in chunks', 'Transfer-Encoding: chunked\r\n', '64\r\npart'],
] as const) {
  test(`a body ${name} that stops is a 408 and request_timeout`, async (t) => {
    const { gate, client } = await path(t, 'deadlines: { request: 150ms }')
    await client.send(get('/', headers, 'POST') + begin)
    await isIn(t, 150, client.wire.ended)
    client.wire.end()
    t.match(parseAnswer(client.wire.takeUnread()).body.toString(), /^request_timeout/)
    t.match(await gate.end(), { reason: 'request_timeout', side: 'client', phase: 'relay' })
  })
}

test('an upload that is slow and moves is not ended', async (t) => {
  const { gate, client, upstream } = await path(
    t,
    'deadlines: { request: 200ms, idle: 250ms, response: 100ms, handshake: 50ms, write: 50ms }',
  )
  await client.send(get('/', 'Content-Length: 20\r\n', 'POST'))
  trickle(t, client, 'x'.repeat(20).split(''), 50)
  t.equal((await client.answer()).status, 200)
  t.equal(upstream.requests[0]!.body.length, 20)
  t.equal(gate.lines.length, 0)
})

test('an upstream that does not accept is a 504 and connect_timeout', async (t) => {
  watchLeaks(t)
  const { port } = await backlogFull(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${port}", deadlines: { connect: 150ms }`,
  ])
  const client = await httpClient(t, gate.port)
  const answer = await client.get(get())
  t.equal(answer.status, 504)
  t.match(answer.body.toString(), /^connect_timeout/)
  client.wire.end()
  t.match(await gate.end(), { reason: 'connect_timeout', side: 'upstream' })
  t.match(
    await gate.metrics(),
    'sidegate_upstream_connect_failures_total{listener="l0",reason="connect_timeout"} 1',
  )
})

test('an upstream that says nothing is a 504 and response_timeout, and bytes of the client do not extend that', async (t) => {
  const { gate, client, upstream } = await path(t, 'deadlines: { response: 150ms }', () => undefined)
  await client.send(get())
  trickle(t, client, get('/second').split(''), 10)
  await isIn(t, 150, client.wire.readUntil('response_timeout'))
  t.match(await gate.end(), { reason: 'response_timeout', side: 'upstream', phase: 'relay' })
  t.equal(await upstream.connections[0]!.ended, true, 'the upstream is not asked on')
})

test('an answer that stops is cut with idle_timeout', async (t) => {
  const { gate, client } = await path(
    t,
    'deadlines: { idle: 150ms }',
    () => 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello',
  )
  await client.send(get())
  await client.wire.readUntil('hello')
  await client.wire.closed
  t.match(await gate.end(), { reason: 'idle_timeout', side: 'upstream', phase: 'relay' })
})

test('a client that stops reading is ended with write_timeout, although its upstream trickles on', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n')
    await wire.write('HTTP/1.1 200 OK\r\n\r\n')
    const timer = setInterval(() => void wire.write('x'), 10)
    void wire.closed.then(() => clearInterval(timer))
    void wire.flood({ total: 20_000_000, keepOpen: true })
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 200ms }`,
  ])
  const client = await httpClient(t, gate.port, { unread: true })
  await client.send(get())
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
  const seen = await upstream.connection()
  await seen.closed
  client.wire.resumeReading()
  t.equal((await client.wire.closed).kind, 'reset')
})

test('an upstream that stops reading a body is ended with write_timeout, its client gets no answer of another', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {}, { unread: true, into: nowhere })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 200ms, request: 100ms }`,
  ])
  const client = await httpClient(t, gate.port)
  await client.send(get('/', 'Content-Length: 100000000\r\n', 'POST'))
  void client.wire.flood({ total: 100_000_000 })
  t.match(await gate.end(), { reason: 'write_timeout', side: 'upstream', phase: 'relay' })
  t.equal((await client.wire.closed).kind, 'reset')
})

test('a reader that is slow and takes some is not ended', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n')
    await wire.write('HTTP/1.1 200 OK\r\nContent-Length: 12000000\r\n\r\n')
    await wire.flood({ total: 12_000_000 })
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 400ms, idle: 400ms }`,
  ])
  const client = await httpClient(t, gate.port, { into: nowhere })
  const timer = setInterval(() => {
    client.wire.stopReading()
    setTimeout(() => client.wire.resumeReading(), 150)
  }, 160)
  t.teardown(() => clearInterval(timer))
  await client.send(get('/', 'Connection: close\r\n'))
  await client.wire.closed
  t.ok(client.wire.bytes > 12_000_000)
  t.match(await gate.end(), { reason: 'eof' })
})

test('at the end of its lifetime a connection finishes its answer with Connection: close', async (t) => {
  const { gate, client } = await path(t, 'deadlines: { lifetime: 200ms, lifetimeJitter: off }', async () => {
    await new Promise((resolve) => setTimeout(resolve, 400))
    return OK
  })
  const answer = await client.get(get())
  t.same([answer.status, answer.header('connection'), answer.body.toString()], [200, 'close', 'ok'])
  await client.wire.ended
  t.match(await gate.end(), { reason: 'lifetime_timeout', side: 'sidegate' })
  const idle = await httpClient(t, gate.port)
  await idle.get(get('/', 'Content-Length: 0\r\n'))
  await idle.wire.ended
  t.equal(idle.wire.unread, 0)
})

test('where response is off, idle bounds the wait for an answer', async (t) => {
  const { gate, client } = await path(t, 'deadlines: { response: off, idle: 150ms }', () => undefined)
  t.equal((await client.get(get())).status, 504)
  t.match(await gate.end(), { reason: 'idle_timeout', side: 'upstream' })
})

test('a connection without a further request is ended after http.keepAlive, with FIN and no word', async (t) => {
  const { gate, client } = await path(
    t,
    'http: { keepAlive: 150ms }, deadlines: { handshake: 5s, idle: 50ms }',
  )
  for (let i = 0; i < 3; i++) {
    t.equal((await client.get(get())).status, 200)
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
  await client.wire.ended
  t.equal(client.wire.unread, 0)
  t.match(await gate.end(), {
    reason: 'eof',
    side: 'sidegate',
    detail: 'no further request (http.keepAlive)',
  })
})

test('server-sent events begin at once and go on, long polling is waited for', async (t) => {
  const { gate, client } = await path(
    t,
    'deadlines: { idle: 300ms, handshake: 50ms, request: 50ms, write: 50ms }, http: { keepAlive: 50ms }',
    async ({ wire, target }) => {
      if (target === '/poll') {
        await new Promise((resolve) => setTimeout(resolve, 400))
        return OK
      }
      void wire.write(
        'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
      )
      for (let i = 0; i < 8; i++) {
        await new Promise((resolve) => setTimeout(resolve, 100))
        await wire.write('6\r\ndata:x\r\n')
      }
      return '0\r\n\r\n'
    },
  )
  await client.send(get())
  t.match((await client.wire.readUntil('\r\n\r\n')).toString(), 'text/event-stream')
  t.equal(client.wire.unread, 0, 'the head came without the first event')
  await client.wire.readUntil('0\r\n\r\n')
  t.equal((await client.get(get('/poll'))).status, 200)
  t.equal(gate.lines.length, 0)
})

test('a client that never ends its half after the last answer is reset after deadlines.close', async (t) => {
  const { gate } = await path(t, 'deadlines: { close: 150ms }')
  const client = await httpClient(t, gate.port, { halfOpen: true })
  t.equal((await client.get(get('/', 'Connection: close\r\n'))).status, 200)
  await client.wire.ended
  await isIn(t, 100, gate.end())
  t.match(await gate.end(), { reason: 'eof', side: 'client' })
})
