import fc from 'fast-check'
import { test } from 'tap'
import { FrameScanner, PONG } from '../../../src/protocol/websocket/frame-scanner.ts'
import type { ControlHandler } from '../../../src/protocol/websocket/frame-scanner.ts'
import { encodeFrame, type FrameSpec } from '../../support/frames.ts'

const rules = { isMasked: false, isCompressed: false, maxMessageBytes: Infinity, maxFragments: Infinity }

/** A scanner whose gate has so many tokens; control frames ask for one as `Frames` does, but for pongs that say "ours". */
function gated(tokens: number) {
  const gate = { tokens, takeMessage: () => (gate.tokens > 0 ? (gate.tokens--, true) : false) }
  const handler: ControlHandler = {
    onControl(one, opcode, payload) {
      if (opcode === 8) return 'pass'
      if (opcode === PONG && payload.toString() === 'ours') return 'drop'
      return one.gate!.takeMessage() ? 'pass' : 'stop'
    },
    onBoundary() {},
  }
  const scanner = new FrameScanner(rules, handler)
  scanner.gate = gate
  const out: Buffer[] = []
  const to = { forward: (bytes: Buffer, start: number, end: number) => void out.push(Buffer.from(bytes.subarray(start, end))) }
  return { gate, scanner, to, get forwarded() { return Buffer.concat(out) } }
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
  t.equal(cost({ opcode: 'text', ...part }, { opcode: 'continuation', ...part }, { opcode: 'continuation', ...part }, { opcode: 'continuation' }), 1, 'fragments of 16 bytes, and an empty last one')
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
  fc.assert(fc.property(stream, pieces, fc.integer({ min: 1, max: 3 }), (specs, sizes, refill) => {
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
  }), { numRuns: 300 })
})
