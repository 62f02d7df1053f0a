import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, flooder, sink } from '../support/peers.ts'
import { rawClient, wsServer } from '../support/websocket.ts'

/** Bytes from a message that is never whole, one each 20 ms. */
function trickle(t: Test, send: (bytes: Buffer) => unknown): void {
  const timer = setInterval(() => void send(Buffer.alloc(1)), 20)
  t.teardown(() => clearInterval(timer))
}

const webGate = async (t: Test, mode = 'enforce') => {
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { minRate: { bytes: 1KiB, after: 250ms, mode: ${mode} } }`,
  ])
  return { upstream, gate }
}

test('a WebSocket client whose message trickles in below limits.minRate is too_slow, and both ends are reset', async (t) => {
  watchLeaks(t)
  const { gate, upstream } = await webGate(t)
  const client = await rawClient(t, gate.port)
  const start = performance.now()
  await client.send(encodeFrame({ opcode: 'binary', declares: 10_000, mask: true }))
  trickle(t, (bytes) => client.send(bytes))
  t.match(await gate.end(), { reason: 'too_slow', side: 'client', phase: 'relay', detail: 'limits.minRate' })
  t.ok(performance.now() - start >= 240)
  t.equal((await within(client.closed)).kind, 'reset')
  await within((await upstream.connection()).closed)
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_rate_limited_total', {
      listener: 'l0',
      limit: 'minRate',
      action: 'close',
    }),
    1,
  )
})

test('a WebSocket client that is idle, or says little in whole messages, is not too_slow', async (t) => {
  watchLeaks(t)
  const { gate, upstream } = await webGate(t)
  await rawClient(t, gate.port)
  const chatty = await rawClient(t, gate.port)
  for (let i = 0; i < 10; i++) {
    await chatty.sendFrame({ opcode: 'text', payload: 'hi', fin: false })
    await new Promise((resolve) => setTimeout(resolve, 30))
    await chatty.sendFrame({ opcode: 'continuation', payload: '!' })
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  t.equal((await upstream.connection(1)).messages.length, 10)
  t.equal(gate.lines.length, 0)
})

test('a minRate that is observed counts a trickle once, and lets it be', async (t) => {
  watchLeaks(t)
  const { gate } = await webGate(t, 'observe')
  const client = await rawClient(t, gate.port)
  await client.send(encodeFrame({ opcode: 'binary', declares: 10_000, mask: true }))
  trickle(t, (bytes) => client.send(bytes))
  await eventually(
    async () =>
      readSamples(await gate.metrics()).get('sidegate_observed_total', {
        listener: 'l0',
        limit: 'minRate',
      }) === 1,
  )
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_observed_total', { listener: 'l0', limit: 'minRate' }),
    1,
  )
  t.equal(gate.lines.length, 0)
})

/** Reads so many bytes each 20 ms, and nothing in between. */
function readSlowly(t: Test, wire: Awaited<ReturnType<typeof connect>>, bytes: number): void {
  const timer = setInterval(() => wire.socket.read(bytes) ?? wire.socket.read(), 20)
  t.teardown(() => clearInterval(timer))
}

test('a tcp client that takes what waits for it below limits.minRate is too_slow, and is reset', async (t) => {
  // A look into the kernel may be under way at the end, and takes long on a machine with many sockets.
  watchLeaks(t, { withinMs: 20_000 })
  const upstream = await flooder(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { minRate: { bytes: 256KiB, after: 500ms } }`,
  ])
  const client = await connect(t, gate.port, { unread: true })
  client.socket.removeAllListeners('data')
  readSlowly(t, client, 100)
  t.match(await gate.end(), { reason: 'too_slow', side: 'client', phase: 'relay' })
})

test('a tcp client that takes enough is not too_slow, and one that sends little or nothing is not judged', async (t) => {
  // A look into the kernel may be under way at the end, and takes long on a machine with many sockets.
  watchLeaks(t, { withinMs: 20_000 })
  const upstream = await flooder(t)
  const quiet = await sink(t)
  const minRate = 'limits: { minRate: { bytes: 256KiB, after: 500ms } }'
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${minRate}`,
    `protocol: tcp, upstream: "127.0.0.1:${quiet.port}", ${minRate}`,
  ])
  const reader = await connect(t, gate.ports[0]!, { unread: true })
  reader.socket.removeAllListeners('data')
  readSlowly(t, reader, 64 * 1024)
  const trickler = await connect(t, gate.ports[1]!)
  trickle(t, (bytes) => trickler.write(bytes))
  await new Promise((resolve) => setTimeout(resolve, 1500))
  t.equal(gate.lines.length, 0)
  reader.reset()
  await gate.end()
})
