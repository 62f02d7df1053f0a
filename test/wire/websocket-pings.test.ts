import { test } from 'tap'
import { pattern, sha256 } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'
import type { Conversation, FrameWire } from '../support/websocket.ts'

const modes = ['frames', 'messages'] as const

const pings = (interval: string, mode: 'frames' | 'messages' = 'frames'): string =>
  `websocket: { mode: ${mode}, ping: { interval: ${interval}, timeout: ${interval}, misses: 1, to: both }, maxMessage: 64MiB }, deadlines: { close: 500ms }`
/** Answers the first ping to `peer`, so that later unanswered ones count. */
async function answerOne(peer: FrameWire, isMasked: boolean): Promise<void> {
  const { payload } = await peer.nextFrame()
  await peer.send(encodeFrame({ opcode: 'pong', payload, mask: isMasked }))
}

const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Answers the pings to `peer` until it closes; returns the frames that are no pings. */
async function answering(
  peer: FrameWire,
  isMasked: boolean,
  onFrame: (frame: Awaited<ReturnType<FrameWire['nextFrame']>>) => unknown = () => {},
): Promise<void> {
  for (;;) {
    const frame = await peer.nextFrame({ withinMs: 60_000 }).catch(() => null)
    if (frame === null) return
    if (frame.opcode === 'ping')
      await peer.send(encodeFrame({ opcode: 'pong', payload: frame.payload, mask: isMasked }))
    else await onFrame(frame)
  }
}

for (const mode of modes)
  test(`pings of the gate are answered by each side for itself: their pongs stay here, those of others pass, ${mode}`, async (t) => {
    watchLeaks(t)
    const heard: string[] = []
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await answering(said, false, (frame) => heard.push(`${frame.opcode} ${frame.payload.toString()}`))
    })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('150ms', mode)}`,
    ])
    const client = await rawClient(t, gate.port)
    const heardByClient: string[] = []
    void answering(client, true, (frame) => heardByClient.push(`${frame.opcode} ${frame.payload.toString()}`))
    const count = async (name: string): Promise<number> =>
      Number(
        new RegExp(String.raw`^sidegate_${name}(?:\{[^}]*\})? (\d+)$`, 'm').exec(await gate.metrics())?.[1] ??
          0,
      )
    await eventually(async () => (await count('websocket_pings_total')) >= 6, { what: 'some pings' })
    t.same([heard, heardByClient], [[], []], 'the pongs went no further')
    t.ok((await count('websocket_pong_rtt_seconds_count')) >= 4, 'and were measured')
    await client.sendFrame({ opcode: 'pong', payload: 'mine' })
    await client.sendFrame({ opcode: 'pong' })
    await client.sendFrame({ opcode: 'text', payload: 'end' })
    await eventually(() => heard.at(-1) === 'text end')
    t.same(heard, ['pong mine', 'pong ', 'text end'])
    await upstream.conversations[0]!.sendFrame({ opcode: 'pong', payload: 'theirs' })
    await eventually(() => heardByClient.length === 1)
    t.same(heardByClient, ['pong theirs'])
  })

test('pings of an application pass, and so do their answers', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('150ms')}`,
  ])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  const seen = await upstream.connection()
  for (let i = 0; i < 100; i++) {
    client.socket.ping(`c${i}`)
    seen.socket.ping(`u${i}`)
    await eventually(
      () =>
        client.pongs.some((pong) => pong.toString() === `c${i}`) &&
        seen.pongs.some((pong) => pong.toString() === `u${i}`),
      { what: `pong ${i}` },
    )
  }
  t.same(
    client.pongs.map(String),
    Array.from({ length: 100 }, (_, i) => `c${i}`),
  )
  t.same(
    seen.pongs.map(String),
    Array.from({ length: 100 }, (_, i) => `u${i}`),
  )
})

test('an idle pair of real peers is kept by their pongs', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('150ms')}`,
  ])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  await eventually(() => client.pings.length > 5, { withinMs: 20_000 })
  await client.send('still here')
  t.equal((await client.nextMessage()).data.toString(), 'still here')
})

for (const mode of modes)
  test(`a client that has answered one ping, and then no more, is ended with ping_timeout; the upstream is told 1001, the client gets no frame, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await said.wire.ended
      said.wire.end()
    })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('100ms', mode)}`,
    ])
    const client = await rawClient(t, gate.port)
    await answerOne(client, true)
    t.match(await client.nextFrame(), { opcode: 'ping' })
    const watch = stopwatch(t)
    await within(client.wire.ended)
    t.ok(watch.livedMs < 2000, `${watch.livedMs} ms`)
    t.match(await gate.end(), {
      reason: 'ping_timeout',
      side: 'client',
      phase: 'relay',
      detail: /left a ping unanswered and moved/,
    })
    t.same(
      client.frames().map(({ opcode }) => opcode),
      ['ping', 'ping'],
    )
    const frames = upstream.conversations[0]!.frames()
    t.match(frames.at(-1), { opcode: 'close', code: 1001, reason: 'ping_timeout' })
    t.not(frames.at(-1)!.mask, null)
  })

test('a client that says anything at all is not ended, though it answers no ping', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('200ms')}`,
  ])
  const client = await rawClient(t, gate.port)
  for (let i = 0; i < 20; i++) {
    await client.sendFrame(
      i % 2 === 0 ? { opcode: 'text', payload: 'x' } : { opcode: 'pong', payload: 'unasked' },
    )
    await pass(50)
  }
  t.equal(gate.lines.length, 0)
})

