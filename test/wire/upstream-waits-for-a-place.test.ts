import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, mute } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { rawClient } from '../support/websocket.ts'
import { readSamples } from '../metrics/samples.ts'

const full = (port: number, queueTimeout: string) =>
  `upstream: { addresses: ["127.0.0.1:${port}"], maxConnections: 1, queueTimeout: ${queueTimeout} }`

test('over maxConnections a client waits, and is served in its turn, with what it sent meanwhile', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, ${full(upstream.port, '10s')}`])
  const first = await connect(t, gate.port)
  await first.write('1')
  await first.read(1)
  const second = await connect(t, gate.port)
  await second.write('second')
  await eventually(() => gate.registry.size === 2)
  const third = await connect(t, gate.port)
  await third.write('third')
  const queued = async () =>
    readSamples(await gate.metrics()).sum('sidegate_upstream_queued', { listener: 'l0' })
  await eventually(async () => (await queued()) === 2)
  t.equal(upstream.connections.length, 1)
  first.end()
  t.equal((await second.read(6)).toString(), 'second')
  t.equal(third.bytes, 0)
  second.end()
  t.equal((await third.read(5)).toString(), 'third')
  t.equal(await queued(), 0)
})

test('who gets no place within upstream.queueTimeout ends with no_upstream: RST, or 503', async (t) => {
  watchLeaks(t)
  const [upstream, busy] = [await echo(t), await mute(t)]
  const gate = await startGate(t, [
    `protocol: tcp, ${full(upstream.port, '150ms')}`,
    `protocol: http, ${full(busy.port, '150ms')}`,
  ])
  const first = await connect(t, gate.port)
  await first.write('1')
  await first.read(1)
  const watch = stopwatch(t)
  const late = await connect(t, gate.port)
  t.same(await within(late.closed), { kind: 'reset', code: 'ECONNRESET' })
  t.ok(watch.ms >= 140 && watch.livedMs < 1500, `${watch.livedMs} of ${watch.ms} ms`)
  t.match(await gate.end(), { reason: 'no_upstream', side: 'upstream', phase: 'connect' })
  await first.write('2')
  t.equal((await first.read(1)).toString(), '2', 'who has a place keeps it')

  const asking = await connect(t, gate.ports[1]!)
  void asking.write(get('/'))
  await busy.connection()
  t.match(await (await rawClient(t, gate.ports[1]!, { handshake: false })).handshake(), {
    line: /^HTTP\/1\.1 503 /,
  })
  t.match(await (await httpClient(t, gate.ports[1]!)).get(get('/')), { status: 503 })
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'no_upstream',
    }),
    3,
  )
})

test('a client that leaves while it waits takes its turn along', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, ${full(upstream.port, '10s')}`])
  const first = await connect(t, gate.port)
  await first.write('1')
  await first.read(1)
  const second = await connect(t, gate.port)
  await eventually(() => gate.registry.size === 2)
  const third = await connect(t, gate.port)
  await third.write('third')
  await eventually(() => gate.registry.size === 3)
  second.reset()
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
  first.end()
  t.equal((await third.read(5)).toString(), 'third')
  t.equal(upstream.connections.length, 2)
})

test('http: a place is taken for a request, not for its connection: one that idles holds up nobody', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const answers: Array<() => void> = []
  const upstream = await recordingUpstream(t, async ({ target }) => {
    if (target === '/slow') await new Promise<void>((resolve) => answers.push(resolve))
    return OK
  })
  const gate = await startGate(t, [`protocol: http, ${full(upstream.port, '10s')}`])
  const [one, other] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  t.match(await one.get(get('/')), { status: 200 })
  t.match(await other.get(get('/')), { status: 200 })
  void one.send(get('/slow'))
  await eventually(() => answers.length === 1)
  void other.send(`${get('/waits', 'Content-Length: 3\r\n', 'POST')}abc`)
  await eventually(
    async () => readSamples(await gate.metrics()).sum('sidegate_upstream_queued', { listener: 'l0' }) === 1,
  )
  t.equal(upstream.requests.length, 3)
  answers[0]!()
  t.match(await one.answer(), { status: 200 })
  t.match(await other.answer(), { status: 200 })
  t.equal((await upstream.request(3)).body.toString(), 'abc')
})

test('http: a client that leaves while its request waits is gone, and the request is not sent', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, () => undefined)
  const gate = await startGate(t, [`protocol: http, ${full(upstream.port, '10s')}`])
  const one = await httpClient(t, gate.port)
  void one.send(get('/one'))
  await upstream.request()
  const other = await httpClient(t, gate.port)
  void other.send(get('/other'))
  await eventually(
    async () => readSamples(await gate.metrics()).sum('sidegate_upstream_queued', { listener: 'l0' }) === 1,
  )
  other.wire.reset()
  t.match(await gate.end(), { side: 'client' })
  t.equal(readSamples(await gate.metrics()).sum('sidegate_upstream_queued', { listener: 'l0' }), 0)
  one.wire.reset()
  await gate.end(1)
  t.equal(upstream.requests.length, 1)
})
