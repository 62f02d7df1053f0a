import net from 'node:net'
import { once } from 'node:events'
import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, isSettled, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, isServed } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { Wire } from '../support/wire.ts'

const tcpGate = async (t: Test, limits: string) => {
  const upstream = await echo(t)
  return startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { ${limits} }`], {
    clock: stillClock(),
  })
}

/** From another address of the loopback network: another client. */
async function connectFrom(t: Test, localAddress: string, port: number): Promise<Wire> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress })
  t.teardown(() => {
    socket.destroy()
    return socket.closed ? null : new Promise((resolve) => socket.once('close', resolve))
  })
  const wire = new Wire(socket)
  await Promise.race([once(socket, 'connect').catch(() => null), wire.closed])
  return wire
}

test('one client beyond limits.connectionsPerClient is too_many, another is served, and a place comes back', async (t) => {
  watchLeaks(t)
  const gate = await tcpGate(t, 'connectionsPerClient: 2, connections: 3')
  const clients = [await connectFrom(t, '127.0.0.1', gate.port), await connectFrom(t, '127.0.0.1', gate.port)]
  for (const client of clients) t.ok(await isServed(client))
  for (let i = 0; i < 3; i++)
    t.notOk(await isServed(await connectFrom(t, '127.0.0.1', gate.port)), 'and takes no place')
  t.ok(await isServed(await connectFrom(t, '127.0.0.2', gate.port)))
  const samples = readSamples(await gate.metrics())
  t.equal(samples.get('sidegate_connections_rejected_total', { listener: 'l0', reason: 'too_many' }), 3)
  t.equal(
    samples.get('sidegate_rate_limited_total', {
      listener: 'l0',
      limit: 'connectionsPerClient',
      action: 'close',
    }),
    3,
  )
  clients[0]!.end()
  await gate.end()
  t.ok(await isServed(await connectFrom(t, '127.0.0.1', gate.port)))
})

test('an HTTP client beyond limits.connectionsPerClient gets a 503 with Retry-After', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { connectionsPerClient: 1 }`,
  ])
  const inside = await httpClient(t, gate.port)
  t.equal((await inside.get(get('/'))).status, 200)
  const answer = parseAnswer((await requestRaw(t, gate.port, get('/'))).bytes)
  t.equal(answer.status, 503)
  t.match(answer.body.toString(), /^too_many: limits.connectionsPerClient/)
  t.match(answer.header('retry-after'), /^[1-5]$/)
})

test('each client has its own rate of new connections where it is per client', async (t) => {
  watchLeaks(t)
  const gate = await tcpGate(t, 'newConnections: { rate: 1, burst: 2, per: client, onExceed: close }')
  for (const address of ['127.0.0.1', '127.0.0.2']) {
    for (const isIn of [true, true, false])
      t.equal(await isServed(await connectFrom(t, address, gate.port)), isIn, address)
  }
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', {
      listener: 'l0',
      reason: 'rate_limited',
    }),
    2,
  )
})

test('a client does not get its burst again by coming back', async (t) => {
  watchLeaks(t)
  const gate = await tcpGate(t, 'bytes: { rate: 1KiB, burst: 64KiB, per: client, onExceed: close }')
  const first = await connectFrom(t, '127.0.0.1', gate.port)
  void first.write(Buffer.alloc(60_000))
  await first.read(60_000)
  first.end()
  await gate.end()
  const second = await connectFrom(t, '127.0.0.1', gate.port)
  await second.write(Buffer.alloc(10_000))
  t.match(await gate.end(1), { reason: 'rate_limited', side: 'client' })
  const other = await connectFrom(t, '127.0.0.2', gate.port)
  void other.write(Buffer.alloc(60_000))
  t.equal((await other.read(60_000)).length, 60_000)
})

test('connectionsPerClient that is observed, and connections too, let in and count', async (t) => {
  watchLeaks(t)
  const gate = await tcpGate(t, 'mode: observe, connectionsPerClient: 1, connections: 2')
  for (let i = 0; i < 4; i++) t.ok(await isServed(await connectFrom(t, '127.0.0.1', gate.port)))
  const samples = await eventually(
    async () => {
      const found = readSamples(await gate.metrics())
      return found.get('sidegate_observed_total', { listener: 'l0', limit: 'connectionsPerClient' }) === 3
        ? found
        : null
    },
    { what: 'the verdict on three' },
  )
  t.equal(samples.get('sidegate_observed_total', { listener: 'l0', limit: 'connections' }), 2)
  t.equal(samples.sum('sidegate_connections_rejected_total', {}), 0)
})

test('a storm of refused connections leaves the pairs that are there alone', async (t) => {
  watchLeaks(t)
  const gate = await tcpGate(t, 'newConnections: { rate: 1, burst: 1, onExceed: close }')
  const inside = await connect(t, gate.port)
  t.ok(await isServed(inside))
  let slowest = 0
  const storm = Array.from({ length: 20 }, async () => {
    for (let i = 0; i < 10; i++) {
      const socket = net.connect({ port: gate.port, host: '127.0.0.1' })
      await new Promise((resolve) =>
        socket
          .once('error', resolve)
          .once('connect', () => socket.resume().end())
          .once('close', resolve),
      )
      socket.destroy()
    }
  })
  const over = Promise.all(storm)
  const watch = stopwatch(t)
  while (!(await isSettled(over))) {
    const asked = watch.livedMs
    if (!(await isServed(inside))) throw new Error('a pair that was there is gone')
    slowest = Math.max(slowest, watch.livedMs - asked)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', {
      listener: 'l0',
      reason: 'rate_limited',
    }),
    200,
  )
  t.ok(slowest < 2000, `${slowest.toFixed(0)} ms for the slowest echo`)
  inside.end()
  await within(inside.closed)
})
