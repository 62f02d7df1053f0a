import { test } from 'tap'
import type { Test } from 'tap'
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib'
import { pattern, sha256 } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsServer } from '../support/websocket.ts'

const MIB = 1024 * 1024
const offer = { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' } }

function deflated(bytes: Uint8Array | string): Buffer {
  return deflateRawSync(Buffer.from(bytes as Uint8Array), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(
    0,
    -4,
  )
}

const inflated = (bytes: Buffer): Buffer =>
  inflateRawSync(Buffer.concat([bytes, Buffer.of(0, 0, 0xff, 0xff)]), { finishFlush: constants.Z_SYNC_FLUSH })

async function gateBefore(t: Test, upstream: { port: number }, websocket = ''): Promise<Gate> {
  return startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }, websocket: { mode: messages, compression: on${websocket} }`,
  ])
}

test('a client that offers compression gets it, each message for itself, and the service sees plain messages', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream)
  const client = await rawClient(t, gate.port, offer)
  const answer = client.answer!.header('sec-websocket-extensions')
  t.match(answer, /^permessage-deflate;/)
  t.match(answer, /server_no_context_takeover/)
  t.match(answer, /client_no_context_takeover/)
  t.equal((await upstream.connection()).headers['sec-websocket-extensions'], undefined)
  const text = 'compressible '.repeat(500)
  for (let i = 0; i < 3; i++) {
    await client.sendFrame({ opcode: 'text', rsv: 4, payload: deflated(text) })
    const frame = await client.nextFrame()
    t.match(frame, { opcode: 'text', rsv: 4, fin: true })
    t.ok(frame.payload.length < 200, `${frame.payload.length} bytes`)
    t.equal(inflated(frame.payload).toString(), text)
  }
  // Not every message must be.
  await client.sendFrame({ opcode: 'text', payload: text })
  t.match(await client.nextFrame(), { rsv: 4 })
  await client.sendFrame({ opcode: 'text', payload: 'short' })
  t.match(await client.nextFrame(), { rsv: 0, payload: Buffer.from('short') })
  t.same((await upstream.connection()).errors, [])
})

test('the fragments of a compressed message, cut anywhere, are one message', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream)
  const client = await rawClient(t, gate.port, offer)
  const payload = deflated(pattern(5000))
  const cuts = [0, 1, 7, 2000, payload.length]
  for (let i = 1; i < cuts.length; i++) {
    await client.sendFrame({
      opcode: i === 1 ? 'binary' : 'continuation',
      rsv: i === 1 ? 4 : 0,
      payload: payload.subarray(cuts[i - 1], cuts[i]),
      fin: i === cuts.length - 1,
    })
  }
  t.equal(sha256(inflated((await client.nextFrame()).payload)), sha256(pattern(5000)))
})

for (const [what, extensions] of [
  ['nothing', null],
  ['another extension', 'x-other'],
  ['what cannot be', 'permessage-deflate; server_max_window_bits=99'],
  ['what cannot be read', 'permessage-deflate; "'],
] as const) {
  test(`a client that offers ${what} gets none, and may not compress`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t)
    const gate = await gateBefore(t, upstream)
    const client = await rawClient(
      t,
      gate.port,
      extensions === null ? {} : { headers: { 'Sec-WebSocket-Extensions': extensions } },
    )
    t.notOk(client.answer!.header('sec-websocket-extensions'))
    await client.sendFrame({ opcode: 'text', payload: 'x'.repeat(2000) })
    t.match(await client.nextFrame(), { rsv: 0 })
    await client.sendFrame({ opcode: 'text', rsv: 4, payload: deflated('x') })
    t.match(await client.nextFrame(), { opcode: 'close', code: 1002 })
  })
}

test('a service that compresses though it was offered nothing breaks the protocol', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.accept({}, encodeFrame({ opcode: 'text', rsv: 4, payload: deflated('x') })),
  )
  const gate = await gateBefore(t, upstream)
  const client = await rawClient(t, gate.port, offer)
  t.match(await client.nextFrame(), { opcode: 'close', code: 1011, reason: 'protocol_error' })
  t.match(await gate.end(), { reason: 'protocol_error', side: 'upstream', detail: /RSV1/ })
})

test('a bomb is message_too_big, 1009, costs no more than maxMessage, and nothing of it reaches the service; one that just fits passes', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { echo: false, maxPayload: 0 })
  const gate = await gateBefore(t, upstream, ', maxMessage: 1MiB')
  for (const [nth, size] of [MIB, MIB + 1, 64 * MIB].entries()) {
    const bomb = deflated(Buffer.alloc(size))
    t.ok(bomb.length < MIB)
    const client = await rawClient(t, gate.port, offer)
    const seen = await upstream.connection(nth)
    const before = process.memoryUsage.rss()
    await client.sendFrame({ opcode: 'binary', rsv: 4, payload: bomb })
    if (size === MIB) {
      await eventually(() => seen.messages.length === 1)
      t.equal(seen.messages[0]!.data.length, MIB)
      client.wire.destroy()
      continue
    }
    t.match(await client.nextFrame(), { opcode: 'close', code: 1009, reason: 'message_too_big' })
    t.ok(
      process.memoryUsage.rss() - before < 32 * MIB,
      `${(process.memoryUsage.rss() - before) / MIB} MiB for ${size / MIB}`,
    )
    t.match(await seen.closed, { code: 1001 })
    t.same(seen.messages, [])
  }
  t.match(await gate.end(1), {
    reason: 'message_too_big',
    side: 'client',
    detail: 'message that inflates to more than 1048576 bytes (websocket.maxMessage)',
  })
})

test('many bombs of one client in one packet inflate one after the other, behind what the service has taken', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    said.wire.stopReading()
    await said.accept()
  })
  const gate = await gateBefore(t, upstream, ', maxMessage: 1MiB')
  const client = await rawClient(t, gate.port, offer)
  const message = encodeFrame({ opcode: 'binary', rsv: 4, mask: true, payload: deflated(Buffer.alloc(MIB)) })
  await client.send(Buffer.concat(Array.from({ length: 40 }, () => message)))
  await eventually(() => gate.open().toUpstream.messages === 40)
  let most = 0
  let last = -1
  await eventually(() => {
    const now = gate.open().owner!.queued('upstream')
    most = Math.max(most, now)
    const isQuiet = now === last
    last = now
    return isQuiet && now > 0
  })
  await new Promise((resolve) => setTimeout(resolve, 200))
  const queued = gate.open().owner!.queued('upstream')
  t.ok(Math.max(most, queued) < 2 * MIB, `${queued} bytes wait`)
  const said = upstream.conversations[0]!
  said.wire.socket.removeAllListeners('data')
  let bytes = 0
  said.wire.socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
  said.wire.resumeReading()
  await eventually(() => bytes >= 40 * MIB, { withinMs: 30_000 })
})

test('broken compressed data and bad UTF-8 inside it are a protocol_error, 1007; messages before it arrive, those behind it do not', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { echo: false })
  const gate = await gateBefore(t, upstream)
  const wrong: Array<[string, Buffer, RegExp]> = [
    ['no deflate', Buffer.of(0xff, 0xff, 0xff), /^compressed message: /],
    ['text that is none', deflated(Buffer.of(0x61, 0xff)), /not UTF-8/],
  ]
  for (const [nth, [name, payload, detail]] of wrong.entries()) {
    const client = await rawClient(t, gate.port, offer)
    await client.send(
      Buffer.concat([
        encodeFrame({ opcode: 'text', rsv: 4, mask: true, payload: deflated('before') }),
        encodeFrame({ opcode: 'text', rsv: 4, mask: true, payload }),
        encodeFrame({ opcode: 'text', rsv: 4, mask: true, payload: deflated('behind') }),
      ]),
    )
    t.match(await client.nextFrame(), { opcode: 'close', code: 1007, reason: 'protocol_error' }, name)
    client.wire.end()
    t.match(await gate.end(nth), { reason: 'protocol_error', side: 'client', detail })
    const seen = await upstream.connection(nth)
    t.match(await seen.closed, { code: 1001 })
    t.same(
      seen.messages.map(({ data }) => data.toString()),
      ['before'],
    )
  }
})

test('a Close and FIN right behind compressed messages wait for them', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { echo: false })
  const gate = await gateBefore(t, upstream)
  const client = await rawClient(t, gate.port, { ...offer, halfOpen: true })
  await client.send(
    Buffer.concat([
      ...Array.from({ length: 5 }, (_, i) =>
        encodeFrame({ opcode: 'text', rsv: 4, mask: true, payload: deflated(`${i}`.repeat(50_000)) }),
      ),
      encodeFrame({ opcode: 'close', payload: closePayload(4000, 'done'), mask: true }),
    ]),
  )
  client.wire.end()
  const seen = await upstream.connection()
  t.same(await seen.closed, { code: 4000, reason: 'done' })
  t.same(
    seen.messages.map(({ data }) => [data.length, data.toString()[0]]),
    [0, 1, 2, 3, 4].map((i) => [50_000, `${i}`]),
  )
  t.match(await client.nextFrame(), { opcode: 'close', code: 4000 })
  t.match(await gate.end(), { reason: 'eof', side: 'client' })
})

for (const how of ['FIN', 'RST'] as const) {
  test(`${how} while a message is inflated or deflated leaves nothing behind`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t)
    const gate = await gateBefore(t, upstream, ', maxMessage: 8MiB')
    const text = 'x'.repeat(4 * MIB)
    for (let i = 0; i < 6; i++) {
      const client = await rawClient(t, gate.port, offer)
      await client.sendFrame({ opcode: 'text', rsv: 4, payload: deflated(text) })
      if (i % 2 === 1) await eventually(() => gate.open().toUpstream.sent > MIB)
      if (how === 'FIN') client.wire.destroy()
      else client.wire.reset()
      await within(client.closed)
      t.match(await gate.end(i), { side: 'client' })
    }
    // It works as before.
    const client = await rawClient(t, gate.port, offer)
    await client.sendFrame({ opcode: 'text', rsv: 4, payload: deflated(text) })
    t.equal(inflated((await client.nextFrame()).payload).length, text.length)
  })
}
