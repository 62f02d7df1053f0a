import { test } from 'tap'
import { rmSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, listen } from '../support/peers.ts'
import { freePort } from '../support/free-port.ts'
import { temporary } from '../support/tools.ts'
import { forEachTransport, openLine, transports } from '../support/transports.ts'
import { readSamples } from '../metrics/samples.ts'

const failures = async (gate: Gate, reason = 'connect_refused'): Promise<number> =>
  readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', { reason }) ?? 0

test('a conversation that begins while its service restarts finds it, whole, as if nothing had been', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client, service } = await openLine(t, transport, '', {
      late: (gate) => eventually(async () => (await failures(gate)) >= 2),
    })
    await client.send(100_000)
    await service.send(100_000)
    await eventually(() => client.got.bytes === 100_001 && service.got.bytes === 100_001)
    t.equal(gate.lines.length, 0)
    client.reset()
    service.reset()
  }))

test('http: a request with a body is tried again, the body whole and sent once, whatever its method and framing', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const body = 'x'.repeat(300_000)
  for (const framed of [
    `Content-Length: ${body.length}\r\n\r\n${body}`,
    `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  ]) {
    const port = freePort()
    const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${port}"`])
    const client = await httpClient(t, gate.port)
    void client.send(`POST /a HTTP/1.1\r\nHost: a\r\n${framed}`)
    await eventually(async () => (await failures(gate)) >= 2)
    const upstream = await recordingUpstream(t, undefined, port)
    t.match(await client.answer(), { status: 200 })
    t.same(
      [(await upstream.request()).body.length, upstream.requests.length, upstream.problems],
      [body.length, 1, []],
    )
    t.match(await client.get(get('/b')), { status: 200 })
  }
})

test('a service that stays away ends its clients with what it said, within upstream.retryFor and not at the first word', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const port = freePort()
  const gate = await startGate(
    t,
    ['tcp', 'http'].map(
      (protocol) => `protocol: ${protocol}, upstream: { addresses: ["127.0.0.1:${port}"], retryFor: 1s }`,
    ),
  )
  const client = await connect(t, gate.port)
  t.equal((await within(client.closed)).kind, 'reset')
  t.match(await gate.end(), {
    reason: 'connect_refused',
    side: 'upstream',
    phase: 'connect',
    detail: 'ECONNREFUSED',
  })
  const tries = await failures(gate)
  t.ok(tries >= 2 && tries <= 4, `${tries}: at once, after 250 ms and 750, and when the time is up`)
  t.match(await (await httpClient(t, gate.ports[1]!)).get(get('/')), { status: 502 })
  t.match(await gate.end(1), { reason: 'connect_refused' })
  t.ok((await failures(gate)) >= tries + 2)
})

test('retryFor off: a client is told at once', async (t) => {
  watchLeaks(t)
  const port = freePort()
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${port}"], retryFor: off }`,
  ])
  const client = await connect(t, gate.port)
  await within(client.closed)
  t.match(await gate.end(), { reason: 'connect_refused' })
  t.equal(await failures(gate), 1)
})

test('a service on a unix socket that is not there yet is waited for', async (t) => {
  watchLeaks(t)
  const path = join(temporary(t), 'service')
  const gate = await startGate(t, [`protocol: tcp, upstream: "unix:${path}"`])
  const client = await connect(t, gate.port)
  await client.write('early')
  await eventually(async () => (await failures(gate, 'connect_failed')) >= 1)
  const server = net.createServer((socket) => socket.pipe(socket))
  server.listen(path)
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  t.equal((await client.read(5)).toString(), 'early')
  client.reset()
  rmSync(path, { force: true })
})

test('a service whose TLS is not ready, and which resets, is tried again', async (t) => {
  watchLeaks(t)
  const resetting = await listen(t, (wire) => wire.reset())
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${resetting.port}"], retryFor: 1s, tls: {} }`,
  ])
  const client = await connect(t, gate.port)
  await within(client.closed)
  t.match(await gate.end(), { reason: 'connect_failed', detail: 'ECONNRESET' })
  t.ok(resetting.connections.length >= 2)
})

