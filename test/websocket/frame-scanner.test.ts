import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'tap'
import { FrameScanner, PING, PONG } from '../../src/websocket/frame-scanner.ts'
import type { ControlHandler, ScanRules, Verdict } from '../../src/websocket/frame-scanner.ts'
import { isCloseCode } from '../../src/websocket/violation.ts'
import type { Violation } from '../../src/websocket/violation.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import type { FrameSpec } from '../support/frames.ts'
import { headerSize, judge } from './receiver-oracle.ts'
import { runs } from '../support/runs.ts'

const MIB = 1024 * 1024
const fromClient: ScanRules = {
  isMasked: true,
  isCompressed: false,
  maxMessageBytes: MIB,
  maxFragments: 1024,
}
const fromUpstream: ScanRules = { ...fromClient, isMasked: false }
const sides = [fromClient, fromUpstream]

interface Scanned {
  forwarded: Buffer
  violation: Violation | null
  scanner: FrameScanner
  controls: Array<[opcode: number, payload: string]>
}

const passAll = (): Verdict => 'pass'

/** Scans `bytes` in those pieces, each in a buffer that is overwritten afterwards, as the shared one is. */
function scan(
  bytes: Buffer,
  rules: ScanRules,
  sizes: readonly number[] = [],
  onControl: ControlHandler['onControl'] = passAll,
): Scanned {
  const out: Buffer[] = []
  const controls: Scanned['controls'] = []
  const handler: ControlHandler = {
    onControl(scanner, opcode, payload) {
      controls.push([opcode, payload.toString('latin1')])
      return onControl(scanner, opcode, payload)
    },
    onBoundary: () => assert.fail('nobody asked for a boundary'),
  }
  const scanner = new FrameScanner(rules, handler)
  const to = {
    forward: (from: Buffer, start: number, end: number) =>
      void out.push(Buffer.from(from.subarray(start, end))),
  }
  let violation: Violation | number | null = null
  const shared = Buffer.alloc(Math.max(65_536, ...sizes))
  for (let at = 0, piece = 0; at < bytes.length && violation === null; piece++) {
    const length = Math.min(sizes[piece] ?? shared.length, bytes.length - at)
    bytes.copy(shared, 0, at, at + length)
    violation = scanner.scan(shared, length, to)
    shared.fill(0x8a, 0, length)
    at += length
  }
  assert.ok(typeof violation !== 'number', 'there is no gate to stop it')
  return { forwarded: Buffer.concat(out), violation, scanner, controls }
}

const ones = (length: number): number[] => Array.from({ length }, () => 1)
const frames = (rules: ScanRules, ...specs: FrameSpec[]): Buffer =>
  Buffer.concat(specs.map((spec) => encodeFrame({ mask: rules.isMasked, ...spec })))

/** Scans whole and byte by byte; both must come to the same. */
function both(bytes: Buffer, rules: ScanRules, onControl?: ControlHandler['onControl']): Scanned {
  const whole = scan(bytes, rules, [], onControl)
  const bytewise = scan(bytes, rules, ones(bytes.length), onControl)
  assert.deepEqual(bytewise.violation, whole.violation)
  assert.ok(bytewise.forwarded.equals(whole.forwarded))
  assert.deepEqual(bytewise.controls, whole.controls)
  return whole
}

// Arbitraries. Payloads around the borders of the three length forms; most are small, so that a stream has many frames.
const payload = fc.oneof(
  { weight: 12, arbitrary: fc.uint8Array({ maxLength: 40, size: 'max' }) },
  {
    weight: 2,
    arbitrary: fc.integer({ min: 120, max: 135 }).map((length) => new Uint8Array(length).fill(length)),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(65_535, 65_536, 65_537)
      .map((length) => new Uint8Array(length).fill(length & 0xff)),
  },
)
const smallPayload = fc.oneof(
  { weight: 5, arbitrary: fc.uint8Array({ maxLength: 20, size: 'max' }) },
  fc.integer({ min: 120, max: 135 }).map((length) => new Uint8Array(length).fill(0x61)),
)
const control = fc.record({
  opcode: fc.constantFrom<'ping' | 'pong'>('ping', 'pong'),
  payload: fc.uint8Array({ maxLength: 125, size: 'max' }),
})
const closing = fc
  .tuple(fc.constantFrom(1000, 1001, 1003, 1011, 1014, 3000, 4999), fc.string({ maxLength: 30 }))
  .map(([code, reason]): FrameSpec => ({ opcode: 'close', payload: closePayload(code, reason) }))

