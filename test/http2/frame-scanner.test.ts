import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'tap'
import type { Close } from '../../src/core/close.ts'
import { h2Fault } from '../../src/http2/fault.ts'
import { FrameScanner, PREFACE_LENGTH } from '../../src/http2/frame-scanner.ts'
import type { Frame } from '../../src/http2/frame-scanner.ts'
import * as h2 from '../support/h2-frames.ts'

type Seen = Pick<Frame, 'type' | 'flags' | 'stream' | 'length' | 'word'>

interface Scanned {
  seen: Seen[]
  fault: Close | null
  passed: number
  scanner: FrameScanner
}

/** In those pieces, each in a buffer that is overwritten afterwards. */
function scan(
  bytes: Buffer,
  sizes: readonly number[] = [],
  { hasPreface = false, judge = (_frame: Frame): Close | null => null } = {},
): Scanned {
  const seen: Seen[] = []
  const onFrame = (frame: Frame): Close | null => {
    const { type, flags, stream, length, word } = frame
    seen.push({ type, flags, stream, length, word })
    return judge(frame)
  }
  const scanner = new FrameScanner({ onFrame }, { hasPreface })
  const shared = Buffer.alloc(bytes.length + 3)
  let passed = 0
  for (let at = 0, piece = 0; at < bytes.length && scanner.fault === null; piece++) {
    const length = Math.min(sizes[piece] ?? bytes.length, bytes.length - at)
    bytes.copy(shared, 3, at, at + length)
    passed += scanner.scan(shared, 3, 3 + length) - 3
    shared.fill(0xff)
    at += length
  }
  return { seen, fault: scanner.fault, passed, scanner }
}

const ones = (length: number): number[] => Array.from({ length }, () => 1)

const payload = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const stream = fc.integer({ min: 0, max: 0xffff_ffff })
const anyFrame = fc.oneof(
  fc.tuple(fc.constantFrom(0, 1, 9, 11, 255), fc.nat(255), stream, payload).map((all) => h2.frame(...all)),
  fc.tuple(stream, fc.nat(0xffff_ffff)).map(([id, code]) => h2.rst(id, code)),
  fc.tuple(stream, fc.nat(0xffff_ffff)).map(([id, by]) => h2.windowUpdate(id, by)),
  fc.constantFrom(h2.ping(), h2.settingsAck(), h2.settings([1, 2], [3, 4]), h2.goaway(), h2.priority(3)),
)

test('frames are seen alike, whole or in any pieces, with the reserved bit left out', (t) => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 30 })),
      (all, cuts) => {
        const bytes = Buffer.concat(all)
        const whole = scan(bytes)
        assert.equal(whole.seen.length, all.length)
        assert.equal(whole.passed, bytes.length)
        assert.ok(whole.scanner.isAtBoundary)
        for (const [at, { type, length, stream: id }] of whole.seen.entries()) {
          assert.equal(length, all[at]!.length - 9)
          assert.equal(type, all[at]![3])
          assert.equal(id, all[at]!.readUInt32BE(5) & 0x7fff_ffff)
        }
        for (const sizes of [cuts, ones(bytes.length)]) {
          const cut = scan(bytes, sizes)
          assert.deepEqual(cut.seen, whole.seen)
          assert.equal(cut.passed, bytes.length)
          assert.ok(cut.scanner.isAtBoundary)
        }
      },
    ),
  )
  t.end()
})

test('the preface of a client is passed over', (t) => {
  const bytes = Buffer.concat([h2.PREFACE, h2.settings(), h2.ping()])
  t.equal(h2.PREFACE.length, PREFACE_LENGTH)
  for (const sizes of [[], ones(bytes.length)]) {
    const { seen, passed } = scan(bytes, sizes, { hasPreface: true })
    t.same(
      seen.map(({ type }) => type),
      [h2.kinds.SETTINGS, h2.kinds.PING],
    )
    t.equal(passed, bytes.length)
  }
  t.end()
})

test('codes, increments and paddings are read, nothing else is', (t) => {
  const bytes = Buffer.concat([
    h2.rst(1, 0xdead_beef),
    h2.windowUpdate(0, 77),
    h2.frame(h2.kinds.DATA, h2.PADDED, 1, Buffer.from([200, ...Buffer.alloc(200)])),
    h2.frame(h2.kinds.DATA, h2.PADDED, 1),
    h2.data(1, Buffer.from([200, 1])),
    h2.ping(Buffer.alloc(8, 9)),
  ])
  for (const sizes of [[], ones(bytes.length)])
    t.same(
      scan(bytes, sizes).seen.map(({ word }) => word),
      [0xdead_beef, 77, 200, 0, 0, 0],
    )
  t.end()
})

