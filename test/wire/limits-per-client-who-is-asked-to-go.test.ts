// A client with as many connections as it may have, which the gate asks to go on by another one, comes by that
// at once: its library opens the new one before it has closed the old one. It is not refused for that.

import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Answer, h2Ask, h2Connect } from '../support/h2-client.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import type { HttpClient } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { FrameWire, wsServer } from '../support/websocket.ts'

const LONG = { withinMs: 20_000 }
const ANN = 'X-Forwarded-For: 203.0.113.7\r\n'
const at = ({ port }: { port: number }, keys = '', protocol = 'http'): string[] => [
  `protocol: ${protocol}, upstream: "127.0.0.1:${port}", limits: { connectionsPerClient: 1 }${keys}`,
]
const CHANGED = ', access: { deny: [192.0.2.0/24] }'

async function statusOf(client: HttpClient, headers = ''): Promise<[status: number, isKept: boolean]> {
  const answer = await client.get(get('/', headers))
  return [answer.status, answer.header('connection') === 'keep-alive']
}

for (const workers of [1, 2])
  test(`a client that its answer asks to go comes back at once, and once more it does not; ${workers} workers`, async (t) => {
    watchLeaks(t, LONG)
    const upstream = await recordingUpstream(t)
    const gate = await startGate(t, at(upstream), { workers })
    const old = await httpClient(t, gate.port)
    t.same(await statusOf(old), [200, true])
    t.match(await gate.reload(at(upstream, CHANGED)), { result: 'success' })
    t.same(await statusOf(old), [200, false])
    const fresh = await httpClient(t, gate.port)
    t.same(await statusOf(fresh), [200, true])
    t.equal((await (await httpClient(t, gate.port)).get(get())).status, 503, 'its place is taken')
    old.wire.end()
    await gate.end()
    t.equal((await (await httpClient(t, gate.port)).get(get())).status, 503, 'and was given back once')
    fresh.wire.end()
  })

test('so it may while the answer that asks it to go has not come to its end', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, ({ target }) => (target === '/slow' ? undefined : OK))
  const gate = await startGate(t, at(upstream))
  const old = await httpClient(t, gate.port)
  t.same(await statusOf(old), [200, true])
  t.match(await gate.reload(at(upstream, CHANGED)), { result: 'success' })
  void old.send(get('/slow'))
  const asked = await upstream.request(1)
  t.equal((await (await httpClient(t, gate.port)).get(get())).status, 503, 'nobody has asked it yet')
  await asked.wire.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbef')
  t.match((await old.wire.readUntil('\r\n\r\n')).toString(), /Connection: close/i)
  const fresh = await httpClient(t, gate.port)
  t.same(await statusOf(fresh), [200, true])
  await asked.wire.write('ore')
  t.equal((await old.wire.read(6)).toString(), 'before')
  for (const { wire } of [old, fresh]) wire.end()
})

test('clients that an ingress names, too', async (t) => {
  watchLeaks(t)
  const trusted = ', http: { trustForwarded: [127.0.0.1] }'
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, at(upstream, trusted))
  const [old, fresh] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  t.same(await statusOf(old, ANN), [200, true])
  t.match(await gate.reload(at(upstream, trusted + CHANGED)), { result: 'success' })
  t.same(await statusOf(old, ANN), [200, false])
  t.same(await statusOf(fresh, ANN), [200, false])
  t.same(await statusOf(await httpClient(t, gate.port), ANN), [200, true])
})

test('a client of HTTP/2 comes back while its streams go on on the connection that it was asked to leave', async (t) => {
  watchLeaks(t)
  const h2c = ', http: { h2c: on }'
  const upstream = await recordingUpstream(t, ({ target }) => (target === '/held' ? undefined : OK))
  const gate = await startGate(t, at(upstream, h2c))
  const old = await h2Connect(t, gate.port)
  let isAsked = false
  old.on('goaway', () => (isAsked = true))
  const held = h2Answer(old.request({ ':path': '/held' }))
  const asked = await upstream.request(0)
  t.match(await gate.reload(at(upstream, h2c + CHANGED)), { result: 'success' })
  t.match(await h2Ask(old), { status: 200 })
  await eventually(() => isAsked, LONG)
  const fresh = await h2Connect(t, gate.port)
  t.match(await h2Ask(fresh), { status: 200 })
  t.equal((await (await httpClient(t, gate.port)).get(get())).status, 503)
  await asked.wire.write(OK)
  t.match(await held, { status: 200, body: 'ok' })
  fresh.close()
})

test('in a drain that still accepts', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, at(upstream))
  const old = await httpClient(t, gate.port)
  t.same(await statusOf(old), [200, true])
  const drained = gate.operator.drain('admin', { minDurationMs: 60_000, timeoutMs: 120_000 })
  t.same(await statusOf(old), [200, false])
  t.same(await statusOf(await httpClient(t, gate.port)), [200, false])
  t.ok(gate.operator.undrain())
  await drained
})

const LIFETIME = ', deadlines: { lifetime: 300ms, close: 20s }'

async function webSocket(t: Test, port: number): Promise<FrameWire | null> {
  const client = await httpClient(t, port)
  return (await client.get(upgradeRequest())).status === 101 ? new FrameWire(client.wire) : null
}

test('a WebSocket at its lifetime, before its client has answered the Close frame', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, at(await wsServer(t), LIFETIME))
  const old = await webSocket(t, gate.port)
  t.equal(await webSocket(t, gate.port), null)
  t.match(await old!.nextFrame(), { opcode: 'close' })
  const fresh = await webSocket(t, gate.port)
  t.not(fresh, null)
  for (const client of [old, fresh]) client?.wire.reset()
})

test('a tcp client at its lifetime, before it has ended its half', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, at(await echo(t), LIFETIME, 'tcp'))
  const old = await connect(t, gate.port)
  await old.write('a')
  t.equal((await old.read(1)).toString(), 'a')
  t.equal(await old.ended, true)
  const fresh = await connect(t, gate.port)
  await fresh.write('b')
  t.equal((await fresh.read(1)).toString(), 'b')
  for (const client of [old, fresh]) client.reset()
})
