import { test } from 'tap'
import { eventually, isSettled, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, flooder, listen, neverCloses, resetter } from '../support/peers.ts'

const RESET = { kind: 'reset', code: 'ECONNRESET' }

test('the RST of a client reaches the upstream as RST', async (t) => {
  watchLeaks(t)
  const upstream = await neverCloses(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  await client.write('half a req')
  const seen = await upstream.connection()
  await eventually(() => seen.bytes === 10)
  client.reset()
  t.same(await within(seen.closed), RESET)
  t.equal(seen.hasEnded, false)
  t.match(await gate.end(), { reason: 'reset', side: 'client', phase: 'relay', detail: 'ECONNRESET' })
})

test('the RST of an upstream reaches the client as RST, behind what was sent before it', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, async (wire) => {
    await wire.write('half an ans')
    await wire.read(2)
    wire.reset()
  })
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  t.equal((await client.read(11)).toString(), 'half an ans')
  void client.write('ok')
  t.same(await within(client.closed), RESET)
  t.equal(client.hasEnded, false)
  t.match(await gate.end(), { reason: 'reset', side: 'upstream', phase: 'relay' })
})

test('the RST of an upstream is RST also for a client that has ended its half', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, async (wire) => {
    if (!(await wire.ended)) return
    await wire.write('half an ans')
    wire.reset()
  })
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port, { halfOpen: true })
  client.end('request')
  t.same(await within(client.closed), RESET)
  t.equal(client.hasEnded, false, 'no FIN behind a truncated answer')
  t.match(await gate.end(), { reason: 'reset', side: 'upstream' })
})

test('the RST of a client is RST also for an upstream that has ended its half', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => wire.end('answer first'))
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port, { halfOpen: true })
  await client.ended
  await client.write('half a req')
  const seen = await upstream.connection()
  await eventually(() => seen.bytes === 10)
  client.reset()
  t.same(await within(seen.closed), RESET)
  t.equal(seen.hasEnded, false)
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
})

test('an upstream that still answers a client that ended its half and then reset gets RST at once', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 1m, halfClose: 1m }`,
  ])
  const client = await connect(t, gate.port, { halfOpen: true, into: { write: () => {} } })
  client.end('request')
  const seen = await upstream.connection()
  await within(seen.ended)
  client.reset()
  t.match(await within(seen.closed), { kind: 'reset' })
  t.equal(seen.bytes, 7, 'behind all that the client had said')
  t.match(await gate.end(), { reason: 'reset', side: 'client', phase: 'relay' })
})

test('the RST of an upstream whose bytes wait for a stalled client is RST, not an end, once the client reads on', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 10s }`,
  ])
  const client = await connect(t, gate.port, { unread: true, into: { write: () => {} } })
  const seen = await upstream.connection()
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_client')
  seen.reset()
  t.equal(await isSettled(client.closed), false)
  client.resumeReading()
  t.same(await within(client.closed), RESET)
  t.equal(client.hasEnded, false, 'no FIN behind a truncated answer')
  t.match(await gate.end(), { reason: 'reset', side: 'upstream' })
})

test('the RST of a client whose bytes wait for a stalled upstream is RST, not an end, once the upstream reads on', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {}, { unread: true, into: { write: () => {} } })
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 10s }`,
  ])
  const client = await connect(t, gate.port)
  void client.flood()
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_upstream')
  client.reset()
  const seen = await upstream.connection()
  seen.resumeReading()
  t.same(await within(seen.closed), RESET)
  t.equal(seen.hasEnded, false)
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
})

test('a reset while the other side is stalled and nothing waits from the one that reset frees the pair at once', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 60s }`,
  ])
  const client = await connect(t, gate.port, { unread: true })
  const seen = await upstream.connection()
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_client')
  client.reset()
  t.same(await within(seen.closed), RESET)
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
})

test('an upstream that resets at once is seen as a reset by the client', async (t) => {
  watchLeaks(t)
  const upstream = await resetter(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  t.match(await within(client.closed), RESET)
  const { reason } = await gate.end()
  t.ok(reason === 'reset' || reason === 'connect_failed', reason)
})