/** One message in fragments, with control frames between them. */
const message = (payloads: fc.Arbitrary<Uint8Array>, isCompressed: boolean): fc.Arbitrary<FrameSpec[]> =>
  fc
    .record({
      opcode: fc.constantFrom<'text' | 'binary'>('text', 'binary'),
      fragments: fc.array(fc.tuple(payloads, fc.array(control, { maxLength: 2 })), {
        minLength: 1,
        maxLength: 5,
      }),
      rsv: isCompressed ? fc.constantFrom(0, 4) : fc.constant(0),
    })
    .map(({ opcode, fragments, rsv }) =>
      fragments.flatMap(([payload, controls], index): FrameSpec[] => [
        {
          opcode: index === 0 ? opcode : 'continuation',
          payload,
          fin: index === fragments.length - 1,
          rsv: index === 0 ? rsv : 0,
        },
        ...controls,
      ]),
    )

interface Stream {
  rules: ScanRules
  bytes: Buffer
  /** Where each frame begins. */
  starts: number[]
  messages: number
  isClosed: boolean
}

const stream = (payloads = payload): fc.Arbitrary<Stream> =>
  fc.tuple(fc.boolean(), fc.boolean()).chain(([isMasked, isCompressed]) =>
    fc
      .tuple(
        fc.array(message(payloads, isCompressed), { minLength: 1, maxLength: 8, size: 'max' }),
        fc.option(closing),
        fc.infiniteStream(fc.uint8Array({ minLength: 4, maxLength: 4 })),
      )
      .map(([list, close, masks]) => {
        const specs = [...list.flat(), ...(close === null ? [] : [close])]
        const encoded = specs.map((spec) =>
          encodeFrame({ ...spec, mask: isMasked ? masks.next().value : false }),
        )
        let at = 0
        const starts = encoded.map((frame) => (at += frame.length) - frame.length)
        return {
          rules: { isMasked, isCompressed, maxMessageBytes: MIB, maxFragments: 1024 },
          bytes: Buffer.concat(encoded),
          starts,
          messages: list.length,
          isClosed: close !== null,
        }
      }),
  )
const sizes = fc.oneof(
  fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 2000, size: 'max' }),
  fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 300, size: 'max' }),
  fc.array(fc.integer({ min: 1, max: 65_536 }), { maxLength: 10, size: 'max' }),
)

test('any split of any valid stream goes on byte for byte, its messages counted, as ws counts them', async () => {
  fc.assert(
    fc.property(stream(), sizes, ({ rules, bytes, messages, isClosed }, pieces) => {
      const found = scan(bytes, rules, pieces)
      assert.equal(found.violation, null)
      assert.ok(found.forwarded.equals(bytes))
      assert.equal(found.scanner.messages, messages)
      assert.equal(found.scanner.isClosed, isClosed)
      assert.equal(found.scanner.isAtBoundary, true)
      assert.equal(found.scanner.isInMessage, false)
    }),
    { numRuns: runs(400) },
  )
})

test('ws finds nothing wrong with these streams either', async () => {
  fc.assert(
    fc.property(stream(smallPayload), ({ rules, bytes, messages, isClosed }) => {
      assert.deepEqual(judge(bytes, rules), { code: null, passes: bytes, isClosed, messages })
    }),
    { numRuns: 150 },
  )
})