test('a client that leaves takes the next try of its dial along, on every protocol', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const port = freePort()
  const upstream = `upstream: "127.0.0.1:${port}", deadlines: { connect: 20s }`
  const gate = await startGate(t, [`protocol: tcp, ${upstream}`, `protocol: http, ${upstream}`])
  const upgrade =
    'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
  for (const [nth, [listener, bytes]] of (
    [
      [0, 'early'],
      [1, upgrade],
      [1, get('/')],
      [1, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab'],
    ] as const
  ).entries()) {
    const client = await connect(t, gate.ports[listener]!)
    const before = await failures(gate)
    await client.write(bytes)
    await eventually(async () => (await failures(gate)) >= before + 2)
    const [connection] = gate.registry
    t.match(connection!.owner!.describe!(), {
      waitsFor: 'the upstream to accept again (ECONNREFUSED)',
      next: { key: 'upstream.retryFor', reason: 'connect_refused' },
    })
    client.reset()
    t.match(await gate.end(nth), { side: 'client' })
    await eventually(() => gate.registry.size === 0)
  }
  const after = await failures(gate)
  const service = await echo(t)
  await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${service.port}"`])
  t.equal(await failures(gate), after)
})

test('a drain does not wait for a service that is tried again, and a reload that takes its listener out ends it with reloaded', async (t) => {
  watchLeaks(t)
  const port = freePort()
  const other = await echo(t)
  const waiting = `protocol: tcp, upstream: "127.0.0.1:${port}", deadlines: { connect: 20s }`
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${other.port}"`, waiting],
    {},
    'drain: { minDuration: off, spread: off, timeout: 10s }',
  )
  const [one, two] = [await connect(t, gate.ports[1]!), await connect(t, gate.ports[1]!)]
  await eventually(async () => (await failures(gate)) >= 2)
  t.match(
    await gate.reload(
      [`protocol: tcp, upstream: "127.0.0.1:${other.port}"`],
      'drain: { minDuration: off, spread: off, timeout: 10s }',
    ),
    { result: 'success' },
  )
  t.match(await gate.end(1), { reason: 'reloaded' })
  await Promise.all([one.closed, two.closed])
  const again = await startGate(t, [waiting])
  const late = await connect(t, again.port)
  await eventually(async () => (await failures(again)) >= 2)
  await again.drain(10_000)
  t.match(await again.end(), { reason: 'drain' })
  await within(late.closed)
})

test('over maxConnections: whoever is between two tries holds no place, and waits for one when its turn comes', async (t) => {
  watchLeaks(t)
  const port = freePort()
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${port}"], maxConnections: 1, queueTimeout: 30s }, deadlines: { connect: 20s }`,
  ])
  const clients = [await connect(t, gate.port), await connect(t, gate.port), await connect(t, gate.port)]
  for (const client of clients) await client.write('x')
  await eventually(async () => (await failures(gate)) >= 4)
  const service = await listen(
    t,
    (wire) => void wire.socket.on('data', (chunk: Buffer) => void wire.write(chunk)),
    {},
    { host: '127.0.0.1', port },
  )
  for (let nth = 0; nth < 3; nth++) {
    const served = await eventually(() => clients.find(({ bytes }) => bytes === 1))
    t.equal(service.connections.length, nth + 1)
    clients.splice(clients.indexOf(served), 1)
    served.reset()
  }
})

test('with health checks: a service that is found unhealthy meanwhile is not waited for', async (t) => {
  watchLeaks(t)
  const port = freePort()
  const check = 'healthCheck: { type: tcp, interval: 100ms, timeout: 1s, healthy: 1, unhealthy: 2 }'
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${port}"], ${check} }, deadlines: { connect: 20s }`,
  ])
  const client = await connect(t, gate.port)
  await within(client.closed)
  t.match(await gate.end(), { reason: 'connect_refused' })
})
