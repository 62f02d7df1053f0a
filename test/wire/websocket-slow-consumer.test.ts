import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'
import type { Conversation, RawClient } from '../support/websocket.ts'

const KIB = 1024
const QUEUE = 256 * KIB
const MESSAGE = 8 * KIB
/** More than the kernel holds for a stalled client on loopback, and the queue. */
const MANY = 1000

/** The nth message of a stream: its number, then padding. */
function numbered(nth: number, length = MESSAGE): Buffer {
  const payload = Buffer.alloc(length, nth)
  payload.writeUInt32BE(nth)
  return payload
}

function numberOf(payload: Buffer): number {
  const nth = payload.readUInt32BE()
  if (!payload.equals(numbered(nth, payload.length))) throw new Error(`message ${nth} is not whole`)
  return nth
}

interface Scene {
  gate: Gate
  client: RawClient
  said: Conversation
}

async function scene(t: Test, policy: string, write = '20s', close = '2s'): Promise<Scene> {
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: ${close}, write: ${write} }, websocket: { mode: messages, slowConsumer: { policy: ${policy}, queue: 256KiB }, ping: { interval: off } }`,
  ])
  const client = await rawClient(t, gate.port)
  await eventually(() => upstream.conversations.length === 1)
  return { gate, client, said: upstream.conversations[0]! }
}

/** Sends numbered messages as fast as the gate takes them; returns their number. */
async function push(said: Conversation, from: number, count: number): Promise<number> {
  for (let nth = from; nth < from + count; nth += 10) {
    const frames = Array.from({ length: 10 }, (_, i) =>
      encodeFrame({ opcode: 'binary', payload: numbered(nth + i) }),
    )
    if (
      !(await within(said.send(Buffer.concat(frames)), { withinMs: 30_000, what: 'the service to be heard' }))
    )
      return nth - from
  }
  return count
}

/** As `push`, until the gate has read all of them. */
async function pushThrough(gate: Gate, said: Conversation, from: number, count: number): Promise<number> {
  const sent = await push(said, from, count)
  await eventually(() => gate.open().toClient.messages === from + sent)
  return sent
}

const numbers = (client: RawClient): number[] =>
  client
    .frames()
    .filter(({ opcode }) => opcode === 'binary')
    .map(({ payload }) => numberOf(payload))

async function droppedBy(gate: Gate, policy: string): Promise<number> {
  return Number(
    new RegExp(String.raw`^sidegate_websocket_messages_dropped_total\{policy="${policy}"\} (\d+)$`, 'm').exec(
      await gate.metrics(),
    )?.[1],
  )
}

for (const policy of ['dropOldest', 'dropNewest'] as const) {
  test(`${policy}: a client that stalls never holds the service back; it costs its queue and no more, and sees whole messages in order when it wakes`, async (t) => {
    watchLeaks(t)
    const { gate, client, said } = await scene(t, policy)
    client.wire.stopReading()
    t.equal(await push(said, 0, MANY), MANY)
    await eventually(() => gate.open().toClient.messages === MANY)
    const connection = gate.open()
    t.equal(connection.toClient.pauses, 0)
    const queued = connection.owner!.queued('client')
    t.ok(queued > QUEUE / 2 && queued <= QUEUE + 64 * KIB + MESSAGE, `${queued} bytes wait`)
    client.wire.resumeReading()
    await eventually(() => connection.owner!.queued('client') === 0)
    const last = MANY
    await push(said, last, 10)
    await eventually(() => numbers(client).at(-1) === last + 9)
    const got = numbers(client)
    t.same(
      got,
      got.toSorted((a, b) => a - b),
      'in order',
    )
    t.equal(new Set(got).size, got.length)
    const dropped = await droppedBy(gate, policy)
    t.equal(got.length + dropped, MANY + 10, 'each message came or was counted as dropped')
    t.ok(dropped > 100, `${dropped} dropped`)
    const before = got.filter((nth) => nth < last)
    const kept = before.length - 1 - before.findLastIndex((nth, i) => nth !== (before[i + 1] ?? nth + 1) - 1)
    if (policy === 'dropOldest') {
      t.equal(before.at(-1), last - 1, 'the newest was kept')
      t.ok(kept * MESSAGE > QUEUE / 2, `the last ${kept} are without a gap`)
    } else {
      t.same(
        before,
        before.map((_, i) => i),
        'the oldest were kept, without a gap',
      )
    }
    t.equal(gate.lines.length, 0)
  })

  test(`${policy}: a burst that fits the queue loses nothing`, async (t) => {
    watchLeaks(t)
    const { gate, client, said } = await scene(t, policy)
    client.wire.stopReading()
    let sent = 0
    while (gate.open().owner!.queued('client') === 0) sent += await pushThrough(gate, said, sent, 10)
    sent += await pushThrough(gate, said, sent, 10)
    client.wire.resumeReading()
    await eventually(() => numbers(client).length === sent)
    t.equal(await droppedBy(gate, policy), 0)
  })

  test(`${policy}: a client that takes nothing at all ends with write_timeout, though what waits for it changes`, async (t) => {
    watchLeaks(t)
    const { gate, client, said } = await scene(t, policy, '400ms')
    client.wire.stopReading()
    let sent = 0
    while (gate.lines.length === 0) {
      const taken = await push(said, sent, 10)
      sent += taken
      if (taken === 0) break
      await new Promise((resolve) => setTimeout(resolve, sent > 600 ? 5 : 0))
    }
    t.match(await gate.end(), { reason: 'write_timeout', side: 'client' })
    client.wire.resumeReading()
    t.match(await within(client.closed), { kind: 'reset' })
  })
}

test('dropOldest: a ping of the service reaches a client that wakes ahead of the messages that wait', async (t) => {
  watchLeaks(t)
  const { gate, client, said } = await scene(t, 'dropOldest')
  client.wire.stopReading()
  let sent = 0
  while (gate.open().owner!.queued('client') < QUEUE / 2) sent += await push(said, sent, 10)
  for (let i = 0; i < 40; i++) await said.sendFrame({ opcode: 'ping', payload: `p${i}` })
  await push(said, sent, 10)
  await eventually(() => gate.open().toClient.messages === sent + 10)
  client.wire.resumeReading()
  await eventually(() => numbers(client).at(-1) === sent + 9)
  const frames = client.frames()
  const pings = frames.filter(({ opcode }) => opcode === 'ping').map(({ payload }) => payload.toString())
  t.same(
    pings,
    Array.from({ length: 16 }, (_, i) => `p${24 + i}`),
    'of too many the newest',
  )
  t.ok(
    frames.length - frames.findLastIndex(({ opcode }) => opcode === 'ping') > 10,
    'messages came behind them',
  )
})

test('close: a client that stalls ends with slow_consumer, by RST; the service is told 1001', async (t) => {
  watchLeaks(t)
  const { gate, client, said } = await scene(t, 'close', '20s', '300ms')
  client.wire.stopReading()
  void push(said, 0, MANY)
  await eventually(() => said.frames().length > 0, { withinMs: 30_000 })
  t.match(said.frames(), [{ opcode: 'close', code: 1001, reason: 'slow_consumer' }])
  said.wire.end()
  const { reason, side, detail } = await gate.end()
  t.match(
    [reason, side, detail],
    [
      'slow_consumer',
      'client',
      /^more than 262144 bytes waited \(websocket\.slowConsumer\.queue\); \d+ bytes for the client dropped: /,
    ],
  )
  client.wire.resumeReading()
  t.match(await within(client.closed), { kind: 'reset' })
})

test('close: one that is slow and not stalled still reads whole messages, and 1008 with slow_consumer behind them', async (t) => {
  watchLeaks(t)
  const { gate, client, said } = await scene(t, 'close')
  client.wire.stopReading()
  void push(said, 0, MANY)
  await eventually(() => said.frames().length > 0, { withinMs: 30_000 })
  said.wire.end()
  client.wire.resumeReading()
  await eventually(() => client.frames().some(({ opcode }) => opcode === 'close'))
  t.match(client.frames().at(-1), { opcode: 'close', code: 1008, reason: 'slow_consumer' })
  const got = numbers(client)
  t.same(
    got,
    got.map((_, i) => i),
    'whole messages, without a gap',
  )
  client.wire.end()
  t.match(await gate.end(), { reason: 'slow_consumer', side: 'client' })
})

test('close: a burst that fits the queue is no slow_consumer', async (t) => {
  watchLeaks(t)
  const { gate, client, said } = await scene(t, 'close')
  client.wire.stopReading()
  let sent = 0
  while (gate.open().owner!.queued('client') === 0) sent += await pushThrough(gate, said, sent, 10)
  sent += await push(said, sent, 10)
  client.wire.resumeReading()
  await eventually(() => numbers(client).length === sent)
  t.equal(gate.lines.length, 0)
})

test('wait: the service is held back for a client that stalls, and nothing is lost', async (t) => {
  watchLeaks(t)
  const { gate, client, said } = await scene(t, 'wait')
  client.wire.stopReading()
  const pushed = push(said, 0, MANY)
  await eventually(() => gate.open().toClient.pauses > 0)
  const queued = gate.open().owner!.queued('client')
  // A queued read, and before it one in the socket, of which the kernel has taken a part.
  t.ok(queued <= 2 * 64 * KIB, `${queued} bytes wait`)
  client.wire.resumeReading()
  t.equal(await pushed, MANY)
  await eventually(() => numbers(client).length === MANY)
  t.same(
    numbers(client),
    Array.from({ length: MANY }, (_, i) => i),
  )
})

test('wait: a client that takes nothing ends with write_timeout, by RST; the service, which could not say all, too', async (t) => {
  watchLeaks(t)
  const { gate, client, said } = await scene(t, 'wait', '400ms')
  client.wire.stopReading()
  void push(said, 0, MANY)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
  t.match(await within(said.closed), { kind: 'reset' })
  client.wire.resumeReading()
  t.match(await within(client.closed), { kind: 'reset' })
})

test('the service may be slow whatever the policy: its clients wait, and lose nothing', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    said.wire.stopReading()
    await said.accept()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }, websocket: { mode: messages, slowConsumer: { policy: dropNewest, queue: 4KiB } }`,
  ])
  const client = await rawClient(t, gate.port)
  const sending = (async () => {
    for (let nth = 0; nth < MANY; nth++) await client.sendFrame({ opcode: 'binary', payload: numbered(nth) })
  })()
  await eventually(() => gate.open().toUpstream.pauses > 0, { withinMs: 30_000 })
  const said = upstream.conversations[0]!
  said.wire.resumeReading()
  await sending
  await eventually(() => said.frames().length === MANY)
  t.same(
    said.frames().map(({ payload }) => numberOf(payload)),
    Array.from({ length: MANY }, (_, i) => i),
  )
})