test('a valid stream that is cut anywhere: only a header or a control frame that is not whole is held back', async () => {
  fc.assert(
    fc.property(stream(smallPayload), fc.nat(), sizes, ({ rules, bytes, starts }, nth, pieces) => {
      const cut = bytes.subarray(0, nth % (bytes.length + 1))
      const frame = starts.findLast((start) => start <= cut.length) ?? 0
      const isHeld = cut.length > frame && headerSize(cut, frame, rules) > cut.length - frame
      const found = scan(Buffer.from(cut), rules, pieces)
      assert.equal(found.violation, null)
      assert.equal(found.forwarded.length, isHeld ? frame : cut.length)
      assert.ok(found.forwarded.equals(cut.subarray(0, found.forwarded.length)))
    }),
    { numRuns: runs(500) },
  )
})

/** Ways to spoil a stream: a bit of a header, any byte, a byte too many, a byte lost, a frame out of its place. */
const spoil = fc.record({
  how: fc.constantFrom('bit', 'bit', 'bit', 'byte', 'insert', 'delete', 'repeat', 'drop', 'length'),
  nth: fc.nat(),
  bit: fc.nat({ max: 15 }),
  byte: fc.nat({ max: 255 }),
})
type Spoil = typeof spoil extends fc.Arbitrary<infer T> ? T : never

function spoiled({ bytes, starts }: Stream, { how, nth, bit, byte }: Spoil): Buffer {
  const index = nth % starts.length
  const start = starts[index]!
  const end = starts[index + 1] ?? bytes.length
  const at = nth % bytes.length
  const changed = Buffer.from(bytes)
  if (how === 'bit') changed[Math.min(start + (bit >> 3), bytes.length - 1)]! ^= 1 << (bit & 7)
  else if (how === 'byte') changed[at] = byte
  else if (how === 'insert')
    return Buffer.concat([bytes.subarray(0, at), Buffer.of(byte), bytes.subarray(at)])
  else if (how === 'delete') return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
  else if (how === 'repeat')
    return Buffer.concat([bytes.subarray(0, end), bytes.subarray(start, end), bytes.subarray(end)])
  else if (how === 'drop') return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
  else changed[start + 1] = (changed[start + 1]! & 0x80) | (byte & 0x7f)
  return changed
}

test('a spoiled stream: what ws refuses is refused with its code, and exactly the frames before the bad one go on, in any split', async () => {
  const codes = new Map<number | null, number>()
  const junk = Buffer.alloc(14)
  fc.assert(
    fc.property(
      stream(smallPayload),
      fc.array(spoil, { minLength: 1, maxLength: 2 }),
      fc.constantFrom(50, 300, MIB),
      sizes,
      (good, spoils, maxMessageBytes, pieces) => {
        const bytes = Buffer.concat([
          spoils.reduce(
            (now, how) =>
              spoiled(
                { ...good, bytes: now, starts: good.starts.filter((start) => start < now.length - 1) },
                how,
              ),
            good.bytes,
          ),
          junk,
        ])
        const rules = { ...good.rules, maxMessageBytes }
        const expected = judge(bytes, rules)
        const found = scan(bytes, rules, pieces)
        assert.equal(found.violation?.code ?? null, expected.code)
        assert.ok(found.forwarded.equals(expected.passes))
        assert.equal(found.scanner.hasFailed, expected.code !== null)
        assert.equal(found.scanner.isClosed, expected.isClosed)
        assert.equal(found.scanner.messages, expected.messages)
        codes.set(expected.code, (codes.get(expected.code) ?? 0) + 1)
      },
    ),
    { numRuns: runs(1500) },
  )
  for (const code of [null, 1002, 1009])
    assert.ok((codes.get(code) ?? 0) > runs(20), `only ${codes.get(code)} streams ended with ${code}`)
})

test('any bytes at all: the verdict is that of ws', async () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60, size: 'max' }),
      fc.boolean(),
      fc.boolean(),
      sizes,
      (random, isMasked, isCompressed, pieces) => {
        const bytes = Buffer.from(random)
        const rules = { ...fromClient, isMasked, isCompressed }
        const expected = judge(bytes, rules)
        const found = scan(bytes, rules, pieces)
        assert.equal(found.violation?.code ?? null, expected.code)
        assert.ok(found.forwarded.equals(expected.passes))
      },
    ),
    { numRuns: runs(2000) },
  )
})

