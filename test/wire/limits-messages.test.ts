import { test, type Test } from 'tap'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame, type FrameSpec } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'
import { rawClient, wsClient, wsServer } from '../support/websocket.ts'

const many = (count: number, spec: (nth: number) => FrameSpec): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, nth) => encodeFrame({ mask: true, ...spec(nth) })))

const limitedGate = async (
  t: Test,
  limits: string,
  { rest = '', clock = systemClock }: { rest?: string; clock?: Clock } = {},
) => {
  const upstream = await wsServer(t, { echo: false })
  const gate = await startGate(
    t,
    [`protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { messages: { ${limits} } }${rest}`],
    { clock },
  )
  return { upstream, gate }
}

test('thousands of messages in one read go on at the rate, in order and whole, and the ping timeout spares who is delayed', async (t) => {
  watchLeaks(t)
  const { upstream, gate } = await limitedGate(t, 'rate: 200, burst: 50', {
    rest: ', websocket: { ping: { interval: 100ms, timeout: 100ms } }, deadlines: { idle: 300ms }',
  })
  const client = await rawClient(t, gate.port)
  const server = await upstream.connection()
  const since = performance.now()
  void client.send(many(350, (nth) => ({ opcode: 'text', payload: `${nth}` })))
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const came = server.messages.length
  const flowed = (performance.now() - since) / 5
  t.ok(came <= flowed + 50, `${came} messages, ${flowed.toFixed(0)} and the burst of 50`)
  await eventually(() => server.messages.length === 350, { withinMs: 20_000 })
  t.same(
    server.messages.map(({ data }) => data.toString()),
    Array.from({ length: 350 }, (_, nth) => `${nth}`),
  )
  t.equal(gate.lines.length, 0)
  t.ok(
    (readSamples(await gate.metrics()).get('sidegate_rate_limited_total', {
      listener: 'l0',
      limit: 'messages',
      action: 'delay',
    }) ?? 0) > 0,
  )
})

test('an upstream that says too much is delayed too', async (t) => {
  watchLeaks(t)
  const { upstream, gate } = await limitedGate(t, 'rate: 100, burst: 10')
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  const server = await upstream.connection()
  const since = performance.now()
  for (let nth = 0; nth < 60; nth++) server.socket.send(`${nth}`)
  await eventually(() => client.messages.length === 60)
  const ms = performance.now() - since
  t.ok(ms > 450, `${ms.toFixed(0)} ms for 50 over the burst`)
  t.same(
    client.messages.map(({ data }) => data.toString()),
    Array.from({ length: 60 }, (_, nth) => `${nth}`),
  )
  client.socket.close()
  await gate.end()
})

const floods: Record<string, () => Buffer> = {
  'a flood of messages': () => many(200, () => ({ opcode: 'text', payload: 'x' })),
  'a flood of pings': () => many(200, () => ({ opcode: 'ping', payload: 'x' })),
  'a flood of pongs that nobody asked for': () => many(200, () => ({ opcode: 'pong', payload: 'x' })),
  'a flood of tiny fragments': () =>
    many(200, (nth) => ({ opcode: nth === 0 ? 'text' : 'continuation', payload: 'x', fin: false })),
  'a flood of empty continuations': () =>
    many(200, (nth) => ({ opcode: nth === 0 ? 'text' : 'continuation', fin: false })),
}

for (const [what, bytes] of Object.entries(floods)) {
  test(`${what} is rate_limited where the action is close: 1008 for the client, 1001 for the upstream`, async (t) => {
    watchLeaks(t)
    const { upstream, gate } = await limitedGate(t, 'rate: 10, burst: 100, onExceed: close', {
      clock: stillClock(),
    })
    const client = await rawClient(t, gate.port)
    const server = await upstream.connection()
    void client.send(bytes())
    const frame = await (async () => {
      for (;;) {
        const next = await client.nextFrame()
        if (next.opcode === 'close') return next
      }
    })()
    t.same([frame.code, frame.reason], [1008, 'rate_limited'])
    client.wire.end()
    t.match(await gate.end(), {
      reason: 'rate_limited',
      side: 'client',
      phase: 'relay',
      detail: 'limits.messages',
    })
    t.same(await within(server.closed), { code: 1001, reason: 'rate_limited' })
    t.ok(
      server.messages.length <= 100 && server.pings.length <= 100 && server.pongs.length <= 100,
      'no more than the burst went on',
    )
  })
}

test('one message of many large fragments is one message', async (t) => {
  watchLeaks(t)
  const { upstream, gate } = await limitedGate(t, 'rate: 1, burst: 2, onExceed: close', {
    clock: stillClock(),
  })
  const client = await rawClient(t, gate.port)
  const server = await upstream.connection()
  await client.send(
    many(100, (nth) => ({
      opcode: nth === 0 ? 'binary' : 'continuation',
      payload: Buffer.alloc(1000),
      fin: nth === 99,
    })),
  )
  await eventually(() => server.messages.length === 1)
  t.equal(server.messages[0]?.data.length, 100_000)
  t.equal(gate.lines.length, 0)
})

test('a delayed client whose gate drains gets its closing handshake, whatever it still sends', async (t) => {
  watchLeaks(t)
  const { gate } = await limitedGate(t, 'rate: 1, burst: 5', { clock: stillClock() })
  const client = await rawClient(t, gate.port)
  const bytes = many(1000, (nth) => ({ opcode: 'text', payload: `${nth}` }))
  void client.send(bytes.subarray(0, -3))
  await eventually(() => gate.open().toUpstream.messages === 5)
  void gate.drain(5000)
  const frame = await client.nextFrame()
  t.same([frame.opcode, frame.code], ['close', 1012])
  await client.send(Buffer.concat([bytes.subarray(-3), many(50, () => ({ opcode: 'ping' }))]))
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.notOk(client.wire.hasEnded, 'its Close is waited for, behind what it had sent')
  await client.sendFrame({ opcode: 'close' })
  t.same(await within(client.closed), { kind: 'fin', code: null })
  t.match(await gate.end(), { reason: 'drain', side: 'sidegate' })
})

test('messages that are only observed all go on, and are counted', async (t) => {
  watchLeaks(t)
  const { upstream, gate } = await limitedGate(t, 'rate: 1, burst: 5, mode: observe', { clock: stillClock() })
  const client = await rawClient(t, gate.port)
  const server = await upstream.connection()
  void client.send(many(105, (nth) => ({ opcode: 'text', payload: `${nth}` })))
  await eventually(() => server.messages.length === 105)
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_observed_total', { listener: 'l0', limit: 'messages' }),
    100,
  )
})
