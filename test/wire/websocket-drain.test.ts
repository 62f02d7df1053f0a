import { test } from 'tap'
import { pattern } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'

const modes = ['frames', 'messages'] as const

for (const mode of modes) test(`a drain tells clients 1012 and upstreams 1001, and waits for their answers, ${mode}`, async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [`protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}"`])
  const clients = await Promise.all([0, 1, 2].map(() => wsClient(t, `ws://127.0.0.1:${gate.port}`)))
  await within(gate.sidegate.drain(3000))
  for (const [nth, client] of clients.entries()) {
    t.same(await client.closed, { code: 1012, reason: 'drain' })
    t.same(client.errors, [])
    const seen = await upstream.connection(nth)
    t.same(await seen.closed, { code: 1001, reason: 'drain' })
    t.same(seen.errors, [])
    t.match(await gate.end(nth), { reason: 'drain', side: 'sidegate', phase: 'relay' })
  }
  t.equal(gate.sidegate.registry.size, 0)
})

test('between two fragments a client is told; the rest of its message is given up', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept({}, encodeFrame({ opcode: 'text', payload: 'half', fin: false })))
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`])
  const client = await rawClient(t, gate.port)
  t.match(await client.nextFrame(), { opcode: 'text', fin: false })
  const drained = gate.sidegate.drain(3000)
  t.match(await client.nextFrame(), { opcode: 'close', code: 1012 })
  await within(drained)
})

test('inside a frame a client is not told: its connection ends there, without a byte of ours', async (t) => {
  watchLeaks(t)
  const half = encodeFrame({ opcode: 'binary', payload: pattern(10_000) }).subarray(0, 6000)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, half)
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`])
  const client = await rawClient(t, gate.port)
  await eventually(() => client.unfinished === 6000)
  const drained = gate.sidegate.drain(3000)
  await within(client.closed)
  t.same([client.frames(), client.unfinished], [[], 6000])
  await within(drained)
  t.match(await gate.end(), { reason: 'drain' })
  t.match(upstream.conversations[0]!.frames(), [{ opcode: 'close', code: 1001, reason: 'drain' }], 'the other direction stood between frames')
})

test('inside a frame of the client the upstream is not told, and the client is', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`])
  const client = await rawClient(t, gate.port)
  await client.send(encodeFrame({ opcode: 'binary', payload: pattern(10_000), mask: true }).subarray(0, 6000))
  const said = upstream.conversations[0]!
  await eventually(() => said.unfinished === 6000)
  const drained = gate.sidegate.drain(3000)
  t.match(await client.nextFrame(), { opcode: 'close', code: 1012, reason: 'drain' })
  t.equal(await within(said.wire.ended), true)
  t.same([said.frames(), said.unfinished], [[], 6000])
  await within(drained)
})

test('one that is still shaking hands gets 503', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, () => {})
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`])
  const client = await rawClient(t, gate.port, { handshake: false })
  const answer = client.handshake()
  await eventually(() => upstream.conversations.length === 1)
  const drained = gate.sidegate.drain(3000)
  t.match((await answer).line, 'HTTP/1.1 503')
  await within(drained)
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate' })
})