/** `M` is a mask of zeros, `..` the payload. Each row stands between two valid messages, of which the second must not go on. */
const M = '00000000'
const table: Array<[what: string, hex: string, code: number | null, wsSays: number | null]> = [
  ['RSV1 without deflate', `c180${M}`, 1002, 1002],
  ['RSV2', `a180${M}`, 1002, 1002],
  ['RSV3', `9180${M}`, 1002, 1002],
  ['opcode 3', `8380${M}`, 1002, 1002],
  ['opcode 7', `8780${M}`, 1002, 1002],
  ['opcode 11', `8b80${M}`, 1002, 1002],
  ['opcode 15', `8f80${M}`, 1002, 1002],
  ['ping without FIN', `0980${M}`, 1002, 1002],
  ['close without FIN', `0880${M}`, 1002, 1002],
  ['pong with RSV1', `ca80${M}`, 1002, 1002],
  ['ping of 126 bytes', `89fe007e${M}${'00'.repeat(126)}`, 1002, 1002],
  ['ping of 5 bytes in the 64-bit form', `89ff0000000000000005${M}`, 1002, 1002],
  ['unmasked text', '81026869', 1002, 1002],
  ['orphan continuation', `8080${M}`, 1002, 1002],
  ['data inside a message', `0181${M}618181${M}62`, 1002, 1002],
  ['close of one byte', `8881${M}03`, 1002, 1002],
  ['close 0', `8882${M}0000`, 1002, 1002],
  ['close 999', `8882${M}03e7`, 1002, 1002],
  ['close 1004', `8882${M}03ec`, 1002, 1002],
  ['close 1005', `8882${M}03ed`, 1002, 1002],
  ['close 1006', `8882${M}03ee`, 1002, 1002],
  ['close 1015', `8882${M}03f7`, 1002, 1002],
  ['close 1016', `8882${M}03f8`, 1002, 1002],
  ['close 2999', `8882${M}0bb7`, 1002, 1002],
  ['close 5000', `8882${M}1388`, 1002, 1002],
  ['close with a reason that is not UTF-8', `8883${M}03e8ff`, 1007, 1007],
  ['close with half a character', `8884${M}03e8e282`, 1007, 1007],
  ['length 2^62', `82ff4000000000000000${M}`, 1009, 1009],
  ['length 2^53', `82ff0020000000000000${M}`, 1009, 1009],
  ['length 1 MiB and one byte', `82ff0000000000100001${M}`, 1009, 1009],
  // Stricter than ws, on purpose:
  ['length with the highest bit set', `82ff8000000000000000${M}`, 1002, 1009],
  ['5 bytes in the 16-bit form', `82fe0005${M}${'00'.repeat(5)}`, 1002, null],
  ['125 bytes in the 16-bit form', `82fe007d${M}${'00'.repeat(125)}`, 1002, null],
  ['no bytes in the 16-bit form', `82fe0000${M}`, 1002, null],
  ['5 bytes in the 64-bit form', `82ff0000000000000005${M}${'00'.repeat(5)}`, 1002, null],
  ['65535 bytes in the 64-bit form', `82ff000000000000ffff${M}${'00'.repeat(65_535)}`, 1002, null],
  // Laxer than ws, on purpose: an intermediary does not check the UTF-8 of text.
  ['text that is not UTF-8', `8181${M}ff`, null, null],
  // Valid, and near to what is not:
  ['close 1014', `8882${M}03f6`, null, null],
  ['close 3000', `8882${M}0bb8`, null, null],
  ['an empty close', `8880${M}`, null, null],
  ['close of 125 bytes', `88fd${M}03e8${'61'.repeat(123)}`, null, null],
  ['ping of 125 bytes', `89fd${M}${'00'.repeat(125)}`, null, null],
  ['126 bytes in the 16-bit form', `82fe007e${M}${'00'.repeat(126)}`, null, null],
  ['65535 bytes in the 16-bit form', `82feffff${M}${'00'.repeat(65_535)}`, null, null],
  ['65536 bytes in the 64-bit form', `82ff0000000000010000${M}${'00'.repeat(65_536)}`, null, null],
  ['an empty message', `8180${M}`, null, null],
  ['empty fragments', `0180${M}0080${M}8080${M}`, null, null],
  ['a ping between fragments', `0181${M}618980${M}8081${M}62`, null, null],
]

