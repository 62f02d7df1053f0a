import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import type { FrameSpec } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

const rows: Array<[what: string, frames: FrameSpec[], code: number, detail: RegExp, good?: number]> = [
  ['a reserved bit', [{ opcode: 'text', rsv: 2 }], 1002, /reserved bit/],
  ['RSV1 without compression', [{ opcode: 'text', rsv: 4 }], 1002, /RSV1/],
  ['a reserved opcode', [{ opcode: 3 }], 1002, /reserved opcode 3/],
  ['a reserved control opcode', [{ opcode: 11 }], 1002, /reserved opcode 11/],
  ['a ping in fragments', [{ opcode: 'ping', fin: false }], 1002, /fragmented control/],
  ['a ping of 126 bytes', [{ opcode: 'ping', payload: Buffer.alloc(126) }], 1002, /125 bytes/],
  ['a continuation of nothing', [{ opcode: 'continuation' }], 1002, /continuation/],
  [
    'a message inside a message',
    [
      { opcode: 'text', payload: 'a', fin: false },
      { opcode: 'text', payload: 'b' },
    ],
    1002,
    /inside a message/,
    1,
  ],
  [
    'a length that is longer than it need be',
    [{ opcode: 'binary', payload: 'hello', lengthBits: 16 }],
    1002,
    /minimal/,
  ],
  ['a length of 64 bits', [{ opcode: 'binary', declares: 2n ** 63n }], 1002, /63 bits/],
  ['a Close of one byte', [{ opcode: 'close', payload: 'x' }], 1002, /one byte/],
  ['a Close with 1005', [{ opcode: 'close', payload: closePayload(1005) }], 1002, /close code 1005/],
  [
    'a Close whose reason is not UTF-8',
    [{ opcode: 'close', payload: Buffer.from('03e8ff', 'hex') }],
    1007,
    /UTF-8/,
  ],
  ['a message over maxMessage', [{ opcode: 'binary', declares: 1025 }], 1009, /1024 bytes/],
  ['a length of 2^62', [{ opcode: 'binary', declares: 2n ** 62n }], 1009, /1024 bytes/],
  [
    'fragments over maxMessage together',
    [
      { opcode: 'binary', payload: Buffer.alloc(1000), fin: false },
      { opcode: 'continuation', payload: Buffer.alloc(25) },
    ],
    1009,
    /1024 bytes/,
    1,
  ],
  [
    'a fourth fragment',
    [
      { opcode: 'text', fin: false },
      { opcode: 'continuation', fin: false },
      { opcode: 'continuation', fin: false },
      { opcode: 'continuation' },
    ],
    1009,
    /3 fragments/,
    3,
  ],
]
const limits =
  'websocket: { maxMessage: 1KiB, maxMessageToClient: 1KiB, maxFragments: 3 }, deadlines: { close: 500ms }'
const before: FrameSpec = { opcode: 'text', payload: 'before' }
const encode = (frames: FrameSpec[], isMasked: boolean): Buffer =>
  Buffer.concat(
    [before, ...frames, { opcode: 'text', payload: 'after' } as const].map((spec) =>
      encodeFrame({ mask: isMasked, ...spec }),
    ),
  )

test('a bad frame of a client: it is told the code, the upstream 1001, and nothing of the frame went on', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${limits}`])
  const all: typeof rows = [
    ...rows,
    ['a frame without a mask', [{ opcode: 'text', payload: 'x', mask: false }], 1002, /unmasked/],
  ]
  for (const [nth, [what, frames, code, detail, good = 0]] of all.entries()) {
    const client = await rawClient(t, gate.port)
    await client.send(encode(frames, true))
    const reason = code === 1009 ? 'message_too_big' : 'protocol_error'
    t.match(
      await client.nextFrame(),
      { opcode: 'close', code, reason, mask: null, payload: closePayload(code, reason) },
      what,
    )
    t.match(await within(client.closed), { kind: 'fin' })
    t.match(await gate.end(nth), { reason, side: 'client', phase: 'relay', detail })
    t.equal(client.frames().length, 1)
    const said = upstream.conversations[nth]!
    t.match(await within(said.closed), { kind: 'fin' })
    const seen = said.frames()
    t.equal(seen.length, 2 + good, 'the frames before it, and a Close')
    t.match(seen[0], { opcode: 'text', payload: Buffer.from('before') })
    t.match(seen.at(-1), { opcode: 'close', code: 1001, reason })
    t.not(seen.at(-1)!.mask, null)
    t.equal(said.unfinished, 0)
  }
})

test('a bad frame of an upstream: it is told the code, the client 1011, and nothing of the frame went on', async (t) => {
  watchLeaks(t)
  // A service may send a message in as many fragments as it likes, and close with what means no code.
  const all: typeof rows = [
    ...rows.filter(([what]) => what !== 'a fourth fragment' && what !== 'a Close with 1005'),
    ['a Close with 1006', [{ opcode: 'close', payload: closePayload(1006) }], 1002, /close code 1006/],
    ['a frame with a mask', [{ opcode: 'text', payload: 'x', mask: true }], 1002, /masked/],
  ]
  let nth = 0
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    await said.send(encode(all[nth]![1], false))
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${limits}`])
  for (const [what, , code, detail, good = 0] of all) {
    const client = await rawClient(t, gate.port)
    const reason = code === 1009 ? 'message_too_big' : 'protocol_error'
    t.match(await within(client.closed), { kind: 'fin' }, what)
    const seen = client.frames()
    t.equal(seen.length, 2 + good, 'the frames before it, and a Close')
    t.match(seen[0], { opcode: 'text', payload: Buffer.from('before') })
    t.match(seen.at(-1), { opcode: 'close', code: 1011, reason, mask: null })
    t.equal(client.unfinished, 0)
    t.match(await gate.end(nth), { reason, side: 'upstream', phase: 'relay', detail })
    const said = upstream.conversations[nth]!
    t.match(await within(said.closed), { kind: 'fin' })
    t.same(
      said.frames().map((frame) => [frame.opcode, frame.code, frame.reason, frame.mask !== null]),
      [['close', code, reason, true]],
    )
    nth++
  }
})

test('a bad frame while the other direction is inside a frame: no Close is injected there, only the end', async (t) => {
  watchLeaks(t)
  const frame = encodeFrame({ opcode: 'binary', payload: Buffer.alloc(1000, 1) })
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, frame.subarray(0, 500))
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${limits}`])
  const client = await rawClient(t, gate.port)
  await client.wire.read(500)
  await client.sendFrame({ opcode: 3 })
  await within(client.closed)
  t.equal(client.wire.unread, 0, 'not a byte inside the frame')
  t.match(await gate.end(), { reason: 'protocol_error', side: 'client' })
  t.match(upstream.conversations[0]!.frames(), [{ opcode: 'close', code: 1001 }])
})

test('a header of 2^62 bytes and then silence, with maxMessage: off, holds nothing and ends with idle_timeout', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { maxMessage: off }, deadlines: { idle: 200ms, close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port)
  const before = process.memoryUsage().arrayBuffers
  await client.sendFrame({ opcode: 'binary', declares: 2n ** 62n, mask: true })
  t.match(await client.nextFrame(), { opcode: 'close', code: 1001, reason: 'idle_timeout' })
  t.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024)
  await client.sendFrame({ opcode: 'close' })
  t.match(await gate.end(), { reason: 'idle_timeout', side: 'sidegate' })
  const said = upstream.conversations[0]!
  await within(said.closed)
  t.same([said.frames(), said.unfinished], [[], 14], 'the header, and no Close inside the frame')
})
