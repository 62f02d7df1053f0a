import root, { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { watchLeaks } from '../support/leaks.ts'
import type { TlsWire } from '../support/tls-peers.ts'
import { forEachTransport, openLine } from '../support/transports.ts'
import type { Peer } from '../support/transports.ts'
import { rawClient, scriptedUpstream, wsServer } from '../support/websocket.ts'
import type { FrameWire } from '../support/websocket.ts'

root.setTimeout(120_000)
const modes = ['frames', 'messages'] as const
const websockets = ['websocket', 'websocket over tls', 'messages'] as const

const pings = (interval: string, mode: 'frames' | 'messages' = 'frames', to = 'both'): string =>
  `websocket: { mode: ${mode}, ping: { interval: ${interval}, timeout: ${interval}, misses: 1, to: ${to} } }, deadlines: { close: 500ms }`

const isPing = ({ opcode }: { opcode: unknown }): boolean => opcode === 'ping'

/** Answers the first ping to `peer`, so that later unanswered ones count. */
async function answerOne(peer: FrameWire, isMasked: boolean): Promise<void> {
  const { payload } = await peer.nextFrame()
  await peer.send(encodeFrame({ opcode: 'pong', payload, mask: isMasked }))
}

/** Leaves incoming bytes in the kernel, as a process that stands still does. A paused socket of Node still reads some. */
function reading({ wire }: Peer): { stop(): void; start(): void } {
  const socket = (wire as Partial<TlsWire>).raw ?? wire.socket
  const { _handle: handle } = socket as unknown as { _handle: { readStop(): void; readStart(): void } }
  return { stop: () => handle.readStop(), start: () => handle.readStart() }
}

/** Makes one read in each interval, until it is stopped. */
function sip(peer: Peer, everyMs: number): { stop(): void } {
  const { stop, start } = reading(peer)
  peer.wire.socket.on('data', stop)
  const timer = setInterval(start, everyMs)
  void peer.wire.closed.then(() => clearInterval(timer))
  return {
    stop() {
      clearInterval(timer)
      peer.wire.socket.off('data', stop)
      start()
    },
  }
}

async function count(gate: Gate, name: string): Promise<number> {
  return Number(
    new RegExp(String.raw`^sidegate_${name}(?:\{[^}]*\})? (\d+)$`, 'm').exec(await gate.metrics())?.[1] ?? 0,
  )
}

for (const mode of modes)
  test(`three pings in a row are asked of a client before it is ended, by default, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await said.wire.ended
      said.wire.end()
    })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode}, ping: { interval: 100ms } }, deadlines: { close: 500ms }`,
    ])
    const client = await rawClient(t, gate.port)
    await answerOne(client, true)
    t.match(await gate.end(), { reason: 'ping_timeout', side: 'client', detail: /none of 3 pings/ })
    await within(client.wire.ended)
    t.same(
      client.frames().map(({ opcode }) => opcode),
      ['ping', 'ping', 'ping', 'ping'],
    )
  })

for (const mode of modes)
  test(`a client that has never answered a ping is not ended: it may only send, and read when it expects something, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t)
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('50ms', mode)}`,
    ])
    const client = await rawClient(t, gate.port)
    await eventually(() => client.frames().filter(({ opcode }) => opcode === 'ping').length >= 8, {
      what: 'many pings',
    })
    await client.sendFrame({ opcode: 'text', payload: 'hello' })
    await eventually(() => client.frames().some(({ opcode }) => opcode === 'text'))
    t.equal(gate.lines.length, 0)
  })

test('a slow reader gets megabytes and answers the ping behind them when it comes to it, though it is held to pings', (t) =>
  forEachTransport(t, websockets, async (t, transport) => {
    // A second: on a busy machine the looks into the kernel take as long, and after 40 sweeps the gate judges a wait without them.
    const { client, service, gate } = await openLine(
      t,
      transport,
      'websocket: { ping: { interval: 1s, timeout: 1s, misses: 1, to: client } }, deadlines: { close: 2s }',
    )
    await eventually(async () => (await count(gate, 'websocket_pong_rtt_seconds_count')) > 0, {
      what: 'a first pong',
    })
    // Half a second for each read of 64 KiB: some five seconds, in which the gate has nothing left to send.
    const sipping = sip(client, 500)
    void service.send(600_000)
    await eventually(() => client.got.bytes > 400_000, { withinMs: 60_000, what: 'most of it' })
    sipping.stop()
    await eventually(() => client.got.bytes === 600_001, { what: 'all of it' })
    await client.send(1)
    t.same(gate.lines, [])
    await eventually(() => service.got.bytes === 2, { what: 'a word of the client' })
  }))