test('the table of bad frames from clients: the code, and exactly the frames before go on', (t) => {
  const before = encodeFrame({ opcode: 'text', payload: 'before', mask: true })
  const after = encodeFrame({ opcode: 'text', payload: 'after', mask: true })
  for (const [what, hex, code, wsSays] of table) {
    const row = Buffer.from(hex, 'hex')
    const bytes = Buffer.concat([before, row, after])
    const { violation, forwarded, scanner } = both(bytes, fromClient)
    t.equal(violation?.code ?? null, code, what)
    const good = Buffer.concat([
      before,
      ...(what === 'data inside a message' ? [row.subarray(0, 7)] : code === null ? [row] : []),
      ...(code === null && !what.includes('close') ? [after] : []),
    ])
    t.ok(forwarded.equals(good), `${what}: what went on`)
    t.equal(scanner.hasFailed, code !== null)
    // Byte by byte, `ws` takes seconds for the long ones.
    if (wsSays === code && bytes.length < 1000) t.equal(judge(bytes, fromClient).code, code, `${what}: as ws`)
  }
  t.end()
})

test('frames from upstreams: the same rules, but for the mask and the code of a Close', (t) => {
  for (const [what, hex, code] of table) {
    if (what === 'unmasked text' || what === 'data inside a message') continue
    // The rows in their unmasked form: the mask bit and the four zeros of each header are taken away.
    const row = unmaskedRow(Buffer.from(hex, 'hex'))
    const expected = /^close (0|999|1005|1016|2999|5000)$/.test(what) ? null : code
    t.equal(both(row, fromUpstream).violation?.code ?? null, expected, what)
  }
  const masked = both(encodeFrame({ opcode: 'text', payload: 'x', mask: true }), fromUpstream)
  t.match(masked.violation, { code: 1002, reason: 'protocol_error', detail: 'masked frame from a server' })
  t.equal(masked.forwarded.length, 0)
  t.end()
})

function unmaskedRow(row: Buffer): Buffer {
  const out: Buffer[] = []
  for (let at = 0; at < row.length;) {
    const short = row[at + 1]! & 0x7f
    const head = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0)
    const declared =
      short === 126 ? row.readUInt16BE(at + 2) : short === 127 ? Number(row.readBigUInt64BE(at + 2)) : short
    const header = Buffer.from(row.subarray(at, at + head))
    header[1]! &= 0x7f
    const end = Math.min(row.length, at + head + 4 + declared)
    out.push(header, row.subarray(at + head + 4, end))
    at = end
  }
  return Buffer.concat(out)
}

test('the first two bytes are enough to refuse a frame: nothing invalid is waited for', (t) => {
  for (const [hex, detail] of [
    ['a1', null],
    ['a180', 'reserved bit set'],
    ['8380', 'reserved opcode 3'],
    ['0980', 'fragmented control frame'],
    ['89fe', 'control frame of more than 125 bytes'],
    ['8102', 'unmasked frame from a client'],
    ['8080', 'continuation without a message'],
  ] as const) {
    t.equal(both(Buffer.from(hex, 'hex'), fromClient).violation?.detail ?? null, detail)
  }
  t.end()
})

