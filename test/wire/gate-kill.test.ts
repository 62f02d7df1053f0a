import { test } from 'tap'
import { ask } from '../admin/admin.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, flooder } from '../support/peers.ts'
import { wsClient, wsServer } from '../support/websocket.ts'

async function killOnly(gate: Gate): Promise<Record<string, unknown>> {
  const { status, body } = await within(ask(gate.adminPort, `/connections/${gate.open().id}`, {}, 'DELETE'))
  return { status, ...(JSON.parse(body) as object) }
}

test('a TCP connection that is killed is reset on both sides, and its line says killed', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  await client.write('hello')
  await client.read(5)
  t.match(await killOnly(gate), {
    status: 200,
    protocol: 'tcp',
    close: { reason: 'killed', side: 'sidegate', phase: 'relay' },
  })
  t.match(await within(client.closed), { kind: 'reset', code: 'ECONNRESET' })
  t.match(await within((await upstream.connection()).closed), { kind: 'reset', code: 'ECONNRESET' })
  t.match(await gate.end(), { reason: 'killed', side: 'sidegate', phase: 'relay', detail: 'by an operator' })
  t.match(await gate.metrics(), /sidegate_connections_closed_total\{[^}]*reason="killed"\} 1/)
})

test('a WebSocket that is killed tells both sides 1001 killed', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  t.match(await killOnly(gate), { status: 200, protocol: 'websocket', close: { reason: 'killed' } })
  t.same(await within(client.closed), { code: 1001, reason: 'killed' })
  t.same(await within((await upstream.connection()).closed), { code: 1001, reason: 'killed' })
  t.match(await gate.end(), { reason: 'killed', side: 'sidegate', phase: 'relay' })
})

test('a request that is killed before its answer began is told 503 killed', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, () => {})
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  await client.wire.write(get('/slow'))
  await upstream.request()
  t.match(await killOnly(gate), { status: 200, protocol: 'http' })
  await within(client.wire.closed)
  t.match((await client.wire.received).toString(), /^HTTP\/1\.1 503 [^]*killed/)
  t.match(await gate.end(), { reason: 'killed' })
})

test('one that hangs on a reader that stopped is gone at once when it is killed', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  await connect(t, gate.port, { unread: true })
  await eventually(() => gate.registry.size === 1)
  await heldBack(gate.open(), 'to_client')
  await killOnly(gate)
  t.match(await gate.end(), { reason: 'killed' })
  await eventually(() => gate.registry.size === 0)
})