test('a service broadcasts 1000 messages a second to 16 clients of which 3 stall: the others get every one in order, and the stalled see whole ones, the newest kept', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { echo: false })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms, write: 20s }, websocket: { mode: messages, slowConsumer: { policy: dropOldest, queue: 256KiB } }`,
  ])
  const clients = await Promise.all(
    Array.from({ length: 16 }, () => wsClient(t, `ws://127.0.0.1:${gate.port}`)),
  )
  const stalled = clients.slice(0, 3)
  const others = clients.slice(3)
  for (const { socket } of stalled) socket.pause()
  await eventually(() => upstream.connections.length === 16)
  // 4 KiB, so that it is more than the kernel holds for a stalled client.
  const total = 1300
  const startedAt = performance.now()
  for (let nth = 0; nth < total; nth++) {
    const message = numbered(nth, 4 * KIB)
    for (const { socket } of upstream.connections) socket.send(message)
    const aheadMs = startedAt + nth - performance.now()
    if (aheadMs > 1) await new Promise((resolve) => setTimeout(resolve, aheadMs))
    else if (nth % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const everyone = Array.from({ length: total }, (_, i) => i)
  for (const { messages } of others) {
    await eventually(() => messages.length === total, { withinMs: 15_000 })
    t.same(
      messages.map(({ data }) => numberOf(data)),
      everyone,
    )
  }
  const open = [...gate.registry]
  await eventually(() => open.every(({ toClient }) => toClient.messages === total), { withinMs: 30_000 })
  t.same(
    open.filter(({ toClient }) => toClient.pauses > 0),
    [],
    'nobody held the service back',
  )
  const waiting = open.map(({ owner }) => owner!.queued('client')).filter((bytes) => bytes > 0)
  t.ok(
    waiting.length <= 3 && waiting.every((bytes) => bytes <= 256 * KIB + 64 * KIB + 4 * KIB),
    `${waiting.join(' ')} bytes wait`,
  )
  for (const { socket } of stalled) socket.resume()
  for (const { messages } of stalled) {
    await eventually(() => messages.length > 0 && numberOf(messages.at(-1)!.data) === total - 1, {
      withinMs: 15_000,
    })
    const got = messages.map(({ data }) => numberOf(data))
    t.same(
      got,
      got.toSorted((a, b) => a - b),
    )
    t.ok(got.length < total, `${total - got.length} were dropped`)
  }
  t.equal(gate.lines.length, 0)
})