test('RSV1 may stand where compression was negotiated and a message begins, nowhere else', (t) => {
  const rsv1 = (spec: FrameSpec): FrameSpec => ({ ...spec, rsv: 4 })
  for (const side of sides) {
    const rules = { ...side, isCompressed: true }
    const text: FrameSpec = { opcode: 'text', payload: 'x' }
    t.equal(
      both(
        frames(
          rules,
          rsv1(text),
          text,
          rsv1({ ...text, fin: false }),
          { opcode: 'ping' },
          { opcode: 'continuation' },
        ),
        rules,
      ).violation,
      null,
    )
    for (const bad of [
      [rsv1({ opcode: 'ping' })],
      [rsv1({ opcode: 'close' })],
      [{ ...text, fin: false }, rsv1({ opcode: 'continuation' })],
      [{ ...text, rsv: 2 }],
      [{ ...text, rsv: 1 }],
      [{ ...text, rsv: 7 }],
    ]) {
      t.match(both(frames(rules, ...bad), rules).violation, { code: 1002, reason: 'protocol_error' })
    }
    t.match(both(frames(side, rsv1(text)), side).violation, { code: 1002 })
  }
  t.end()
})

test('which close codes may stand in a frame of a client is what ws says', (t) => {
  const wrong: number[] = []
  // All that are near to a border, and every 16th of the rest.
  for (let code = 0; code < 65_536; code += code < 5200 ? 1 : 16) {
    const bytes = frames(fromClient, { opcode: 'close', payload: closePayload(code) })
    if ((judge(bytes, fromClient).code === null) !== isCloseCode(code)) wrong.push(code)
  }
  t.same(wrong, [])
  t.end()
})

test('a Close of a service passes byte for byte whatever its code, but for those that browsers do not take', (t) => {
  for (const code of [0, 999, 1000, 1012, 1016, 2999, 4321, 5000, 65_535]) {
    const close = frames(fromUpstream, { opcode: 'close', payload: closePayload(code, 'bye') })
    const { violation, forwarded, scanner } = both(close, fromUpstream)
    t.equal(violation, null)
    t.ok(forwarded.equals(close), `${code}`)
    t.ok(scanner.isClosed)
  }
  for (const code of [1004, 1006, 1015]) {
    const close = frames(fromUpstream, { opcode: 'close', payload: closePayload(code, 'bye') })
    const { violation, forwarded } = both(close, fromUpstream)
    t.match(violation, { code: 1002, reason: 'protocol_error', detail: `close code ${code}` })
    t.equal(forwarded.length, 0)
  }
  t.end()
})

test('a Close of a service with 1005 goes on without a payload, and nothing of it stays behind', (t) => {
  const before = frames(fromUpstream, { opcode: 'text', payload: 'a' })
  const after = frames(fromUpstream, { opcode: 'text', payload: 'b' })
  for (const reason of ['', 'why', 'x'.repeat(123)]) {
    const close = frames(fromUpstream, { opcode: 'close', payload: closePayload(1005, reason) })
    const { violation, forwarded, controls } = both(Buffer.concat([before, close, after]), fromUpstream)
    t.equal(violation, null)
    t.ok(forwarded.equals(Buffer.concat([before, Buffer.of(0x88, 0)])), reason)
    t.same(controls, [[8, '']])
  }
  t.end()
})

test('what follows a Close frame is discarded, valid or not, and counts for nothing', (t) => {
  for (const rules of sides) {
    const close = frames(
      rules,
      { opcode: 'text', payload: 'a' },
      { opcode: 'close', payload: closePayload(1000, 'bye') },
    )
    for (const after of [
      frames(rules, { opcode: 'text', payload: 'b' }),
      frames(rules, { opcode: 'close' }),
      Buffer.from('ffffffffffff', 'hex'),
      Buffer.of(0x81),
    ]) {
      const { violation, forwarded, scanner, controls } = both(Buffer.concat([close, after]), rules)
      t.equal(violation, null)
      t.ok(forwarded.equals(close))
      t.same([scanner.messages, scanner.isClosed, scanner.hasFailed, controls.length], [1, true, false, 1])
    }
  }
  t.end()
})

