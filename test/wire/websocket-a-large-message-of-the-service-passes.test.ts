import { test } from 'tap'
import { pattern, sha256 } from '../support/bytes.ts'
import { within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'

const MIB = 1024 * 1024
const wait = { withinMs: 60_000 }

test('with every default a message of 4 MiB from the service arrives, and one of a client is message_too_big', async (t) => {
  watchLeaks(t)
  const bytes = pattern(4 * MIB, 3)
  const upstream = await wsServer(t, { echo: false, maxPayload: 8 * MIB })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`, { maxPayload: 8 * MIB })
  const seen = await upstream.connection()
  seen.socket.send(bytes)
  t.equal(sha256((await client.nextMessage(wait)).data), sha256(bytes))
  void client.send(bytes)
  t.match(await within(client.closed), { code: 1009, reason: 'message_too_big' })
  t.match(await gate.end(), {
    reason: 'message_too_big',
    side: 'client',
    detail: /1048576 bytes \(websocket\.maxMessage\)/,
  })
})

for (const mode of ['frames', 'messages'] as const)
  test(`maxFragments is for clients: one message of the service in 5000 fragments arrives, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      const fragments = Array.from({ length: 5000 }, (_, nth) =>
        encodeFrame({ opcode: nth === 0 ? 'text' : 'continuation', payload: 'abcdefgh', fin: nth === 4999 }),
      )
      await said.send(Buffer.concat(fragments))
    })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode} }`,
    ])
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    t.equal((await client.nextMessage(wait)).data.toString(), 'abcdefgh'.repeat(5000))
  })

for (const [mode, key] of [
  ['frames', 'maxMessageToClient: 64KiB'],
  ['messages', 'maxMessageToClient: 64KiB, maxMessage: 1MiB'],
  ['messages', 'maxMessage: 64KiB'],
] as const) {
  test(`${key} bounds a message of the service in ${mode} mode: at it one passes, one byte more is message_too_big by the upstream`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t, { echo: false })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode}, ${key} }, deadlines: { close: 500ms }`,
    ])
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    const seen = await upstream.connection()
    seen.socket.send(pattern(65_536))
    t.equal((await client.nextMessage()).data.length, 65_536)
    seen.socket.send(pattern(65_537))
    t.match(await gate.end(), {
      reason: 'message_too_big',
      side: 'upstream',
      detail: /65536 bytes \(websocket\.maxMessageToClient\)/,
    })
    t.match(await within(seen.closed), { code: 1009, reason: 'message_too_big' })
    t.equal(client.messages.length, 1)
  })
}

test('in frames mode a service may send a message of any length while a client may not, with maxMessageToClient: off written or not', async (t) => {
  watchLeaks(t)
  for (const key of ['', ', maxMessageToClient: off']) {
    const upstream = await scriptedUpstream(t, (said) =>
      said.accept({}, encodeFrame({ opcode: 'binary', declares: 2n ** 40n, payload: 'begun' })),
    )
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { maxMessage: 1KiB${key} }, deadlines: { close: 500ms }`,
    ])
    const client = await rawClient(t, gate.port)
    await client.wire.read(15)
    t.equal(gate.lines.length, 0)
    await client.sendFrame({ opcode: 'binary', declares: 1025 })
    t.match(await gate.end(), { reason: 'message_too_big', side: 'client' })
    client.wire.destroy()
  }
})
