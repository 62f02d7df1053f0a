import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { encodeFrame, type FrameSpec } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'
import { rawClient, wsClient, wsServer } from '../support/websocket.ts'

/** The clock stands still: there are only the tokens of the burst. */
async function scene(t: Test, limits: string, websocket = '') {
  watchLeaks(t)
  const clock = stillClock()
  const upstream = await wsServer(t, { echo: false })
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { messages: { onExceed: drop, ${limits} } }, websocket: { mode: messages${websocket} }`,
    ],
    { clock },
  )
  const counts = async (): Promise<Record<string, number | undefined>> => {
    const samples = readSamples(await gate.metrics())
    return {
      dropped: samples.get('sidegate_websocket_messages_dropped_total', { policy: 'rate' }),
      limited: samples.get('sidegate_rate_limited_total', {
        listener: 'l0',
        limit: 'messages',
        action: 'drop',
      }),
      observed: samples.get('sidegate_observed_total', { listener: 'l0', limit: 'messages' }),
      came: samples.get('sidegate_websocket_messages_total', { listener: 'l0', direction: 'to_upstream' }),
    }
  }
  return { clock, upstream, gate, counts }
}

const masked = (...specs: FrameSpec[]): Buffer =>
  Buffer.concat(specs.map((spec) => encodeFrame({ mask: true, ...spec })))
const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, nth) => `${from + nth}`)
const texts = (words: string[]): FrameSpec[] => words.map((payload) => ({ opcode: 'text', payload }))

test('over the rate whole messages of a client are dropped and counted, nobody waits, and what has a token later goes on', async (t) => {
  const { clock, upstream, gate, counts } = await scene(t, 'rate: 10, burst: 20')
  const client = await rawClient(t, gate.port)
  const server = await upstream.connection()
  await client.send(masked(...texts(numbers(0, 100)), { opcode: 'ping', payload: 'behind' }))
  await eventually(() => server.pings.length === 1)
  t.same(
    server.messages.map(({ data }) => data.toString()),
    numbers(0, 20),
  )
  t.match(await counts(), { dropped: 80, limited: 80, came: 100 })
  clock.pass(1000)
  await client.send(masked(...texts(numbers(100, 130)), { opcode: 'close' }))
  await eventually(() => server.messages.length === 30)
  t.same(
    server.messages.map(({ data }) => data.toString()),
    [...numbers(0, 20), ...numbers(100, 110)],
  )
  t.match(await gate.end(), { reason: 'eof' })
  t.match(await counts(), { dropped: 100, limited: 100, came: 130 })
})

test('a message that has begun is never cut: its tiny fragments go on without a token', async (t) => {
  const { clock, upstream, gate, counts } = await scene(t, 'rate: 1, burst: 1')
  const client = await rawClient(t, gate.port)
  const server = await upstream.connection()
  const fragments = (last: string): FrameSpec[] => [
    { opcode: 'text', payload: 'a', fin: false },
    { opcode: 'ping', payload: last },
    { opcode: 'continuation', payload: 'b', fin: false },
    { opcode: 'continuation', payload: 'x'.repeat(100), fin: false },
    { opcode: 'continuation', payload: last },
  ]
  for (const byte of masked(...fragments('1'), ...fragments('2'))) await client.send(Buffer.of(byte))
  await eventually(async () => (await counts())['came'] === 2)
  clock.pass(1000)
  await client.send(masked({ opcode: 'ping', payload: 'done' }))
  await eventually(() => server.pings.length === 2)
  t.same(
    server.messages.map(({ data }) => data.toString()),
    [`ab${'x'.repeat(100)}1`],
  )
  t.same(server.pings.map(String), ['1', 'done'])
  t.match(await counts(), { dropped: 1, limited: 2 })
})

test('a flood of pings, and of pongs that nobody asked for, is dropped like messages; one a second goes on, and is answered', async (t) => {
  const { clock, upstream, gate, counts } = await scene(t, 'rate: 1, burst: 4')
  const client = await rawClient(t, gate.port)
  const server = await upstream.connection()
  const flood = (opcode: 'ping' | 'pong'): FrameSpec[] =>
    numbers(0, 100).map((payload) => ({ opcode, payload }))
  await client.send(masked(...flood('ping')))
  await eventually(async () => server.pings.length === 5 && (await counts())['limited'] === 95)
  t.same(server.pings.map(String), numbers(0, 5), 'the burst, and one')
  t.match(await client.nextFrame(), { opcode: 'pong' })
  for (let second = 1; second <= 3; second++) {
    clock.pass(1000)
    await client.send(masked(...texts(['takes the token']), ...flood(second === 3 ? 'pong' : 'ping')))
    await eventually(async () => (await counts())['limited'] === 95 + 99 * second)
  }
  await eventually(() => server.pongs.length === 1 && server.messages.length === 3)
  t.same(server.pings.map(String), [...numbers(0, 5), '0', '0'])
  t.same(server.pongs.map(String), ['0'])
  t.match(await counts(), { dropped: 0 })
})

test('an upstream that says too much is dropped from too, each direction at its own rate, compressed messages as well', async (t) => {
  const { upstream, gate, counts } = await scene(t, 'rate: 1, burst: 10', ', compression: on')
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`, { perMessageDeflate: true })
  const server = await upstream.connection()
  const large = (word: string): string => word.padEnd(5000, 'abc')
  for (const word of numbers(0, 25)) {
    server.socket.send(large(word))
    void client.send(large(word))
  }
  server.socket.ping('behind')
  client.socket.ping('behind')
  await eventually(() => client.pings.length === 1 && server.pings.length === 1)
  await eventually(() => client.messages.length === 10 && server.messages.length === 10)
  for (const { messages } of [client, server])
    t.same(
      messages.map(({ data }) => data.toString()),
      numbers(0, 10).map(large),
    )
  await eventually(async () => (await counts())['limited'] === 32, {
    what: 'the pongs, which are behind the pings in the same second',
  })
  t.match(await counts(), { dropped: 30, limited: 32 })
})

test('who keeps to the rate loses nothing beside one who does not', async (t) => {
  const { clock, upstream, gate, counts } = await scene(t, 'rate: 10, burst: 5')
  const greedy = await rawClient(t, gate.port)
  const toGreedy = await upstream.connection(0)
  const innocent = await rawClient(t, gate.port)
  const toInnocent = await upstream.connection(1)
  for (let round = 0; round < 20; round++) {
    await greedy.send(masked(...texts(numbers(0, 50)), { opcode: 'ping' }))
    await innocent.send(masked(...texts(numbers(round * 5, round * 5 + 5))))
    await eventually(
      () => toGreedy.pings.length === round + 1 && toInnocent.messages.length === (round + 1) * 5,
    )
    clock.pass(1000)
  }
  t.same(
    toInnocent.messages.map(({ data }) => data.toString()),
    numbers(0, 100),
  )
  t.match(await counts(), { dropped: 20 * 50 - toGreedy.messages.length })
})

test('messages that are only observed all go on, and are counted', async (t) => {
  const { upstream, gate, counts } = await scene(t, 'rate: 1, burst: 5, mode: observe')
  const client = await rawClient(t, gate.port)
  const server = await upstream.connection()
  await client.send(masked(...texts(numbers(0, 105))))
  await eventually(() => server.messages.length === 105)
  t.match(await counts(), { observed: 100, dropped: 0, limited: undefined })
})
