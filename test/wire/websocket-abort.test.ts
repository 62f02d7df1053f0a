import { test } from 'tap'
import { pattern } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'
import type { Conversation, RawClient } from '../support/websocket.ts'
import type { Test } from 'tap'

const RESET = { kind: 'reset' }

/** A pair of peers by hand, with one message gone through each way. */
async function pair(t: Test): Promise<{ gate: Gate; client: RawClient; said: Conversation }> {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.accept({}, encodeFrame({ opcode: 'text', payload: 'hello' })),
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, websocket: { ping: { interval: off } }`,
  ])
  const client = await rawClient(t, gate.port, { halfOpen: true })
  await client.nextFrame()
  await client.sendFrame({ opcode: 'text', payload: 'hello' })
  const said = upstream.conversations[0]!
  await said.nextFrame()
  return { gate, client, said }
}

test('the FIN of a client without a Close is an abort: 1001 for the upstream', async (t) => {
  const { gate, client, said } = await pair(t)
  client.wire.end()
  t.match(await said.nextFrame(), { opcode: 'close', code: 1001, reason: 'aborted' })
  t.equal(await within(said.wire.ended), true)
  said.wire.end()
  t.match(await gate.end(), {
    reason: 'aborted',
    side: 'client',
    phase: 'relay',
    detail: 'FIN without a Close frame',
  })
})

test('who has answered our Close is let go, whether it closes or not', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept({}))
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 1h }`,
  ])
  const client = await rawClient(t, gate.port, { halfOpen: true })
  await eventually(() => upstream.conversations.length === 1 && gate.open().phase === 'relay')
  client.wire.end()
  const said = upstream.conversations[0]!
  t.match(await said.nextFrame(), { opcode: 'close', code: 1001, reason: 'aborted' })
  await said.send(encodeFrame({ opcode: 'close', payload: Buffer.from([0x03, 0xe9]) }))
  t.match(await gate.end(), { reason: 'aborted', side: 'client' })
  t.equal(await within(said.wire.ended), true, 'it saw our FIN')
  t.notOk(said.wire.socket.destroyed, 'and has sent none')
  said.wire.end()
})

test('the FIN of an upstream without a Close is an abort: FIN for the client, and no Close either', async (t) => {
  const { gate, client, said } = await pair(t)
  said.wire.end()
  t.equal(await within(client.wire.ended), true)
  t.equal(client.frames().length, 1, 'no Close')
  client.wire.end()
  t.match(await gate.end(), {
    reason: 'aborted',
    side: 'upstream',
    phase: 'relay',
    detail: 'FIN without a Close frame',
  })
})

test('the FIN of a side inside a frame: no Close is written into the frame of the other', async (t) => {
  for (const side of ['client', 'upstream'] as const) {
    await t.test(side, async (t) => {
      const { gate, client, said } = await pair(t)
      const [from, to] = side === 'client' ? [client, said] : [said, client]
      const half = encodeFrame({
        opcode: 'binary',
        payload: pattern(5000),
        mask: side === 'client',
      }).subarray(0, 3000)
      await from.send(half)
      from.wire.end()
      t.equal(await within(to.wire.ended), true)
      t.same([to.frames().length, to.unfinished], [1, 3000])
      to.wire.end()
      t.match(await gate.end(), { reason: 'aborted', side, detail: 'FIN inside a message' })
    })
  }
})

test('the FIN of a side between two fragments: the other is told, between frames', async (t) => {
  const { gate, client, said } = await pair(t)
  await client.sendFrame({ opcode: 'text', payload: 'half', fin: false })
  client.wire.end()
  t.match(await said.nextFrame(), { opcode: 'text', fin: false })
  t.match(await said.nextFrame(), { opcode: 'close', code: 1001 })
  said.wire.end()
  t.match(await gate.end(), { reason: 'aborted', side: 'client', detail: 'FIN inside a message' })
})

test('a header that was begun before FIN does not go on', async (t) => {
  const { gate, client, said } = await pair(t)
  await client.send(encodeFrame({ opcode: 'binary', payload: pattern(500), mask: true }).subarray(0, 7))
  client.wire.end()
  t.match(await said.nextFrame(), { opcode: 'close', code: 1001 })
  said.wire.end()
  t.match(await gate.end(), { reason: 'aborted', side: 'client' })
  t.equal(said.unfinished, 0)
})

test('the RST of a client: the upstream is told 1001; the RST of an upstream is RST for the client, and no Close', async (t) => {
  for (const side of ['client', 'upstream'] as const) {
    await t.test(side, async (t) => {
      const { gate, client, said } = await pair(t)
      const [from, to] = side === 'client' ? [client, said] : [said, client]
      from.wire.reset()
      if (side === 'client') {
        t.match(await to.nextFrame(), { opcode: 'close', code: 1001, reason: 'reset' })
        t.equal(await within(to.wire.ended), true)
        to.wire.end()
      } else {
        t.match(await within(to.closed), RESET)
        t.equal(to.frames().length, 1)
      }
      t.match(await gate.end(), { reason: 'reset', side, phase: 'relay', detail: 'ECONNRESET' })
    })
  }
})

test('the RST of a side inside a frame is RST for the other, and no byte of ours', async (t) => {
  for (const side of ['client', 'upstream'] as const) {
    await t.test(side, async (t) => {
      const { gate, client, said } = await pair(t)
      const [from, to] = side === 'client' ? [client, said] : [said, client]
      await from.send(
        encodeFrame({ opcode: 'binary', payload: pattern(5000), mask: side === 'client' }).subarray(0, 3000),
      )
      await eventually(() => to.unfinished === 3000)
      from.wire.reset()
      t.match(await within(to.closed), RESET)
      t.same([to.wire.hasEnded, to.frames().length, to.unfinished], [false, 1, 3000])
      t.match(await gate.end(), { reason: 'reset', side })
    })
  }
})

test('who answers our Close with what is no frame gets FIN behind it', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept({}))
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 1h }`,
  ])
  const client = await rawClient(t, gate.port, { halfOpen: true })
  await eventually(() => upstream.conversations.length === 1 && gate.open().phase === 'relay')
  const drained = gate.drain(600_000)
  t.match(await client.nextFrame(), { opcode: 'close', code: 1012, reason: 'drain' })
  await client.send(Buffer.from('nonsense'))
  t.equal(await within(client.wire.ended), true)
  client.wire.end()
  upstream.conversations[0]!.wire.end()
  await drained
  t.match(await gate.end(), { reason: 'drain' })
})
