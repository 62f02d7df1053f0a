import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { parseAnswer } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'
import type { Conversation } from '../support/websocket.ts'

const early = encodeFrame({ opcode: 'text', payload: 'early', mask: true })

test('what a client sends before the 101 is held, and delivered behind it, in order', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port, { handshake: false })
  // The first frame in the packet of the head, the second while the upstream has it.
  await client.send(Buffer.concat([Buffer.from(upgradeRequest()), early]))
  const said = await eventually(() => upstream.conversations[0])
  await client.sendFrame({ opcode: 'text', payload: 'still early' })
  await eventually(() => gate.open().toUpstream.received > 0)
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(said.wire.bytes, said.head.length, 'nothing but the head')
  await said.accept()
  t.match(await said.nextFrame(), { opcode: 'text', payload: Buffer.from('early') })
  t.match(await said.nextFrame(), { opcode: 'text', payload: Buffer.from('still early') })
  await client.sendFrame({ opcode: 'text', payload: 'late' })
  t.match(await said.nextFrame(), { payload: Buffer.from('late') })
  t.equal(gate.open().toUpstream.messages, 3)
})

test('more than the gate may hold, sent early, waits in the client, and all of it is delivered', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, websocket: { maxMessage: 16MiB }`,
  ])
  const client = await rawClient(t, gate.port, { handshake: false })
  const big = encodeFrame({ opcode: 'binary', payload: Buffer.alloc(12 * 1024 * 1024, 7), mask: true })
  void client.send(Buffer.concat([Buffer.from(upgradeRequest()), big]))
  const said = await eventually(() => upstream.conversations[0])
  await client.wire.stalled(50)
  t.equal(said.wire.bytes, said.head.length)
  await said.accept()
  const frame = await said.nextFrame({ withinMs: 20_000 })
  t.equal(frame.payload.equals(Buffer.alloc(12 * 1024 * 1024, 7)), true)
})

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const bad: Array<[what: string, answer: (said: Conversation) => unknown, detail: RegExp]> = [
  ['no accept', (said) => said.accept({ 'Sec-WebSocket-Accept': null }), /Accept/],
  [
    'a wrong accept',
    (said) => said.accept({ 'Sec-WebSocket-Accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOp=' }),
    /Accept/,
  ],
  ['the key as accept', (said) => said.accept({ 'Sec-WebSocket-Accept': KEY }), /Accept/],
  ['no Upgrade', (said) => said.accept({ Upgrade: null }), /Upgrade/],
  ['Upgrade: foo', (said) => said.accept({ Upgrade: 'foo' }), /Upgrade/],
  ['no Connection', (said) => said.accept({ Connection: null }), /Connection/],
  [
    'an extension that was not offered',
    (said) => said.accept({ 'Sec-WebSocket-Extensions': 'permessage-deflate' }),
    /extension/,
  ],
  [
    'a subprotocol that was not offered',
    (said) => said.accept({ 'Sec-WebSocket-Protocol': 'chat' }),
    /subprotocol/,
  ],
  [
    'HTTP/1.0',
    (said) => said.send('HTTP/1.0 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'),
    /HTTP\/1\.1/,
  ],
  [
    'a frame before any answer',
    (said) =>
      said.send(Buffer.concat([encodeFrame({ opcode: 'text', payload: 'x' }), Buffer.from('\r\n\r\n')])),
    /status line/,
  ],
  ['a header line that is folded', (said) => said.accept({ 'X-A': 'b\r\n c' }), /header line/],
  ['a bare CR', (said) => said.send('HTTP/1.1 101 Yes\rUpgrade: websocket\r\n\r\n'), /bare CR or LF/],
]

test('a 101 that does not verify is a 502, and of the client the upstream saw no more than the head', async (t) => {
  watchLeaks(t)
  let nth = 0
  const upstream = await scriptedUpstream(t, (said) => bad[nth]![1](said))
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, http: { lenient: off }`,
  ])
  for (const [what, , detail] of bad) {
    const client = await connect(t, gate.port)
    await client.write(
      Buffer.concat([Buffer.from(upgradeRequest({ headers: { 'Sec-WebSocket-Key': KEY } })), early]),
    )
    await within(client.closed)
    const answer = parseAnswer(await client.received)
    t.equal(answer.status, 502, what)
    t.match(answer.body.toString(), detail)
    t.same([answer.isWhole, answer.rest.length, answer.header('upgrade')], [true, 0, null])
    const said = upstream.conversations[nth]!
    t.equal(await within(said.wire.ended), true, 'and its connection was ended')
    said.wire.end()
    t.match(await gate.end(nth), { reason: 'protocol_error', side: 'upstream', phase: 'handshake', detail })
    t.equal(said.wire.bytes, said.head.length)
    nth++
  }
})

test('a client that leaves before the 101, by FIN or RST, takes its connection to the upstream with it, by FIN', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const ways = [
    ['end', 'aborted'],
    ['reset', 'reset'],
  ] as const
  for (const [nth, [leave, reason]] of ways.entries()) {
    const client = await connect(t, gate.port)
    await client.write(upgradeRequest())
    const said = await eventually(() => upstream.conversations[nth])
    client[leave]()
    t.equal(await within(said.wire.ended), true)
    said.wire.end()
    t.match(await within(said.closed), { kind: 'fin' })
    t.equal(said.wire.bytes, said.head.length)
    t.match(await gate.end(nth), { reason, side: 'client', phase: 'handshake' })
  }
})
