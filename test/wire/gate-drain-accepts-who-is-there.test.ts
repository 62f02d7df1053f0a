// Clients that have come by the end of `drain.minDuration` and are not served yet: the kernel has completed their
// connection and they wait for their accept, one in a turn of the event loop; or they are in the middle of their
// handshake. Where the listener closes, HAProxy and nginx serve both, and so does a gate.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import net from 'node:net'
import { connect as connectTls } from 'node:tls'
import { test } from 'tap'
import type { Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { someServer } from '../support/certificates.ts'
import { eventually, isSettled, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask } from '../support/h2-client.ts'
import { get, HttpClient, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import type { Wire } from '../support/wire.ts'

const CLIENTS = 40
const times = { minDurationMs: 0, spreadMs: 20_000, timeoutMs: 60_000 }
/** Connections are asked to go at the end of the spread: each has asked for its answer by then. No time passes for the accepts. */
const late = { random: () => 0.999 }
const { ca, cert, key } = someServer()
const tls = `, tls: { cert: "${cert}", key: "${key}" }`
const proxied = ', proxyProtocol: { accept: v1, trusted: [127.0.0.1] }'
const HEADER = 'PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n'

const secure = async (t: Test, port: number): Promise<HttpClient> =>
  new HttpClient(await tlsConnect(t, port, { ca }))

const introduced = async (t: Test, port: number): Promise<HttpClient> => {
  const client = await httpClient(t, port)
  await client.send(HEADER)
  return client
}

for (const [how, keys, open] of [
  ['in the clear', '', httpClient],
  ['over TLS', tls, secure],
  ['behind a proxy', proxied, introduced],
] as const)
  test(`clients that wait for their accept when a drain closes the listeners are served, ${how}`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t)
    const gate = await startGate(
      t,
      [`protocol: http, upstream: "127.0.0.1:${upstream.port}"${keys}, deadlines: { handshake: 30s }`],
      { ...late, clock: stillClock() },
    )
    const coming = Array.from({ length: CLIENTS }, () => open(t, gate.port))
    // The kernel completes them in this turn; the gate has accepted none.
    await new Promise<void>((resolve) => process.nextTick(resolve))
    const drained = gate.operator.drain('admin', times)
    const clients = await within(Promise.all(coming), { withinMs: 20_000 })
    const answers = await within(Promise.all(clients.map((client) => client.get(get()))), {
      withinMs: 10_000,
    })
    for (const { status, header } of answers) t.same([status, header('connection')], [200, 'close'])
    for (const { wire } of clients) {
      await wire.ended
      wire.end()
    }
    t.match(await drained, { cut: 0, forced: 0 })
    await t.rejects(connect(t, gate.port), { code: 'ECONNREFUSED' })
  })

const pending = async (gate: Gate): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_connections_pending', { listener: 'l0' })

/** Its port is closed. */
const closed = async (t: Test, { port }: Gate): Promise<void> => {
  await eventually(() =>
    connect(t, port).then(
      (wire) => (wire.destroy(), false),
      () => true,
    ),
  )
}

/** Its first bytes are there, and its handshake is not. */
async function begun(t: Test, gate: Gate, head: string): Promise<Wire> {
  const wire = await connect(t, gate.port, { halfOpen: true })
  await wire.write(head)
  return wire
}

for (const tcp of ['wait', 'spread'] as const)
  test(`who is inside its handshake then is served, and asked to go with the others: tcp ${tcp}`, async (t) => {
    watchLeaks(t)
    const upstream = await echo(t)
    const gate = await startGate(
      t,
      [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"${proxied}`],
      {},
      `drain: { minDuration: off, spread: 1500ms, timeout: 4s, tcp: ${tcp} }`,
    )
    const client = await begun(t, gate, HEADER.slice(0, 20))
    await eventually(async () => (await pending(gate)) === 1)
    const drained = gate.operator.drain('admin')
    await closed(t, gate)
    t.equal(await isSettled(drained), false, 'it waits for a client that is about to be served')
    await client.write(`${HEADER.slice(20)}hello`)
    t.equal((await client.read(5)).toString(), 'hello')
    t.equal(await within(client.ended, { withinMs: 10_000 }), true, 'FIN, before the timeout')
    client.end()
    t.match(await drained, { drained: 1, forced: 0, cut: 0 })
  })

test('a handshake that is not done at drain.timeout is refused, and the drain is over', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"${tls}`])
  const client = await begun(t, gate, '\x16\x03\x01')
  await eventually(async () => (await pending(gate)) === 1)
  const drained = gate.operator.drain('admin', { minDurationMs: 0, spreadMs: 0, timeoutMs: 700 })
  await closed(t, gate)
  t.equal(client.outcome, null)
  t.match(await within(client.closed), { kind: 'reset' })
  t.match(await drained, { drained: 0, forced: 0 })
})

test('one that fails ends the drain', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"${tls}`])
  const client = await begun(t, gate, '\x16\x03\x01')
  await eventually(async () => (await pending(gate)) === 1)
  const drained = gate.operator.drain('admin', times)
  await closed(t, gate)
  client.reset()
  t.match(await within(drained), { drained: 0, forced: 0 })
})

test('a client of HTTP/2 that is inside its TLS handshake then is served: GOAWAY comes behind SETTINGS', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"${tls}`])
  const socket = net.connect(gate.port, '127.0.0.1')
  await eventually(async () => (await pending(gate)) === 1)
  // Whoever is admitted is asked to go in the same turn.
  const drained = gate.operator.drain('admin', { minDurationMs: 0, spreadMs: 0, timeoutMs: 20_000 })
  await closed(t, gate)
  const session = http2.connect('https://localhost', {
    createConnection: () =>
      connectTls({ socket, ca: readFileSync(ca), servername: 'localhost', ALPNProtocols: ['h2'] }),
  })
  const goaways: number[] = []
  session.on('goaway', (code) => void goaways.push(code))
  session.on('error', (error) => t.fail(error.message))
  t.equal((await within(h2Ask(session))).status, 200)
  await within(once(session, 'close'))
  t.ok(goaways.length > 0 && goaways.every((code) => code === 0), String(goaways))
  t.match(await drained, { drained: 1, forced: 0, cut: 0 })
})
