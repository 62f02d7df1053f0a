import root, { test } from 'tap'
import type { Test } from 'tap'
import { readFileSync } from 'node:fs'
import { pattern } from '../support/bytes.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { HttpClient, chunked, get, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { FrameWire, wsClient, wsServer } from '../support/websocket.ts'
import { tlsConnect } from '../support/tls-peers.ts'

/** One for all tests: openssl takes longer than they do. */
const ca = authority(root)
const app = ca.issue('app')
root.setTimeout(120_000)

function tlsGate(t: Test, upstream: { port: number }, keys = ''): Promise<Gate> {
  return startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${app.cert}", key: "${app.key}" } ${keys}`,
  ])
}

test('requests over TLS share a connection, and the upstream is told that they came by https', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t)
  const gate = await tlsGate(t, upstream)
  const client = new HttpClient(
    await tlsConnect(t, gate.port, { ca: ca.cert, options: { ALPNProtocols: ['spdy/3', 'http/1.1'] } }),
  )
  for (let nth = 0; nth < 3; nth++) t.equal((await client.get(get())).status, 200)
  const seen = await upstream.request(2)
  t.equal(seen.header('x-forwarded-proto'), 'https')
  client.wire.end()
  t.match(await gate.end(), { reason: 'eof', line: { protocol: 'http' } })
})

test('large bodies go both ways over TLS, whole', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const body = pattern(2_000_000, 5, 0)
  const upstream = await recordingUpstream(t, ({ body: sent }) =>
    Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${sent.length}\r\n\r\n`), sent]),
  )
  const gate = await tlsGate(t, upstream)
  const client = new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert }))
  const answer = await client.get(
    Buffer.concat([
      Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`),
      body,
    ]),
  )
  t.ok(answer.body.equals(body))
  t.equal(
    (
      await client.get(
        `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunked('one', 'two')}`,
      )
    ).body.toString(),
    'onetwo',
  )
})

test('ws over TLS echoes, and is closed properly', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await tlsGate(t, upstream)
  const client = await wsClient(t, `wss://127.0.0.1:${gate.port}`, { ca: readFileSync(ca.cert) })
  const message = pattern(900_000, 2, 0)
  void client.send(message)
  t.ok((await client.nextMessage()).data.equals(message))
  t.equal((await upstream.connection()).headers['x-forwarded-proto'], 'https')
  client.socket.close(4001, 'bye')
  t.same(await within(client.closed), { code: 4001, reason: 'bye' })
  t.match(await gate.end(), { reason: 'eof', line: { protocol: 'websocket' } })
})

test('a drain takes leave of a WebSocket over TLS with 1012', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await tlsGate(t, upstream)
  const client = await wsClient(t, `wss://127.0.0.1:${gate.port}`, { ca: readFileSync(ca.cert) })
  await gate.drain(2000)
  t.same(await within(client.closed), { code: 1012, reason: 'drain' })
})

test('an upgrade may follow a plain request on the same connection over TLS', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await wsServer(t)
  const gate = await tlsGate(t, upstream)
  const wire = await tlsConnect(t, gate.port, { ca: ca.cert })
  const client = new HttpClient(wire)
  t.equal((await client.get(get())).status, 426, 'what ws says of a plain request')
  void wire.write(upgradeRequest())
  t.match((await wire.readUntil('\r\n\r\n')).toString(), /^HTTP\/1\.1 101 /)
  const frames = new FrameWire(wire)
  await frames.sendFrame({ opcode: 1, payload: Buffer.from('hello'), mask: true })
  t.equal((await frames.nextFrame()).payload.toString(), 'hello')
  wire.raw.resetAndDestroy()
  t.match(await gate.end(), { reason: 'reset', side: 'client', line: { protocol: 'websocket' } })
})

test('an answer that is cut short is RST beneath the TLS of its client', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, async ({ wire }) => {
    await wire.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
    wire.reset()
  })
  const gate = await tlsGate(t, upstream)
  const wire = await tlsConnect(t, gate.port, { ca: ca.cert })
  void wire.write(get())
  t.match(await within(wire.closed), { kind: 'reset' })
  t.equal(wire.hasEnded, false)
  t.match((await gate.end()).side, 'upstream')
})

test('a client that stalls inside an answer over TLS is ended with write_timeout', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, async ({ wire }) => {
    await wire.write('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n')
    await wire.flood({ keepOpen: true })
  })
  const gate = await tlsGate(t, upstream, ', deadlines: { write: 200ms }')
  const wire = await tlsConnect(t, gate.port, { ca: ca.cert, unread: true, into: { write() {} } })
  void wire.write(get())
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client' })
  wire.resumeReading()
  await within(wire.closed)
})

test('a head that trickles over TLS misses the deadline that its accept began, however late its handshake was', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await tlsGate(t, upstream, ', deadlines: { handshake: 1200ms }')
  const watch = stopwatch(t)
  const wire = await tlsConnect(t, gate.port, { ca: ca.cert, lateMs: 800 })
  void wire.write('GET / HTTP/1.1\r\n')
  t.match((await within(wire.received)).toString(), /^HTTP\/1\.1 408 /)
  t.ok(
    watch.ms >= 1200 && watch.livedMs < 1900,
    `${watch.livedMs} of ${watch.ms} ms, and not 2000, which is 1200 from the handshake on`,
  )
  wire.end()
  t.match(await gate.end(), { reason: 'handshake_timeout' })
})

test('who speaks plain HTTP to the TLS port, or offers only what it does not speak, gets no answer in the clear', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await tlsGate(t, upstream, ', http: { versions: [http/1.1] }')
  await t.rejects(fetch(`http://127.0.0.1:${gate.port}/`))
  await t.rejects(tlsConnect(t, gate.port, { ca: ca.cert, options: { ALPNProtocols: ['h2'] } }), {
    code: /ALPN|NO_APPLICATION_PROTOCOL/,
  })
  await eventually(async () =>
    /rejected_total\{listener="l0",reason="protocol_error"\} 2/.test(await gate.metrics()),
  )
  t.equal(upstream.requests.length, 0)
})
