import { test } from 'tap'
import type { Test } from 'tap'
import { pattern } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'

async function gateBefore(t: Test, upstream: { port: number }, websocket = '', rest = ''): Promise<Gate> {
  return startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms${rest} }, websocket: { mode: messages, ${websocket} }`,
  ])
}

test('the fragments of a message arrive as one, with the control frames between them ahead of it', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await gateBefore(t, upstream)
  const client = await rawClient(t, gate.port)
  await client.sendFrame({ opcode: 'text', payload: 'one ', fin: false })
  await client.sendFrame({ opcode: 'ping', payload: 'between' })
  await client.sendFrame({ opcode: 'continuation', payload: '', fin: false })
  await client.sendFrame({ opcode: 'continuation', payload: 'message' })
  const said = upstream.conversations[0]!
  t.match(await said.nextFrame(), { opcode: 'ping', payload: Buffer.from('between') })
  const whole = await said.nextFrame()
  t.match(whole, { opcode: 'text', fin: true, payload: Buffer.from('one message') })
  t.not(whole.mask, null)
  t.equal(gate.open().toUpstream.messages, 1)
})

test('single bytes of a message are put together, and nothing of it goes on before its end', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await gateBefore(t, upstream)
  const client = await rawClient(t, gate.port)
  const bytes = encodeFrame({ opcode: 'binary', payload: pattern(300), mask: true })
  for (const byte of bytes.subarray(0, -1)) {
    await client.send(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await eventually(() => gate.open().owner!.queued('upstream') > 250, {
    what: 'the bytes that are held to be counted',
  })
  t.same([upstream.conversations[0]!.frames().length, upstream.conversations[0]!.unfinished], [0, 0])
  await client.send(bytes.subarray(-1))
  t.same((await upstream.conversations[0]!.nextFrame()).payload, pattern(300))
  t.equal(gate.open().owner!.queued('upstream'), 0)
})

for (const side of ['client', 'upstream'] as const) {
  for (const how of ['FIN', 'RST'] as const) {
    test(`a message that is cut by the ${how} of the ${side} does not go on in part: aborted or reset, and the other side is told between frames`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, (said) => said.accept())
      const gate = await gateBefore(t, upstream)
      const client = await rawClient(t, gate.port)
      await eventually(() => upstream.conversations.length === 1)
      const said = upstream.conversations[0]!
      const [from, to] = side === 'client' ? [client, said] : [said, client]
      const bytes = Buffer.concat([
        encodeFrame({ opcode: 'text', payload: 'whole', mask: side === 'client' }),
        encodeFrame({ opcode: 'binary', payload: pattern(5000), mask: side === 'client' }).subarray(0, 3000),
      ])
      await from.send(bytes)
      await eventually(() => gate.open().owner!.queued(side === 'client' ? 'upstream' : 'client') >= 2900)
      if (how === 'FIN') from.wire.end()
      else from.wire.reset()
      t.match(await to.nextFrame(), { opcode: 'text', payload: Buffer.from('whole') })
      if (side === 'client')
        t.match(await to.nextFrame(), {
          opcode: 'close',
          code: 1001,
          reason: how === 'FIN' ? 'aborted' : 'reset',
        })
      const isReset = side === 'upstream' && how === 'RST'
      t.equal(await within(to.wire.ended), !isReset)
      to.wire.end()
      t.equal(
        to.frames().length,
        side === 'client' ? 2 : 1,
        'no Close for a client whose service left without one',
      )
      t.equal(to.unfinished, 0)
      t.match(await gate.end(), { reason: how === 'FIN' ? 'aborted' : 'reset', side })
    })
  }
}

for (const side of ['client', 'upstream'] as const) {
  test(`text of the ${side} that is not UTF-8 is a protocol_error: 1007 for it, and the other side never sees it`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, (said) => said.accept())
    const gate = await gateBefore(t, upstream)
    const client = await rawClient(t, gate.port)
    await eventually(() => upstream.conversations.length === 1)
    const said = upstream.conversations[0]!
    const [from, to] = side === 'client' ? [client, said] : [said, client]
    await from.sendFrame({ opcode: 'text', payload: 'ä\u{1f600}', fin: false })
    await from.sendFrame({ opcode: 'continuation', payload: '' })
    await from.sendFrame({ opcode: 'binary', payload: Buffer.of(0xff, 0xc0) })
    await from.sendFrame({ opcode: 'text', payload: Buffer.of(0x61, 0xc3) })
    await from.sendFrame({ opcode: 'text', payload: 'too late' })
    t.match(await from.nextFrame(), { opcode: 'close', code: 1007, reason: 'protocol_error' })
    t.match(await to.nextFrame(), { opcode: 'text', payload: Buffer.from('ä\u{1f600}') })
    t.match(await to.nextFrame(), { opcode: 'binary', payload: Buffer.of(0xff, 0xc0) })
    t.match(await to.nextFrame(), { opcode: 'close', code: side === 'client' ? 1001 : 1011 })
    t.match(await gate.end(), { reason: 'protocol_error', side, detail: 'text that is not UTF-8' })
  })
}

test('a character may be cut by a fragment, not by the end of its message', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream)
  const client = await rawClient(t, gate.port)
  await client.sendFrame({ opcode: 'text', payload: Buffer.of(0xc3), fin: false })
  await client.sendFrame({ opcode: 'continuation', payload: Buffer.of(0xa4) })
  t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('ä') })
})

test('maxMessage holds for what is assembled: at it a message passes, one byte more is message_too_big, 1009, and nothing of it went on', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream, 'maxMessage: 64KiB')
  for (const excess of [0, 1]) {
    const client = await rawClient(t, gate.port)
    await client.sendFrame({ opcode: 'binary', payload: pattern(60_000), fin: false })
    await client.sendFrame({ opcode: 'continuation', payload: pattern(65_536 - 60_000 + excess, 2) })
    const frame = await client.nextFrame()
    if (excess === 0) t.equal(frame.payload.length, 65_536)
    else t.match(frame, { opcode: 'close', code: 1009, reason: 'message_too_big' })
    t.equal((await upstream.connection(excess)).messages.length, 1 - excess)
    client.wire.destroy()
  }
})

test('maxFragments holds in messages mode too', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream, 'maxFragments: 3')
  const client = await rawClient(t, gate.port)
  const send = (count: number): Promise<boolean> =>
    client.send(
      Buffer.concat(
        Array.from({ length: count }, (_, i) =>
          encodeFrame({
            opcode: i === 0 ? 'text' : 'continuation',
            payload: 'x',
            fin: i === count - 1,
            mask: true,
          }),
        ),
      ),
    )
  await send(3)
  t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('xxx') })
  await send(4)
  t.match(await client.nextFrame(), { opcode: 'close', code: 1009 })
  t.match(await gate.end(), { reason: 'message_too_big', side: 'client' })
})

const codes = [1000, 1001, 1003, 1008, 1011, 1013, 3000, 4999]

for (const side of ['client', 'upstream'] as const) {
  test(`the close code and reason of a ${side} go through, behind the messages before it`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t, { echo: false })
    const gate = await gateBefore(t, upstream, 'compression: on')
    for (const [nth, code] of codes.entries()) {
      const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`, { perMessageDeflate: { threshold: 0 } })
      const seen = await upstream.connection(nth)
      const [from, to] = side === 'client' ? [client, seen] : [seen, client]
      for (let i = 0; i < 5; i++) from.socket.send('x'.repeat(i * 2000))
      from.socket.close(code, `reason ${code}`)
      t.same(await to.closed, { code, reason: `reason ${code}` })
      t.same(
        to.messages.map(({ data }) => data.length),
        [0, 2000, 4000, 6000, 8000],
      )
      t.same(await from.closed, { code, reason: `reason ${code}` })
      t.match(await gate.end(nth), { reason: 'eof', side, phase: 'relay', detail: `code ${code}` })
    }
  })
}

