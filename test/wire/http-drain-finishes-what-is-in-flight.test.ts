import { test } from 'tap'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, HttpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'
import { tlsConnect } from '../support/tls-peers.ts'

test('a drain closes idle connections at once and lets the answer in flight finish with Connection: close', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  let finish: (() => void) | null = null
  const upstream = await recordingUpstream(t, ({ target }) =>
    target === '/slow' ? new Promise<string>((resolve) => (finish = () => resolve(OK))) : OK,
  )
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const idle = await httpClient(t, gate.port)
  t.equal((await idle.get(get())).status, 200)
  const busy = await httpClient(t, gate.port)
  await busy.send(get('/slow'))
  await upstream.request(1)
  const drained = gate.drain(5000)
  await idle.wire.ended
  t.equal(idle.wire.unread, 0)
  idle.wire.end()
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate' })
  await eventually(() => finish !== null)
  finish!()
  const answer = await busy.answer()
  t.same([answer.status, answer.header('connection'), answer.body.toString()], [200, 'close', 'ok'])
  await busy.wire.ended
  busy.wire.end()
  await drained
  t.match(await gate.end(1), { reason: 'drain', side: 'sidegate' })
  t.equal(gate.registry.size, 0)
})

test('a drain is bounded: an answer that never ends is reset', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(
    t,
    () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n',
  )
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  await client.send(get())
  await client.wire.readUntil('x')
  await gate.drain(150)
  t.match(await gate.end(), { reason: 'drain_timeout', side: 'sidegate' })
  t.equal((await client.wire.closed).kind, 'reset')
})

test('an upload over its rate that is answered in a drain is not counted as cut', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, ({ target }) => (target === '/idle' ? OK : undefined))
  const clock = stillClock()
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { bytes: { rate: 64KiB, burst: 64KiB } }`,
    ],
    { clock },
  )
  const idle = await httpClient(t, gate.port)
  await idle.get(get('/idle'))
  const client = await httpClient(t, gate.port)
  // No token is left for the next head.
  await client.send(get('/', 'Content-Length: 64000\r\n', 'POST') + 'x'.repeat(64_000))
  const { wire } = await upstream.request(1)
  const drained = gate.drain(60_000)
  // The drain has begun.
  await idle.wire.ended
  idle.wire.end()
  await wire.write(OK)
  const answer = await client.answer()
  t.same([answer.status, answer.header('connection')], [200, 'close'])
  await client.wire.ended
  client.wire.end()
  t.match(await drained, { drained: 2, cut: 0 })
  t.notHas((await gate.end(1)).line, { cut: true })
})

test('last answers whose end is still queued when a drain closes behind it arrive whole, and are not counted as cut', async (t) => {
  watchLeaks(t)
  const ca = authority(t)
  const { cert, key } = ca.issue('server')
  const pieces = 40
  // TLS encrypts one write at a time: the later ones of a turn are queued.
  const answer = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`1000\r\n${'x'.repeat(4096)}\r\n`.repeat(pieces)}0\r\n\r\n`
  for (const isSecure of [false, true]) {
    const asked: Array<(answer: string) => void> = []
    const upstream = await recordingUpstream(t, () => new Promise<string>((resolve) => asked.push(resolve)))
    const tls = isSecure ? `, tls: { cert: "${cert}", key: "${key}" }` : ''
    const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"${tls}`])
    const come = async (): Promise<HttpClient> =>
      isSecure ? new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert })) : httpClient(t, gate.port)
    const clients = await Promise.all(Array.from({ length: 8 }, come))
    for (const client of clients) await client.send(get())
    await eventually(() => asked.length === clients.length)
    const { wire: idle } = await come()
    const drained = gate.drain(60_000)
    // The gate has heard of it.
    await idle.ended
    idle.end()
    for (const resolve of asked) resolve(answer)
    for (const client of clients) {
      const { header, body } = await client.answer()
      t.same([header('connection'), body.length], ['close', pieces * 4096])
      await client.wire.ended
      client.wire.end()
    }
    t.match(await drained, { cut: 0, forced: 0 }, isSecure ? 'TLS' : 'plain')
    t.equal(gate.lines.filter((line) => line['cut'] === true).length, 0)
  }
})
