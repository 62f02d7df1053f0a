import fc from 'fast-check'
import { test } from 'tap'
import { FrameScanner, PONG } from '../../src/websocket/frame-scanner.ts'
import type { ControlHandler, Verdict } from '../../src/websocket/frame-scanner.ts'
import { encodeFrame, type FrameSpec } from '../support/frames.ts'
import { runs } from '../support/runs.ts'

const rules = { isMasked: false, isCompressed: false, maxMessageBytes: Infinity, maxFragments: Infinity }

/** A scanner whose gate has so many tokens; control frames ask for one as `Frames` does, but for pongs that say "ours". */
function gated(tokens: number) {
  const take = (): Verdict => (gate.tokens > 0 ? (gate.tokens--, 'pass') : 'stop')
  const gate = { tokens, takeMessage: take, takeControl: take }
  const handler: ControlHandler = {
    onControl(one, opcode, payload) {
      if (opcode === 8) return 'pass'
      if (opcode === PONG && payload.toString() === 'ours') return 'drop'
      return one.gate!.takeControl()
    },
    onBoundary() {},
  }
  const scanner = new FrameScanner(rules, handler)
  scanner.gate = gate
  const out: Buffer[] = []
  const to = {
    forward: (bytes: Buffer, start: number, end: number) =>
      void out.push(Buffer.from(bytes.subarray(start, end))),
  }
  return {
    gate,
    scanner,
    to,
    get forwarded() {
      return Buffer.concat(out)
    },
  }
}

const frames = (...specs: FrameSpec[]): Buffer => Buffer.concat(specs.map((spec) => encodeFrame(spec)))

/** How many tokens that stream takes. */
function cost(...specs: FrameSpec[]): number {
  const it = gated(1000)
  const bytes = frames(...specs)
  it.scanner.scan(bytes, bytes.length, it.to)
  return 1000 - it.gate.tokens
}

test('a message costs one, whatever its size and however it is cut into fragments', (t) => {
  t.equal(cost({ opcode: 'text', payload: '' }), 1)
  t.equal(cost({ opcode: 'binary', payload: 'x'.repeat(100_000) }), 1)
  const part = { payload: 'x'.repeat(16), fin: false }
  t.equal(
    cost(
      { opcode: 'text', ...part },
      { opcode: 'continuation', ...part },
      { opcode: 'continuation', ...part },
      { opcode: 'continuation' },
    ),
    1,
    'fragments of 16 bytes, and an empty last one',
  )
  t.end()
})

test('a flood of empty or tiny fragments, of pings or of pongs costs one each', (t) => {
  const empty: FrameSpec = { opcode: 'continuation', fin: false }
  t.equal(cost({ opcode: 'text', fin: false }, empty, empty, empty), 4)
  t.equal(cost({ opcode: 'text', fin: false }, { ...empty, payload: 'x'.repeat(15) }), 2)
  t.equal(cost({ opcode: 'ping' }, { opcode: 'ping', payload: 'x' }, { opcode: 'pong' }), 3)
  t.end()
})

test('a Close frame and the answer to a ping of ours cost nothing, and pass where there is no token', (t) => {
  const it = gated(0)
  const bytes = frames({ opcode: 'pong', payload: 'ours' }, { opcode: 'close' })
  t.equal(it.scanner.scan(bytes, bytes.length, it.to), null)
  t.ok(it.scanner.isClosed)
  t.end()
})

const kinds: FrameSpec[] = [
  { opcode: 'text', payload: 'hello' },
  { opcode: 'ping', payload: 'p' },
  { opcode: 'binary', payload: 'x'.repeat(300) },
  { opcode: 'text', payload: '' },
  { opcode: 'pong', payload: 'theirs' },
]