test('a Close inside a message, between its fragments, is valid', (t) => {
  const bytes = frames(
    fromClient,
    { opcode: 'text', payload: 'a', fin: false },
    { opcode: 'close', payload: closePayload(1001) },
  )
  const { violation, forwarded, scanner } = both(bytes, fromClient)
  t.same(
    [violation, forwarded.equals(bytes), scanner.isClosed, scanner.isInMessage],
    [null, true, true, true],
  )
  t.end()
})

test('the size of a message is judged on the header, over all its fragments, before a byte of the payload', (t) => {
  for (const side of sides) {
    const rules = { ...side, maxMessageBytes: 1000 }
    const of = (...specs: FrameSpec[]): Scanned => both(frames(rules, ...specs), rules)
    const part = (length: number, opcode: 'binary' | 'continuation', fin = false): FrameSpec => ({
      opcode,
      payload: Buffer.alloc(length),
      fin,
    })
    t.equal(
      of(part(1000, 'binary', true), part(1000, 'binary', true)).violation,
      null,
      'the bound itself, again and again',
    )
    const over = of(
      part(600, 'binary', true),
      part(600, 'binary'),
      part(400, 'continuation'),
      part(1, 'continuation', true),
    )
    t.match(over.violation, {
      code: 1009,
      reason: 'message_too_big',
      detail: side.isMasked
        ? /1000 bytes \(websocket\.maxMessage\)/
        : /1000 bytes \(websocket\.maxMessageToClient\)/,
    })
    t.equal(
      over.forwarded.length,
      frames(rules, part(600, 'binary', true), part(600, 'binary'), part(400, 'continuation')).length,
    )
    t.equal(
      of(part(600, 'binary'), { opcode: 'ping', payload: Buffer.alloc(125) }, part(400, 'continuation', true))
        .violation,
      null,
      'control frames do not count',
    )
    const header = encodeFrame({ opcode: 'binary', declares: 1001, mask: rules.isMasked })
    t.match(both(header, rules).violation, { code: 1009 }, 'the header alone is enough')
    t.equal(both(header, rules).forwarded.length, 0)
    t.equal(
      both(encodeFrame({ opcode: 'binary', declares: 1001, mask: rules.isMasked }), {
        ...rules,
        maxMessageBytes: Infinity,
      }).violation,
      null,
      'off',
    )
  }
  t.end()
})

test('the number of fragments is judged on the header; empty ones count', (t) => {
  const rules = { ...fromClient, maxFragments: 3 }
  const parts = (count: number): FrameSpec[] =>
    Array.from({ length: count }, (_, index): FrameSpec => ({
      opcode: index === 0 ? 'text' : 'continuation',
      fin: index === count - 1,
    }))
  t.equal(both(frames(rules, ...parts(3), ...parts(3), ...parts(1)), rules).violation, null)
  const over = both(frames(rules, ...parts(3), ...parts(4)), rules)
  t.match(over.violation, {
    code: 1009,
    reason: 'message_too_big',
    detail: /3 fragments \(websocket.maxFragments\)/,
  })
  t.equal(over.forwarded.length, frames(rules, ...parts(3), ...parts(3)).length)
  t.equal(both(frames(rules, ...parts(100)), { ...rules, maxFragments: Infinity }).violation, null, 'off')
  t.end()
})

test('control frames reach the handler unmasked, and only those that it lets through go on', (t) => {
  for (const rules of sides) {
    const data: FrameSpec = { opcode: 'text', payload: 'data', fin: false }
    const specs: FrameSpec[] = [
      { opcode: 'pong', payload: 'ours' },
      data,
      { opcode: 'pong', payload: 'ours' },
      { opcode: 'pong', payload: 'theirs' },
      { opcode: 'ping', payload: 'ours' },
      { opcode: 'continuation' },
      { opcode: 'pong', payload: 'ours' },
    ]
    const masked = specs.map((spec) => encodeFrame({ ...spec, mask: rules.isMasked }))
    const { forwarded, controls, violation } = both(Buffer.concat(masked), rules, (_, opcode, payload) =>
      opcode === PING || payload.toString() !== 'ours' ? 'pass' : 'drop',
    )
    t.equal(violation, null)
    t.ok(forwarded.equals(Buffer.concat(masked.filter((_, index) => ![0, 2, 6].includes(index)))))
    t.same(controls, [
      [PONG, 'ours'],
      [PONG, 'ours'],
      [PONG, 'theirs'],
      [PING, 'ours'],
      [PONG, 'ours'],
    ])
  }
  t.end()
})

