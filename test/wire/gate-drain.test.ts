import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { heldBack } from '../support/held-back.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, listen, neverCloses, refuser } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import { stopwatch } from '../support/stopwatch.ts'
import type { Wire } from '../support/wire.ts'

/** A socket that has seen FIN notices the RST only when it writes. */
async function isReset(t: Test, client: Wire): Promise<void> {
  await eventually(() => client.outcome !== null || (void client.write('?'), false))
  t.match(client.outcome, { kind: 'reset' })
}

const FIN = { kind: 'fin', code: null }
const RESET = { kind: 'reset', code: 'ECONNRESET' }

test('a drain refuses new connections, flushes idle pairs with FIN, says so to the probes, and leaves nothing', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`,
    `protocol: http, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  const clients = await Promise.all([1, 2, 3].map(() => connect(t, gate.port)))
  for (const client of clients) {
    await client.write('hello')
    await client.read(5)
  }
  const readiness = async (): Promise<number> =>
    parseAnswer(
      (await requestRaw(t, gate.healthPort, 'GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'))
        .bytes,
    ).status
  t.equal(await readiness(), 200)
  await within(gate.drain(5000))
  for (const client of clients) t.same(await within(client.closed), FIN)
  for (const { closed } of upstream.connections) t.same(await within(closed), FIN)
  t.equal(gate.registry.size, 0)
  t.same(
    gate.lines.map((line) => line['close']),
    ['drain', 'drain', 'drain'],
  )
  for (const port of gate.ports) await t.rejects(connect(t, port), { code: 'ECONNREFUSED' })
  t.equal(await readiness(), 503)
  t.equal(readSamples(await gate.metrics()).get('sidegate_draining'), 1)
})

test('what waits for a slow reader when a drain begins is still delivered', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => {
    void wire.flood()
    void wire.ended.then(() => wire.destroy())
  })
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 1s }`
  const gate = await startGate(t, [listener], {}, 'drain: { tcp: spread }')
  const client = await connect(t, gate.port, { unread: true, into: { write: () => {} } })
  const connection = await eventually(() => gate.registry.get(1))
  await heldBack(connection, 'to_client')
  const owed = connection.toClient.received
  const drained = gate.drain(20_000)
  client.resumeReading()
  await within(client.ended)
  await within(drained, { withinMs: 20_000 })
  t.ok(client.bytes >= owed)
  t.equal(client.bytes, connection.toClient.sent, 'all that was accepted')
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate', phase: 'relay' })
})

test('peers that do not go are reset after deadlines.close, and that ends the drain', async (t) => {
  watchLeaks(t)
  const upstream = await neverCloses(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 200ms }`,
  ])
  const client = await connect(t, gate.port, { halfOpen: true })
  await eventually(() => gate.registry.size === 1 && gate.open().phase === 'relay')
  const watch = stopwatch(t)
  await within(gate.drain(20_000))
  t.ok(watch.livedMs < 15_000, `${watch.livedMs} of ${watch.ms} ms: not the end of the grace period`)
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate' })
  await isReset(t, client)
})

test('when the grace period of a drain is over, peers that do not go are reset', async (t) => {
  watchLeaks(t)
  const upstream = await neverCloses(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 3s }`,
  ])
  const client = await connect(t, gate.port, { halfOpen: true })
  await eventually(() => gate.registry.size === 1 && gate.open().phase === 'relay')
  await within(gate.drain(200))
  t.equal(gate.registry.size, 0, 'none is left')
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate' }, 'the first cause stays')
  await isReset(t, client)
})

test('a drain resets a client whose upstream is still dialled', async (t) => {
  watchLeaks(t)
  const upstream = await backlogFull(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 20s }`,
  ])
  const client = await connect(t, gate.port)
  await eventually(() => gate.open().phase === 'connect')
  await within(gate.drain(5000))
  t.same(await within(client.closed), RESET)
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate', phase: 'connect' })
})

test('a drain of an empty gate is over at once, and a second one does nothing', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${refuser(t).port}"], retryFor: off }`,
  ])
  const watch = stopwatch(t)
  await gate.drain(20_000)
  await gate.drain(20_000)
  t.ok(watch.livedMs < 2000, `${watch.livedMs} of ${watch.ms} ms`)
})
