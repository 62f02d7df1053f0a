import root, { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsServer } from '../support/websocket.ts'
import { stopwatch } from '../support/stopwatch.ts'

root.setTimeout(120_000)
const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const listener = (port: number, websocket: string, rest = ''): string =>
  `protocol: http, upstream: "127.0.0.1:${port}", websocket: { ${websocket} }, deadlines: { close: 500ms }${rest}`
const begun = encodeFrame({
  opcode: 'binary',
  declares: 500_000,
  payload: Buffer.alloc(1000),
  mask: Buffer.alloc(4),
})

test('a client that keeps a message open with a byte now and then ends with too_slow, by RST, and its service is told 1001', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [listener(upstream.port, 'mode: messages, messageTimeout: 400ms')])
  const client = await rawClient(t, gate.port)
  await client.send(begun)
  const watch = stopwatch(t)
  const timer = setInterval(() => void client.send(Buffer.of(0)), 50)
  void client.closed.then(() => clearInterval(timer))
  t.match(await gate.end(), { reason: 'too_slow', side: 'client', detail: /websocket\.messageTimeout/ })
  t.ok(watch.ms >= 300, `${watch.ms} ms`)
  t.match(await within(client.closed), { kind: 'reset' })
  t.equal((await upstream.connection()).messages.length, 0)
})

test('a service that does not finish a message ends the same way, in messages mode', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.accept({}, encodeFrame({ opcode: 'binary', declares: 500_000, payload: Buffer.alloc(1000) })),
  )
  const gate = await startGate(t, [listener(upstream.port, 'mode: messages, messageTimeout: 300ms')])
  const client = await rawClient(t, gate.port)
  t.match(await gate.end(), { reason: 'too_slow', side: 'upstream' })
  await within(client.closed)
})

test('a message on a poor link arrives, though it takes many times messageTimeout, and an idle client stays', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [listener(upstream.port, 'mode: messages, messageTimeout: 300ms')])
  const idle = await rawClient(t, gate.port)
  const client = await rawClient(t, gate.port)
  const frame = encodeFrame({ opcode: 'binary', payload: Buffer.alloc(4000, 7), mask: true })
  // Some 2 KB a second, four times the least.
  for (let at = 0; at < frame.length; at += 100) {
    await client.send(frame.subarray(at, at + 100))
    await pass(50)
  }
  t.equal((await client.nextFrame()).payload.length, 4000)
  t.same([gate.lines.length, gate.registry.size, idle.frames()], [0, 2, []])
})

test('in frames mode, which holds no message, one may stay open by default; a reload with the key reaches it', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [listener(upstream.port, 'mode: frames')])
  const client = await rawClient(t, gate.port)
  await client.send(begun)
  await pass(800)
  t.equal(gate.lines.length, 0)
  await gate.reload([listener(upstream.port, 'mode: frames, messageTimeout: 200ms')])
  t.match(await gate.end(), { reason: 'too_slow', side: 'client' })
  await within(client.closed)
})

test('a client that is not read because its service is slow is not blamed for the rest of its message', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    said.wire.stopReading()
  })
  const gate = await startGate(t, [
    listener(upstream.port, 'mode: frames, maxMessage: off, messageTimeout: 300ms'),
  ])
  const client = await rawClient(t, gate.port)
  void client.send(
    encodeFrame({ opcode: 'binary', payload: Buffer.alloc(20_000_000), mask: Buffer.alloc(4) }),
  )
  await eventually(() => gate.open().owner!.isPaused('to_upstream'), {
    withinMs: 20_000,
    what: 'it to be held back',
  })
  await pass(1200)
  t.equal(gate.lines.length, 0)
  client.wire.destroy()
})