test('where there is no token left the scan stops at the boundary, and what is scanned later goes on without a gap', async () => {
  const stream = fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 40 })
  const pieces = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(stream, pieces, fc.integer({ min: 1, max: 3 }), (specs, sizes, refill) => {
      const it = gated(0)
      const bytes = frames(...specs)
      const starts = new Set<number>([0])
      for (const [index] of specs.entries()) starts.add(frames(...specs.slice(0, index + 1)).length)
      let passed = 0
      for (let at = 0, piece = 0; at < bytes.length; piece++) {
        const next = Math.min(at + (sizes[piece % sizes.length] ?? 1), bytes.length)
        let rest = Buffer.from(bytes.subarray(at, next))
        for (;;) {
          const stop = it.scanner.scan(rest, rest.length, it.to)
          if (stop === null) break
          if (typeof stop !== 'number') throw new Error(stop.detail)
          if (it.gate.tokens > 0) throw new Error('stopped with tokens left')
          if (!starts.has(it.forwarded.length)) throw new Error('stopped inside a frame')
          rest = rest.subarray(stop)
          it.gate.tokens = refill
          passed += refill
        }
        at = next
      }
      if (!it.forwarded.equals(bytes)) throw new Error('not what was sent')
      if (passed - it.gate.tokens !== specs.length) throw new Error('each frame costs one')
    }),
    { numRuns: runs(300) },
  )
})

/** A message of up to four fragments, tiny ones among them, with control frames in between. */
const message = fc.array(fc.record({ bytes: fc.constantFrom(0, 3, 16, 200), ping: fc.boolean() }), {
  minLength: 1,
  maxLength: 4,
})

test('a message that may be dropped goes on whole or not at all, in order, however it comes, and each control frame by itself', async () => {
  const stream = fc.array(message, { minLength: 1, maxLength: 12 })
  const pieces = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(
      stream,
      pieces,
      fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
      (messages, sizes, turns) => {
        const controls: ControlHandler = { onControl: (one) => one.gate!.takeControl(), onBoundary() {} }
        const scanner = new FrameScanner(rules, controls)
        let [begun, asked, pings] = [0, 0, 0]
        const isLetOn = (nth: number): boolean => turns[nth % turns.length]!
        scanner.gate = {
          takeMessage: (isDroppable) => (!isDroppable || isLetOn(begun++) ? 'pass' : 'drop'),
          takeControl: () => (isLetOn(asked++ + 1) ? 'pass' : 'drop'),
        }
        const [sent, expected] = [[] as Buffer[], [] as Buffer[]]
        for (const [nth, fragments] of messages.entries()) {
          for (const [index, { bytes, ping }] of fragments.entries()) {
            const data = encodeFrame({
              opcode: index === 0 ? 'binary' : 'continuation',
              payload: Buffer.alloc(bytes, nth),
              fin: index === fragments.length - 1,
            })
            sent.push(data)
            if (isLetOn(nth)) expected.push(data)
            if (!ping) continue
            const control = encodeFrame({ opcode: 'ping', payload: `${nth}` })
            sent.push(control)
            if (isLetOn(pings++ + 1)) expected.push(control)
          }
        }
        const out: Buffer[] = []
        const bytes = Buffer.concat(sent)
        for (let at = 0, piece = 0; at < bytes.length; piece++) {
          const some = Buffer.from(bytes.subarray(at, at + (sizes[piece % sizes.length] ?? 1)))
          const stop = scanner.scan(some, some.length, {
            forward: (part, start, end) => void out.push(Buffer.from(part.subarray(start, end))),
          })
          if (stop !== null) throw new Error('stopped')
          at += some.length
        }
        if (!Buffer.concat(out).equals(Buffer.concat(expected))) throw new Error('not what was let on')
        if (scanner.messages !== messages.length) throw new Error('those that came are counted')
        if (scanner.dropped !== messages.filter((_, nth) => !isLetOn(nth)).length)
          throw new Error('those that were dropped are counted')
      },
    ),
    { numRuns: runs(500) },
  )
})

test('a message that is dropped keeps to the bounds of one that is not', (t) => {
  const scanner = new FrameScanner(
    { ...rules, maxMessageBytes: 10 },
    { onControl: () => 'pass', onBoundary() {} },
  )
  scanner.gate = { takeMessage: () => 'drop', takeControl: () => 'drop' }
  const bytes = frames(
    { opcode: 'text', payload: 'x'.repeat(10) },
    { opcode: 'text', payload: 'x'.repeat(11) },
  )
  t.match(scanner.scan(bytes, bytes.length, { forward: () => t.fail('nothing goes on') }), { code: 1009 })
  t.equal(scanner.dropped, 2)
  t.end()
})
