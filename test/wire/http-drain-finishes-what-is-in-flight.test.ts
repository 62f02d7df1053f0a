import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'

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