test('a client that reads nothing for many intervals, and owes nothing but a pong, lives on, and so does one that never answered', (t) =>
  forEachTransport(t, websockets, async (t, transport) => {
    for (const isHeld of [true, false]) {
      const { client, service, gate } = await openLine(
        t,
        transport,
        'websocket: { ping: { interval: 500ms, timeout: 500ms, misses: 1, to: client } }, deadlines: { write: 600ms, close: 500ms }',
      )
      if (isHeld)
        await eventually(async () => (await count(gate, 'websocket_pong_rtt_seconds_count')) > 0, {
          what: 'a first pong',
        })
      const { stop, start } = reading(client)
      stop()
      const asked = await count(gate, 'websocket_pings_total')
      await eventually(async () => (await count(gate, 'websocket_pings_total')) > asked, {
        what: 'a ping that nobody reads',
      })
      // Several times as long as a missed ping takes, and as `write`: it computes, and only sends.
      for (let nth = 0; nth < 25; nth++) {
        await new Promise((resolve) => setTimeout(resolve, 100))
        if (nth === 8) await client.send(1)
      }
      start()
      await service.send(1)
      t.same(gate.lines, [])
      await eventually(() => client.got.bytes === 2, { what: 'what came meanwhile' })
      t.equal(gate.lines.length, 0, isHeld ? 'held' : 'not held')
    }
  }))

for (const mode of modes)
  test(`a reload of ping options reaches connections that are open, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await said.wire.ended
      said.wire.end()
    })
    const listener = (ping: string): string =>
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode}, ping: { ${ping} } }, deadlines: { close: 500ms }`
    const gate = await startGate(t, [listener('interval: off, timeout: 100ms')])
    const client = await rawClient(t, gate.port)
    const said = upstream.conversations[0]!
    await gate.reload([listener('interval: 50ms, to: upstream')])
    await eventually(() => said.frames().filter(isPing).length >= 3, { what: 'pings to the service' })
    t.same(client.frames(), [])
    await gate.reload([listener('interval: 50ms, to: client, misses: 100')])
    await answerOne(client, true)
    await eventually(() => client.frames().filter(isPing).length >= 4, { what: 'pings to the client' })
    t.equal(gate.lines.length, 0, 'it may miss a hundred')
    await gate.reload([listener('interval: 50ms, to: client, misses: 1')])
    t.match(await gate.end(), { reason: 'ping_timeout', side: 'client' })
  })

test('a client that a policy of slowConsumer drops messages for is not ended for the ping behind them', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { echo: false })
  const slow = 'slowConsumer: { policy: dropOldest, queue: 64KiB }'
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: messages, ${slow}, ping: { interval: 200ms, misses: 1 } }, deadlines: { close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port, { handshake: false, unread: true })
  await client.send(upgradeRequest())
  const { socket } = await upstream.connection()
  for (let nth = 0; nth < 1500; nth++) socket.send(Buffer.alloc(16_384))
  await eventually(async () => (await count(gate, 'websocket_messages_dropped_total')) > 0, {
    withinMs: 20_000,
    what: 'dropped messages',
  })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  t.equal(gate.lines.length, 0)
  client.wire.destroy()
  t.notMatch(await gate.end(), { reason: 'ping_timeout' })
})

test('a client that is held to pings and then says nothing while a drain waits for it is asked to go, and not ended for its pongs', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('100ms')}`,
  ])
  const client = await rawClient(t, gate.port)
  await answerOne(client, true)
  await client.nextFrame()
  void gate.drain(5000)
  t.match(await eventually(() => client.frames().find(({ opcode }) => opcode === 'close')), { code: 1012 })
  await client.sendFrame({ opcode: 'close', payload: closePayload(1012) })
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate' })
  await within(client.wire.ended)
})
