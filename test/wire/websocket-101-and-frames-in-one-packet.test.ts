import { test } from 'tap'
import { pattern, sha256 } from '../support/bytes.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { switchingProtocols } from '../support/handshake.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsClient } from '../support/websocket.ts'

test('frames in the packet of the 101 reach the client behind it, in order', async (t) => {
  watchLeaks(t)
  const frames = Buffer.concat([
    encodeFrame({ opcode: 'text', payload: 'one' }),
    encodeFrame({ opcode: 'ping', payload: 'p' }),
    encodeFrame({ opcode: 'binary', payload: pattern(20_000) }).subarray(0, 9000),
  ])
  const rest = encodeFrame({ opcode: 'binary', payload: pattern(20_000) }).subarray(9000)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, frames)
    await said.nextFrame()
    await said.send(rest)
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port)
  t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('one') })
  t.match(await client.nextFrame(), { opcode: 'ping' })
  await client.sendFrame({ opcode: 'text', payload: 'go on' })
  const { payload } = await client.nextFrame()
  t.equal(sha256(payload), sha256(pattern(20_000)))
})

test('a 101 and frames that come byte by byte are understood the same', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    const bytes = Buffer.concat([
      Buffer.from(switchingProtocols(said.head)),
      encodeFrame({ opcode: 'text', payload: 'one' }),
      encodeFrame({ opcode: 'text', payload: 'two' }),
    ])
    for (const byte of bytes) {
      await said.send(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  t.equal((await client.nextMessage()).data.toString(), 'one')
  t.equal((await client.nextMessage()).data.toString(), 'two')
})

test('a bad frame in the packet of the 101 ends the connection, behind the frames before it', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.accept(
      {},
      Buffer.concat([encodeFrame({ opcode: 'text', payload: 'one' }), encodeFrame({ opcode: 3 })]),
    ),
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port)
  t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('one') })
  t.match(await client.nextFrame(), { opcode: 'close', code: 1011, reason: 'protocol_error' })
  t.match(await gate.end(), {
    reason: 'protocol_error',
    side: 'upstream',
    phase: 'relay',
    detail: 'reserved opcode 3',
  })
})

test('a Close in the packet of the 101 is passed on, and answered', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, encodeFrame({ opcode: 'close', payload: Buffer.from('0fa1', 'hex') }))
    t.match(await said.nextFrame(), { opcode: 'close', code: 4001 })
    said.wire.end()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  t.match(await client.closed, { code: 4001 })
  t.match(await gate.end(), { reason: 'eof', side: 'upstream', detail: 'code 4001' })
})