test('a Close without a code stays one', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream)
  const client = await rawClient(t, gate.port)
  await client.sendFrame({ opcode: 'close' })
  t.match(await client.nextFrame(), { opcode: 'close', payload: Buffer.alloc(0) })
  t.same(await (await upstream.connection()).closed, { code: 1005, reason: '' })
  t.match(await gate.end(), { reason: 'eof', side: 'client', detail: 'no code' })
})

test('pings and pongs of an application pass, with what is in them', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream, 'ping: { interval: 100ms, timeout: 100ms }')
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  const seen = await upstream.connection()
  for (let i = 0; i < 30; i++) {
    client.socket.ping(`c${i}`)
    seen.socket.ping(`u${i}`)
    await eventually(
      () =>
        client.pongs.some((pong) => pong.toString() === `c${i}`) &&
        seen.pongs.some((pong) => pong.toString() === `u${i}`),
      { what: `pong ${i}` },
    )
  }
  t.same(
    client.pongs.map(String),
    Array.from({ length: 30 }, (_, i) => `c${i}`),
  )
  t.same(
    seen.pongs.map(String),
    Array.from({ length: 30 }, (_, i) => `u${i}`),
  )
})

test('frames that are wrong are refused as in frames mode', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream, 'compression: on')
  const wrong: Array<[string, Buffer]> = [
    ['RSV1 without compression', encodeFrame({ opcode: 'text', rsv: 4, mask: true })],
    ['no mask', encodeFrame({ opcode: 'text' })],
    ['a reserved opcode', encodeFrame({ opcode: 3, mask: true })],
    ['a continuation of nothing', encodeFrame({ opcode: 'continuation', mask: true })],
    ['a length not in its minimal form', encodeFrame({ opcode: 'text', lengthBits: 64, mask: true })],
    [
      'a close code that may not be sent',
      encodeFrame({ opcode: 'close', payload: closePayload(1005), mask: true }),
    ],
  ]
  for (const [nth, [name, bytes]] of wrong.entries()) {
    const client = await rawClient(t, gate.port)
    await client.send(bytes)
    t.match(await client.nextFrame(), { opcode: 'close', code: 1002, reason: 'protocol_error' }, name)
    client.wire.end()
    t.match(await gate.end(nth), { reason: 'protocol_error', side: 'client' })
  }
})
