// Pings and unfinished messages, crossed with limits, policies and TLS.

import root, { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { readSamples } from '../metrics/samples.ts'
import { forEachTransport, openLine } from '../support/transports.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'

root.setTimeout(120_000)

const begun = (mask: boolean): Buffer =>
  encodeFrame({
    opcode: 'binary',
    declares: 500_000,
    payload: Buffer.alloc(1000),
    ...(mask ? { mask: Buffer.alloc(4) } : {}),
  })

test('a message that hardly goes on ends with too_slow, in the clear and over TLS, from either side', async (t) =>
  forEachTransport(t, ['websocket', 'websocket over tls'], async (t, transport) => {
    for (const side of ['client', 'service'] as const) {
      const line = await openLine(t, transport, 'websocket: { messageTimeout: 400ms }')
      const { wire } = line[side]
      void wire.write(begun(side === 'client'))
      const timer = setInterval(() => void wire.write(Buffer.of(0)), 50)
      t.teardown(() => clearInterval(timer))
      t.match(await line.gate.end(), {
        reason: 'too_slow',
        side: side === 'client' ? 'client' : 'upstream',
        detail: /websocket\.messageTimeout/,
      })
      clearInterval(timer)
      await within(line.client.wire.closed)
    }
  }))

for (const onExceed of ['delay', 'drop', 'close'] as const)
  test(`pongs that the gate asked for cost nothing of limits.messages, ${onExceed}`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t)
    const mode = onExceed === 'drop' ? 'messages' : 'frames'
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { messages: { rate: 1, burst: 1, onExceed: ${onExceed} } }, websocket: { mode: ${mode}, ping: { interval: 200ms, timeout: 200ms, misses: 9, to: both } }`,
    ])
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    const service = await upstream.connection()
    await eventually(() => client.pings.length >= 4 && service.pings.length >= 4, { what: 'many pings' })
    const limited = readSamples(await gate.metrics()).sum('sidegate_rate_limited_total', {
      limit: 'messages',
    })
    t.same([gate.lines.length, limited], [0, 0])
    await client.send('the token is still there')
    t.equal((await client.nextMessage()).data.toString(), 'the token is still there')
  })

test('a client whose messages are delayed is not read, and not blamed for its pongs', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { echo: false })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { messages: { rate: 1, burst: 1, onExceed: delay } }, websocket: { ping: { interval: 50ms, timeout: 50ms, misses: 1, to: both } }`,
  ])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  const service = await upstream.connection()
  await eventually(() => client.pings.length >= 2, { what: 'a ping that was answered' })
  for (let nth = 0; nth < 4; nth++) void client.send(String(nth))
  await eventually(() => service.messages.length === 4, { withinMs: 20_000, what: 'all messages' })
  t.same(
    service.messages.map(({ data }) => Number(data.toString())),
    Array.from({ length: 4 }, (_, nth) => nth),
  )
  t.equal(gate.lines.length, 0)
})

test('a client that takes nothing ends by the policy of its queue, not by a ping that waits behind it', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms, write: 20s }, websocket: { mode: messages, slowConsumer: { policy: close, queue: 256KiB }, ping: { interval: 100ms, timeout: 100ms, misses: 1, to: client } }`,
  ])
  const client = await rawClient(t, gate.port)
  const { payload } = await client.nextFrame()
  await client.send(encodeFrame({ opcode: 'pong', payload, mask: true }))
  t.match(await client.nextFrame(), { opcode: 'ping' }, 'it is held to pings now')
  client.wire.stopReading()
  const frames = Buffer.concat(
    Array.from({ length: 20 }, () => encodeFrame({ opcode: 'binary', payload: Buffer.alloc(64 * 1024) })),
  )
  const said = await eventually(() => upstream.conversations[0])
  const timer = setInterval(() => void said.send(frames), 10)
  t.teardown(() => clearInterval(timer))
  t.match(await gate.end(), { reason: 'slow_consumer', side: 'client' })
  clearInterval(timer)
})
