import root, { test } from 'tap'
import { readFileSync } from 'node:fs'
import { authority } from '../support/certificates.ts'
import { eventually, isSettled, within } from '../support/eventually.ts'
import { closePayload } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'

const modes = ['frames', 'messages'] as const

const ca = authority(root)
const server = ca.issue('localhost')

const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

for (const who of ['the gate', 'the application'] as const)
  for (const mode of modes)
    test(`pings and pongs of ${who} are no data: a pair that only has those ends with idle_timeout, 1001 for both, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await wsServer(t)
      const gate = await startGate(t, [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 1s, close: 500ms }, websocket: { mode: ${mode}, ping: { interval: 100ms, timeout: 100ms } }`,
      ])
      const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
      const timer = setInterval(() => who === 'the application' && client.socket.ping(), 40)
      t.teardown(() => clearInterval(timer))
      t.same(await client.closed, { code: 1001, reason: 'idle_timeout' })
      clearInterval(timer)
      t.same(await (await upstream.connection()).closed, { code: 1001, reason: 'idle_timeout' })
      t.match(await gate.end(), { reason: 'idle_timeout', side: 'sidegate', phase: 'relay' })
      t.ok((who === 'the gate' ? client.pings : client.pongs).length > 0, 'there were some')
      const { durationMs } = (await gate.end()).line as { durationMs: number }
      t.ok(durationMs >= 1000, `${durationMs} ms`)
    })

test('a ping in each record of TLS is no data either, at any rate of pings', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 1s, close: 500ms }, tls: { cert: ${server.cert}, key: ${server.key} }`,
  ])
  const client = await wsClient(t, `wss://127.0.0.1:${gate.port}`, { ca: readFileSync(ca.cert) })
  const service = await upstream.connection()
  const timer = setInterval(() => {
    client.socket.ping()
    for (let i = 0; i < 10; i++) service.socket.ping()
  }, 10)
  t.teardown(() => clearInterval(timer))
  t.same(await client.closed, { code: 1001, reason: 'idle_timeout' })
  clearInterval(timer)
  t.same(await service.closed, { code: 1001, reason: 'idle_timeout' })
  t.match(await gate.end(), { reason: 'idle_timeout', side: 'sidegate', phase: 'relay' })
})

for (const mode of modes)
  test(`one-way push keeps a pair from idle_timeout, either way, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t, { echo: false })
    const gate = await startGate(t, [
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 400ms, close: 500ms }`,
    ])
    const pushed = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    const pushing = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    const seen = await upstream.connection(0)
    for (let i = 0; i < 15; i++) {
      seen.socket.send('x')
      await pushing.send('x')
      await pass(80)
    }
    t.equal(gate.lines.length, 0)
    await eventually(() => pushed.messages.length === 15)
  })

for (const mode of modes)
  test(`upstreamIdle: pongs do not make an upstream talk; its client is told 1001, it too, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t, { echo: false })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { upstreamIdle: 300ms, close: 500ms }, websocket: { mode: ${mode}, ping: { interval: 100ms, timeout: 100ms } }`,
    ])
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    const timer = setInterval(() => void client.send('talking'), 30)
    t.teardown(() => clearInterval(timer))
    t.same(await client.closed, { code: 1001, reason: 'idle_timeout' })
    clearInterval(timer)
    t.same(await (await upstream.connection()).closed, { code: 1001, reason: 'idle_timeout' })
    t.match(await gate.end(), { reason: 'idle_timeout', side: 'upstream' })
  })

for (const mode of modes)
  test(`lifetime_timeout ends a busy pair with 1001 for both, and each is let go when it has answered, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, (said) => said.accept())
    const gate = await startGate(t, [
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}", deadlines: { lifetime: 300ms, close: 5s }`,
    ])
    const client = await rawClient(t, gate.port, { halfOpen: true })
    const said = upstream.conversations[0]!
    const timer = setInterval(() => {
      if (client.wire.hasEnded || said.wire.hasEnded) return
      void client.sendFrame({ opcode: 'text', payload: 'busy' })
      void said.sendFrame({ opcode: 'text', payload: 'busy' })
    }, 20)
    t.teardown(() => clearInterval(timer))
    await eventually(() => client.frames().some(({ opcode }) => opcode === 'close'))
    await eventually(() => said.frames().some(({ opcode }) => opcode === 'close'))
    t.match(client.frames().at(-1), { opcode: 'close', code: 1001, reason: 'lifetime_timeout', mask: null })
    t.match(said.frames().at(-1), { opcode: 'close', code: 1001, reason: 'lifetime_timeout' })
    // Both still send, before their answer: the gate must not cut them off for that alone.
    await pass(300)
    clearInterval(timer)
    t.same([client.wire.hasEnded, said.wire.hasEnded], [false, false])
    await client.sendFrame({ opcode: 'close', payload: closePayload(1001) })
    t.equal(await within(client.wire.ended), true)
    t.equal(await isSettled(said.wire.ended), false)
    client.wire.end()
    await said.sendFrame({ opcode: 'close', payload: closePayload(1001) })
    t.equal(await within(said.wire.ended), true)
    said.wire.end()
    t.match(await gate.end(), { reason: 'lifetime_timeout', side: 'sidegate', phase: 'relay' })
    t.same(said.frames().filter(({ opcode }) => opcode === 'close').length, 1)
  })

test('peers that never answer a lifetime_timeout are sent FIN, and reset after deadlines.close', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { lifetime: 200ms, close: 200ms }`,
  ])
  const client = await rawClient(t, gate.port, { halfOpen: true })
  const peers = [client.wire, upstream.conversations[0]!.wire]
  const watch = stopwatch(t)
  for (const peer of peers) t.equal(await within(peer.ended), true)
  t.match(await gate.end(), { reason: 'lifetime_timeout' })
  // Node has stopped reading at the FIN, and sees RST when it writes.
  for (const peer of peers) {
    await peer.write('x').catch(() => {})
    t.match(await within(peer.closed), { kind: 'reset' })
  }
  t.ok(watch.livedMs < 3000, `${watch.livedMs} of ${watch.ms} ms`)
})