for (const mode of modes)
  test(`a legacy upstream that has never answered a ping is not ended, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      for (;;) {
        const frame = await said.nextFrame({ withinMs: 60_000 })
        if (frame.opcode === 'text') await said.sendFrame({ opcode: 'text', payload: frame.payload })
      }
    })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('50ms', mode)}`,
    ])
    // The client's own frames do not count for the upstream.
    const client = await rawClient(t, gate.port)
    void answering(client, true)
    const said = upstream.conversations[0]!
    await eventually(() => said.frames().filter(({ opcode }) => opcode === 'ping').length >= 8, {
      what: 'many pings',
    })
    await client.sendFrame({ opcode: 'text', payload: 'hello' })
    await eventually(() => client.frames().some(({ opcode }) => opcode === 'text'))
    t.equal(gate.lines.length, 0)
  })

for (const mode of modes)
  test(`an upstream that has answered one ping is held to it, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said: Conversation) => {
      await said.accept()
      const { payload } = await said.nextFrame()
      await said.sendFrame({ opcode: 'pong', payload })
      await said.wire.ended
      said.wire.end()
    })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('100ms', mode)}`,
    ])
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    t.match(await client.closed, { code: 1006 }, 'as without us')
    t.match(await gate.end(), { reason: 'ping_timeout', side: 'upstream', phase: 'relay' })
    t.same(
      upstream.conversations[0]!.frames().map(({ opcode }) => opcode),
      ['ping', 'ping'],
    )
  })

test('a client that is not read because the upstream is slow is not ended with ping_timeout', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    said.wire.stopReading()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('50ms')}`,
  ])
  const client = await rawClient(t, gate.port)
  const payload = pattern(14 * 1024 * 1024, 5)
  const mask = Buffer.alloc(4)
  const sending = client.send(encodeFrame({ opcode: 'binary', payload, mask }))
  await client.wire.stalled()
  await eventually(() => gate.open().owner!.isPaused('to_upstream'))
  // Its pongs wait after the message, in a queue without a reader.
  await pass(800)
  t.same([gate.lines.length, gate.registry.size], [0, 1])
  const said = upstream.conversations[0]!
  said.wire.resumeReading()
  await within(sending, { withinMs: 20_000 })
  const frame = await eventually(() => said.frames().find(({ opcode }) => opcode === 'binary'), {
    withinMs: 20_000,
  })
  t.equal(sha256(frame.payload), sha256(payload))
})

test('a ping that is due inside a frame waits for its end', async (t) => {
  watchLeaks(t)
  const frame = encodeFrame({ opcode: 'binary', payload: pattern(10_000, 9) })
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, frame.subarray(0, 6000))
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('60ms')}`,
  ])
  const client = await rawClient(t, gate.port)
  await pass(500)
  t.equal(client.unfinished, 6000, 'nothing stands inside the frame')
  await upstream.conversations[0]!.send(frame.subarray(6000))
  t.equal(sha256((await client.nextFrame()).payload), sha256(pattern(10_000, 9)))
  t.match(await client.nextFrame(), { opcode: 'ping' })
})

test('a ping finds its place between frames that follow each other so closely that no sweep sees one end', async (t) => {
  watchLeaks(t)
  const frame = encodeFrame({ opcode: 'binary', payload: pattern(1000, 9) })
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, frame.subarray(0, 500))
    const timer = setInterval(
      () => void said.send(Buffer.concat([frame.subarray(500), frame.subarray(0, 500)])),
      10,
    )
    void said.closed.then(() => clearInterval(timer))
    await said.wire.ended
    clearInterval(timer)
    said.wire.end()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('100ms')}`,
  ])
  const client = await rawClient(t, gate.port)
  // It answers the first and no other, and ends for it.
  const { payload } = await eventually(() => client.frames().find(({ opcode }) => opcode === 'ping'))
  await client.sendFrame({ opcode: 'pong', payload })
  t.match(await gate.end(), { reason: 'ping_timeout', side: 'client' })
  await within(client.wire.ended)
  const frames = client.frames()
  t.equal(frames.filter(({ opcode }) => opcode === 'ping').length, 2)
  t.ok(frames.every(({ opcode, payload }) => opcode === 'ping' || payload.equals(pattern(1000, 9))))
})

test('while a ping of the upstream is on its way to the client, none of ours is: its answer will do, or its absence', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    await said.sendFrame({ opcode: 'ping', payload: 'first' })
    await said.nextFrame()
    await said.sendFrame({ opcode: 'ping', payload: 'theirs' })
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('150ms')}`,
  ])
  const client = await rawClient(t, gate.port)
  await answerOne(client, true)
  t.match(await gate.end(), { reason: 'ping_timeout', side: 'client' })
  await within(client.wire.ended)
  t.same(
    client.frames().map(({ payload }) => payload.toString()),
    ['first', 'theirs'],
  )
})

test('a client that stalls between frames is ended for that, not for the ping behind what waits for it', async (t) => {
  watchLeaks(t)
  // More than the kernel holds for a client that does not read, and less than the gate may hold: all bytes have come, in whole frames.
  const frame = encodeFrame({ opcode: 'binary', payload: Buffer.alloc(14 * 1024) })
  const upstream = await scriptedUpstream(t, (said) =>
    said.accept({}, Buffer.concat(Array.from({ length: 1024 }, () => frame))),
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", buffers: { high: 16MiB }, websocket: { ping: { interval: 1s, timeout: 1s } }, deadlines: { write: 4s, close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port, { handshake: false, unread: true })
  await client.send(upgradeRequest())
  await eventually(() => gate.registry.size === 1 && gate.open().toClient.messages === 1024)
  t.ok(gate.open().owner!.queued('client') > 0, 'some of it waits')
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client' })
})

test('with ping.interval: off nobody is asked', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { ping: { interval: off, timeout: 50ms } }, deadlines: { close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port)
  await pass(400)
  t.same([client.frames(), upstream.conversations[0]!.frames(), gate.lines], [[], [], []])
})