test('a boundary that was asked for is given once, and only where a frame ends', async () => {
  fc.assert(
    fc.property(stream(smallPayload), sizes, fc.nat(), ({ rules, bytes, starts }, pieces, seed) => {
      const ends = new Set([...starts, bytes.length])
      let forwarded = 0
      let given = 0
      const scanner = new FrameScanner(rules, {
        onControl: passAll,
        onBoundary: () => {
          given++
          assert.ok(ends.has(forwarded), `${forwarded} is inside a frame`)
        },
      })
      let asked = 0
      for (let at = 0, piece = 0; at < bytes.length; piece++) {
        const length = Math.min(pieces[piece] ?? bytes.length, bytes.length - at)
        if ((seed + piece) % 3 === 0 && !scanner.wantsBoundary) {
          scanner.wantsBoundary = true
          asked++
        }
        assert.equal(scanner.isAtBoundary, ends.has(forwarded))
        scanner.scan(bytes.subarray(at, at + length), length, {
          forward: (_, start, end) => void (forwarded += end - start),
        })
        at += length
      }
      assert.equal(given, asked - (scanner.wantsBoundary ? 1 : 0))
      if (!scanner.isClosed) assert.equal(scanner.wantsBoundary, false, 'the stream ends at a boundary')
    }),
    { numRuns: runs(300) },
  )
})

test('activity changes with data, not with control frames', (t) => {
  const { scanner } = scan(Buffer.alloc(0), fromUpstream)
  const to = { forward() {} }
  const seen = (...specs: FrameSpec[]): boolean => {
    const before = scanner.activity
    const bytes = frames(fromUpstream, ...specs)
    scanner.scan(bytes, bytes.length, to)
    return scanner.activity !== before
  }
  t.equal(seen({ opcode: 'ping', payload: 'x' }, { opcode: 'pong' }), false)
  t.equal(seen({ opcode: 'text', payload: 'x' }), true)
  t.equal(seen({ opcode: 'text' }), true, 'an empty message')
  t.equal(seen({ opcode: 'text', payload: 'x', fin: false }), true)
  t.equal(seen({ opcode: 'ping' }), false)
  t.equal(seen({ opcode: 'continuation', fin: false }), true)
  scanner.scan(encodeFrame({ opcode: 'continuation', declares: 1000 }), 4, to)
  const before = scanner.activity
  scanner.scan(Buffer.alloc(10), 10, to)
  t.not(scanner.activity, before, 'a piece of a payload')
  t.end()
})

test('a header of 2^62 bytes, and what it announces, allocates nothing', (t) => {
  for (const side of sides) {
    const rules = { ...side, maxMessageBytes: Infinity }
    const scanner = new FrameScanner(rules, { onControl: passAll, onBoundary() {} })
    let forwarded = 0
    const to = { forward: (_: Buffer, start: number, end: number) => void (forwarded += end - start) }
    const header = encodeFrame({ opcode: 'binary', declares: 2n ** 62n, mask: rules.isMasked })
    const chunk = Buffer.alloc(65_536)
    const before = process.memoryUsage().arrayBuffers
    for (const byte of header) scanner.scan(Buffer.of(byte), 1, to)
    for (let i = 0; i < 1000; i++) t.equal(scanner.scan(chunk, chunk.length, to), null)
    t.ok(
      process.memoryUsage().arrayBuffers - before < 262_144,
      `${process.memoryUsage().arrayBuffers - before} bytes`,
    )
    t.equal(forwarded, header.length + 1000 * chunk.length)
    t.same([scanner.isAtBoundary, scanner.isInMessage, scanner.messages], [false, true, 0])
  }
  t.end()
})