test('a frame of a size that its kind cannot have ends the connection on its header', (t) => {
  const wrong: [Buffer, string][] = [
    [h2.frame(h2.kinds.DATA, 0, 1, Buffer.alloc(0), 16_385), 'frame of 16385 bytes, of 16384 at the most'],
    [h2.frame(0x77, 0, 1, Buffer.alloc(0), 0xff_ffff), 'frame of 16777215 bytes, of 16384 at the most'],
    [h2.frame(h2.kinds.PING, 0, 0, Buffer.alloc(0), 7), 'PING frame of 7 bytes'],
    [h2.frame(h2.kinds.PING, 0, 0, Buffer.alloc(0), 9), 'PING frame of 9 bytes'],
    [h2.frame(h2.kinds.RST_STREAM, 0, 1, Buffer.alloc(0), 3), 'RST_STREAM frame of 3 bytes'],
    [h2.frame(h2.kinds.RST_STREAM, 0, 1, Buffer.alloc(0), 5), 'RST_STREAM frame of 5 bytes'],
    [h2.frame(h2.kinds.WINDOW_UPDATE, 0, 1, Buffer.alloc(0), 3), 'WINDOW_UPDATE frame of 3 bytes'],
    [h2.frame(h2.kinds.SETTINGS, 0, 0, Buffer.alloc(0), 7), 'SETTINGS frame of 7 bytes'],
    [h2.frame(h2.kinds.SETTINGS, h2.ACK, 0, Buffer.alloc(0), 6), 'SETTINGS frame of 6 bytes'],
    [h2.frame(h2.kinds.PRIORITY, 0, 1, Buffer.alloc(0), 4), 'PRIORITY frame of 4 bytes'],
    [h2.frame(h2.kinds.GOAWAY, 0, 0, Buffer.alloc(0), 7), 'GOAWAY frame of 7 bytes'],
  ]
  for (const [bytes, detail] of wrong) {
    const whole = Buffer.concat([h2.settings(), bytes])
    for (const sizes of [[], ones(whole.length)]) {
      const { fault, seen } = scan(whole, sizes)
      t.match(fault, { reason: 'protocol_error', side: 'client', http2Code: 6, detail })
      t.equal(seen.length, 1)
    }
    t.equal(scan(whole).passed, 9, 'nothing of it goes on')
  }
  const right = [
    h2.data(1, Buffer.alloc(16_384)),
    h2.settings(),
    h2.settingsAck(),
    h2.frame(h2.kinds.GOAWAY, 0, 0, Buffer.alloc(30)),
    h2.frame(h2.kinds.PRIORITY_UPDATE, 0, 0),
  ]
  t.equal(scan(Buffer.concat(right)).fault, null)
  t.end()
})

test('what a judge refuses, and all that follows, does not go on', (t) => {
  const bytes = Buffer.concat([h2.settings(), h2.ping(), h2.rst(1), h2.ping()])
  const judge = ({ type }: Frame): Close | null =>
    type === h2.kinds.RST_STREAM ? h2Fault('rate_limited', 11, 'enough') : null
  const { fault, passed, scanner } = scan(bytes, [], { judge })
  t.match(fault, { reason: 'rate_limited', http2Code: 11, detail: 'enough' })
  t.equal(passed, 9 + 17)
  t.equal(scanner.scan(h2.ping(), 0, 17), 0, 'nor does it later')
  t.end()
})

test('a scan stops before the frame that its peer cannot afford, and goes on there', (t) => {
  const cancelled = Buffer.concat(
    Array.from({ length: 100 }, (_, at) => [h2.headers(2 * at + 1, h2.GET), h2.rst(2 * at + 1)]).flat(),
  )
  let frames = 0
  const scanner = new FrameScanner({ onFrame: () => (frames++, null) }, { hasPreface: false })
  scanner.allowance = 256 * 1024
  const stop = scanner.scan(cancelled, 0, cancelled.length)
  t.equal(frames, 13, 'six requests and a half are a share')
  t.ok(scanner.isAtBoundary)
  t.equal(scanner.scan(cancelled, stop, cancelled.length), stop, 'without an allowance nothing goes on')
  let turns = 1
  for (let at = stop; at < cancelled.length; turns++) {
    scanner.allowance = 256 * 1024
    at = scanner.scan(cancelled, at, cancelled.length)
  }
  t.equal(frames, 200)
  t.equal(turns, 15)
  t.end()
})

test('what is paid for by its bytes goes on in one piece', (t) => {
  const bytes = Buffer.concat(Array.from({ length: 16 }, () => h2.data(1, Buffer.alloc(16_000))))
  const scanner = new FrameScanner({ onFrame: () => null }, { hasPreface: false })
  scanner.allowance = 256 * 1024
  t.equal(scanner.scan(bytes, 0, bytes.length), bytes.length)
  t.end()
})
