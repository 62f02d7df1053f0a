import fc from 'fast-check'
import { test } from 'tap'
import { Assembler } from '../../src/websocket/assembler.ts'
import type { MessageTaker } from '../../src/websocket/assembler.ts'
import { FrameScanner } from '../../src/websocket/frame-scanner.ts'
import { pattern } from '../support/bytes.ts'
import { encodeFrame } from '../support/frames.ts'
import { runs } from '../support/runs.ts'

class Taken implements MessageTaker {
  readonly all: string[] = []
  lent = 0

  onMessage(isBinary: boolean, isCompressed: boolean, payload: Buffer, isLent: boolean): void {
    this.all.push(
      `${isBinary ? 'binary' : 'text'}${isCompressed ? ' compressed' : ''} ${payload.toString('hex')}`,
    )
    if (isLent) this.lent++
  }

  onControl(opcode: number, payload: Buffer): void {
    this.all.push(`control ${opcode} ${payload.toString('hex')}`)
  }
}

interface Sent {
  isBinary: boolean
  isCompressed: boolean
  payload: Buffer
  /** Where fragments are cut, and a ping stands between them. */
  cuts: number[]
}

const sizes = fc.oneof(
  fc.integer({ min: 0, max: 20 }),
  fc.integer({ min: 60, max: 300 }),
  fc.constantFrom(125, 126, 65_535, 65_536, 70_000),
)
const messages = fc.array(
  fc
    .record({
      isBinary: fc.boolean(),
      isCompressed: fc.boolean(),
      size: sizes,
      seed: fc.nat(99),
      cuts: fc.array(fc.nat(), { maxLength: 3 }),
    })
    .map(({ size, seed, cuts, ...rest }): Sent => ({
      ...rest,
      payload: pattern(size, seed),
      cuts: cuts.map((cut) => cut % (size + 1)).sort((a, b) => a - b),
    })),
  { maxLength: 6 },
)

function encode({ isBinary, isCompressed, payload, cuts }: Sent, isMasked: boolean): Buffer {
  const edges = [0, ...cuts, payload.length]
  const frames = edges.slice(1).flatMap((end, i) => [
    encodeFrame({
      opcode: i > 0 ? 'continuation' : isBinary ? 'binary' : 'text',
      rsv: isCompressed && i === 0 ? 4 : 0,
      payload: payload.subarray(edges[i], end),
      fin: i === cuts.length,
      mask: isMasked,
    }),
    ...(i < cuts.length ? [encodeFrame({ opcode: 'ping', payload: `${i}`, mask: isMasked })] : []),
  ])
  return Buffer.concat(frames)
}

function expected({ isBinary, isCompressed, payload, cuts }: Sent): string[] {
  return [
    ...cuts.map((_, i) => `control 9 ${Buffer.from(`${i}`).toString('hex')}`),
    `${isBinary ? 'binary' : 'text'}${isCompressed ? ' compressed' : ''} ${payload.toString('hex')}`,
  ]
}

for (const isMasked of [true, false]) {
  test(`whatever the scanner lets through, ${isMasked ? 'masked' : 'unmasked'} and however it is cut, becomes the messages that were sent`, async (t) => {
    fc.assert(
      fc.property(
        messages,
        fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 5 }),
        (all, pieces) => {
          const bytes = Buffer.concat(all.map((one) => encode(one, isMasked)))
          const assembler = new Assembler(isMasked)
          const taken = new Taken()
          const scanner = new FrameScanner(
            { isMasked, isCompressed: true, maxMessageBytes: Infinity, maxFragments: Infinity },
            { onControl: () => 'pass', onBoundary() {} },
          )
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const piece = Buffer.from(bytes.subarray(at, at + pieces[i % pieces.length]!))
            const violation = scanner.scan(piece, piece.length, {
              forward: (from, start, end) => assembler.take(from, start, end, taken),
            })
            if (violation !== null) throw new Error(JSON.stringify(violation))
            piece.fill(0xee)
            at += piece.length
          }
          const wanted = all.flatMap(expected)
          return (
            assembler.length === 0 &&
            taken.all.length === wanted.length &&
            taken.all.every((one, i) => one === wanted[i])
          )
        },
      ),
      { numRuns: runs(300) },
    )
    t.pass('in each run')
  })
}

test('a message that comes whole is lent, one in pieces is owned; what is held is its payload and no more', async (t) => {
  const assembler = new Assembler(false)
  const taken = new Taken()
  const whole = encodeFrame({ opcode: 'binary', payload: pattern(100) })
  assembler.take(whole, 0, whole.length, taken)
  t.same([taken.all.length, taken.lent, assembler.length], [1, 1, 0])
  assembler.take(whole, 0, 50, taken)
  t.equal(assembler.length, 48)
  assembler.take(whole, 50, whole.length, taken)
  t.same([taken.all.length, taken.lent, assembler.length], [2, 1, 0])
  t.equal(taken.all[0], taken.all[1])
})
