import { test } from 'tap'
import { pattern } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'

const modes = ['frames', 'messages'] as const

for (const mode of modes)
  test(`a drain tells clients 1012 and upstreams 1001, and waits for their answers, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t)
    const gate = await startGate(t, [
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}"`,
    ])
    const clients = await Promise.all([0, 1, 2].map(() => wsClient(t, `ws://127.0.0.1:${gate.port}`)))
    await within(gate.drain(3000))
    for (const [nth, client] of clients.entries()) {
      t.same(await client.closed, { code: 1012, reason: 'drain' })
      t.same(client.errors, [])
      const seen = await upstream.connection(nth)
      t.same(await seen.closed, { code: 1001, reason: 'drain' })
      t.same(seen.errors, [])
      t.match(await gate.end(nth), { reason: 'drain', side: 'sidegate', phase: 'relay' })
    }
    t.equal(gate.registry.size, 0)
  })

test('between two fragments a client is told; the rest of its message is given up', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.accept({}, encodeFrame({ opcode: 'text', payload: 'half', fin: false })),
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`,
  ])
  const client = await rawClient(t, gate.port)
  t.match(await client.nextFrame(), { opcode: 'text', fin: false })
  const drained = gate.drain(3000)
  t.match(await client.nextFrame(), { opcode: 'close', code: 1012 })
  await within(drained)
})

test('inside a frame a drain waits for the end of it, then says 1012', async (t) => {
  watchLeaks(t)
  const whole = encodeFrame({ opcode: 'binary', payload: pattern(10_000) })
  const next = encodeFrame({ opcode: 'text', payload: 'one too many' })
  const upstream = await scriptedUpstream(t, (said) => said.accept({}, whole.subarray(0, 6000)))
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await rawClient(t, gate.port)
  await eventually(() => client.unfinished === 6000)
  const drained = gate.drain(20_000)
  await client.send(encodeFrame({ opcode: 'text', payload: 'meanwhile', mask: true }))
  const said = upstream.conversations[0]!
  t.match(
    await said.nextFrame(),
    { opcode: 'text', payload: Buffer.from('meanwhile') },
    'the other direction goes on',
  )
  t.equal(gate.open().end, null)
  // Bytes after the frame, in the same packet, do not go on: not even the answer to our Close, which still counts.
  await said.wire.write(
    Buffer.concat([
      whole.subarray(6000),
      next,
      encodeFrame({ opcode: 'close', payload: closePayload(1001) }),
    ]),
  )
  const frame = await client.nextFrame()
  t.match(frame, { opcode: 'binary' })
  t.ok(frame.payload.equals(pattern(10_000)))
  t.match(await client.nextFrame(), { opcode: 'close', code: 1012, reason: 'drain' })
  t.match(await said.nextFrame(), { opcode: 'close', code: 1001, reason: 'drain' })
  t.equal(await within(said.wire.ended), true, 'its answer was seen')
  said.wire.end()
  await client.send(encodeFrame({ opcode: 'close', payload: closePayload(1012), mask: true }))
  await within(drained)
  t.same(
    client.frames().map(({ opcode }) => opcode),
    ['binary', 'close'],
  )
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate' })
})

test('a service that never stops sending is parted from between two of its frames', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { echo: false })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const clients = await Promise.all([0, 1, 2, 3].map(() => wsClient(t, `ws://127.0.0.1:${gate.port}`)))
  const message = pattern(300_000)
  for (const { socket } of upstream.connections) {
    const send = (): void => {
      if (socket.readyState === socket.OPEN) socket.send(message, send)
    }
    send()
    send()
  }
  await eventually(() => clients.every(({ messages }) => messages.length > 3))
  await within(gate.drain(20_000), { withinMs: 15_000 })
  for (const client of clients) {
    t.same(await client.closed, { code: 1012, reason: 'drain' })
    t.same(client.errors, [])
    t.ok(
      client.messages.every(({ data }) => data.equals(message)),
      'each message is whole',
    )
  }
})

test('inside a frame that does not end a client is not told: its connection ends there, without a byte of ours', async (t) => {
  watchLeaks(t)
  const half = encodeFrame({ opcode: 'binary', payload: pattern(10_000) }).subarray(0, 6000)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, half)
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`,
  ])
  const client = await rawClient(t, gate.port)
  await eventually(() => client.unfinished === 6000)
  const drained = gate.drain(3000)
  await within(client.closed)
  t.same([client.frames(), client.unfinished], [[], 6000])
  await within(drained)
  t.match(await gate.end(), { reason: 'drain' })
  t.match(
    upstream.conversations[0]!.frames(),
    [{ opcode: 'close', code: 1001, reason: 'drain' }],
    'the other direction stood between frames',
  )
})

test('inside a frame of the client the upstream is not told, and the client is', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`,
  ])
  const client = await rawClient(t, gate.port)
  await client.send(encodeFrame({ opcode: 'binary', payload: pattern(10_000), mask: true }).subarray(0, 6000))
  const said = upstream.conversations[0]!
  await eventually(() => said.unfinished === 6000)
  const drained = gate.drain(3000)
  t.match(await client.nextFrame(), { opcode: 'close', code: 1012, reason: 'drain' })
  t.equal(await within(said.wire.ended), true)
  t.same([said.frames(), said.unfinished], [[], 6000])
  await within(drained)
})

test('one that is still shaking hands gets 503', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`,
  ])
  const client = await rawClient(t, gate.port, { handshake: false })
  const answer = client.handshake()
  await eventually(() => upstream.conversations.length === 1)
  const drained = gate.drain(3000)
  t.match((await answer).line, 'HTTP/1.1 503')
  await within(drained)
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate' })
})
