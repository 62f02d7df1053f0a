import { test } from 'tap'
import type { Test } from 'tap'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get, httpClient, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { rawClient, wsClient } from '../support/websocket.ts'
import { readSamples } from '../metrics/samples.ts'

const check = (type: string) =>
  `healthCheck: { type: ${type}, path: "/healthz", interval: 100ms, timeout: 1s, healthy: 2, unhealthy: 2 }`
const states = async (gate: Gate) => {
  const samples = readSamples(await gate.metrics())
  return ['unknown', 'healthy', 'unhealthy'].map((state) =>
    samples.get('sidegate_upstream_targets', { listener: 'l0', state }),
  )
}

/** The real http and ws as the service: `/healthz` answers as the test says, every other target waits for `release`. */
async function service(t: Test) {
  let status = 200
  const held: Array<() => void> = []
  const closes: number[] = []
  const server = createServer((request, response) => {
    if (request.url === '/healthz') response.writeHead(status).end()
    else held.push(() => response.end('done'))
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {}) // a check that gets a refusal may end with RST
    if (request.url === '/healthz' && status !== 200)
      return void socket.end('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n')
    sockets.handleUpgrade(request, socket, head, (client) => {
      if (request.url !== '/healthz') client.on('close', (code) => closes.push(code))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const client of sockets.clients) client.terminate()
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return {
    port: (server.address() as AddressInfo).port,
    held,
    closes,
    fail: () => (status = 500),
    recover: () => (status = 200),
  }
}

test('http and websocket: an address that fails its checks ends its connections with upstream_unhealthy, 1012 and after the answer', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const bad = await service(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${bad.port}"], ${check('http')} }`,
  ])
  const socket = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  const client = await httpClient(t, gate.port)
  void client.send(get('/held'))
  await eventually(() => bad.held.length === 1)
  await eventually(async () => (await states(gate))[1] === 1)
  bad.fail()
  t.same(await within(socket.closed), { code: 1012, reason: 'upstream_unhealthy' })
  await eventually(() => bad.closes.length === 1)
  t.same(bad.closes, [1001], 'the upstream is told that its client goes away')
  t.match(await gate.end(), {
    reason: 'upstream_unhealthy',
    side: 'upstream',
    detail: /failed its health checks/,
  })
  t.match(await (await httpClient(t, gate.port)).get(get('/')), { status: 503 }, 'no_upstream, at once')
  t.match(await gate.end(1), {
    reason: 'no_upstream',
    detail: 'no address is healthy (upstream.healthCheck)',
  })
  await eventually(() => gate.registry.size === 1)
  bad.held[0]!()
  t.match(await client.answer(), { status: 200, body: Buffer.from('done') })
  t.match(await gate.end(2), { reason: 'upstream_unhealthy' })
  bad.recover()
  await eventually(async () => (await states(gate))[1] === 1)
  await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  const samples = readSamples(await gate.metrics())
  t.ok(samples.get('sidegate_upstream_health_checks_total', { listener: 'l0', result: 'failed' })! >= 2)
  t.ok(samples.get('sidegate_upstream_health_checks_total', { listener: 'l0', result: 'passed' })! >= 3)
})

test('tcp: with another address that is well, an unhealthy one gets no connection, and its own end with upstream_unhealthy', async (t) => {
  watchLeaks(t)
  const [dying, well] = [await echo(t), await echo(t)]
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${dying.port}", "127.0.0.1:${well.port}"], ${check('tcp').replace('path: "/healthz", ', '')} }`,
  ])
  const [one, other] = [await connect(t, gate.port), await connect(t, gate.port)]
  for (const client of [one, other]) {
    await client.write('x')
    await client.read(1)
  }
  await eventually(async () => (await states(gate))[1] === 2)
  dying.stopAccepting()
  const end = await gate.end()
  t.match(end, {
    reason: 'upstream_unhealthy',
    side: 'upstream',
    phase: 'relay',
    line: { upstream: `127.0.0.1:${dying.port}` },
  })
  t.same(await states(gate), [0, 1, 1])
  for (let nth = 0; nth < 4; nth++) {
    const next = await connect(t, gate.port)
    await next.write('y')
    t.equal((await next.read(1)).toString(), 'y')
  }
  t.ok(
    [...gate.registry].every(({ upstreamAddress }) => upstreamAddress === `127.0.0.1:${well.port}`),
    'those of the other one go on',
  )
  t.equal(gate.registry.size, 5)
})

test('websocket checks: a real one passes, a service that declines the upgrade is not well; failures that are not in a row end nothing', async (t) => {
  watchLeaks(t)
  const flapping = await service(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${flapping.port}"], ${check('websocket')} }`,
  ])
  const counts = async () => {
    const samples = readSamples(await gate.metrics())
    return ['passed', 'failed'].map((result) =>
      samples.get('sidegate_upstream_health_checks_total', { listener: 'l0', result })!,
    )
  }
  const socket = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  for (let round = 0; round < 3; round++) {
    const [passed, failed] = await counts()
    await eventually(async () => (await counts())[0]! > passed!)
    flapping.fail()
    await eventually(async () => (await counts())[1]! > failed!)
    flapping.recover()
  }
  t.equal(socket.socket.readyState, 1)
  t.same(await states(gate), [0, 1, 0])
  flapping.fail()
  t.match(await within(socket.closed), { code: 1012 })
})

test('nothing waits for the first check: an address is used at once, and a gate starts without its upstream', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: { addresses: ["127.0.0.1:${upstream.port}"], healthCheck: { type: tcp, interval: 1h } }`,
    ],
    { random: () => 0.999 },
  )
  t.same(await states(gate), [1, 0, 0])
  const client = await connect(t, gate.port)
  await client.write('x')
  t.equal((await client.read(1)).toString(), 'x')
})

test('no_upstream comes at once where every address is unhealthy, to a WebSocket client as 503', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  upstream.stopAccepting()
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${upstream.port}"], queueTimeout: 1h, ${check('http')} }`,
  ])
  await eventually(async () => (await states(gate))[2] === 1)
  t.match(await (await rawClient(t, gate.port, { handshake: false })).handshake(), {
    line: /^HTTP\/1\.1 503 /,
  })
  t.match(await gate.end(), { reason: 'no_upstream' })
})

test('a service with a list of hosts that it answers to is well once it is asked by one of them, and says why it was not', async (t) => {
  watchLeaks(t)
  const server = createServer(({ headers }, response) => {
    if (headers.host === 'app.example') response.writeHead(204).end()
    else response.writeHead(400).end(`Invalid host ${headers.host}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const { port } = server.address() as AddressInfo
  const of = (more: string) =>
    `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], healthCheck: { type: http, interval: 100ms, healthy: 1, unhealthy: 1${more} } }`
  const gate = await startGate(t, [of(''), of(', host: app.example, status: [204]')])
  const view = async (nth: number) =>
    (
      (await (await fetch(`http://127.0.0.1:${gate.adminPort}/upstreams`)).json()) as Array<{
        targets: unknown[]
      }>
    )[nth]!.targets[0]
  await eventually(async () => (await states(gate))[2] === 1)
  t.match(await view(0), {
    state: 'unhealthy',
    lastCheck: {
      problem: `status 400 Bad Request: Invalid host 127.0.0.1:${port}`,
      answered: '400 Bad Request',
    },
  })
  await eventually(async () => ((await view(1)) as { state: string }).state === 'healthy')
  t.match(await view(1), { lastCheck: { problem: null, answered: '204 No Content' } })
})
