import { test } from 'tap'
import fc from 'fast-check'
import { copyOut, giveBack, lend, LARGEST_WRITE } from '../../src/endpoint/write-buffers.ts'

const source = Buffer.alloc(LARGEST_WRITE)

test('a copy of any size fits its buffer, which is at most a sixteenth larger and never less than 64 bytes', (t) => {
  const wrong: string[] = []
  for (let length = 1; length <= LARGEST_WRITE; length += 1) {
    const view = copyOut(source, 0, length)
    const capacity = view.buffer.byteLength
    if (view.length !== length || view.byteOffset !== 0)
      wrong.push(`${length}: a view of ${view.length} at ${view.byteOffset}`)
    if (capacity < length) wrong.push(`${length} bytes in ${capacity}`)
    if (length >= 64 ? capacity > Math.ceil(length * 1.0625) : capacity !== 64)
      wrong.push(`${length} bytes keep ${capacity}`)
  }
  t.same(wrong, [])
  t.end()
})

test('a copy is of the bytes between start and end, and of no later change to them', (t) => {
  const bytes = Buffer.from('0123456789')
  const view = copyOut(bytes, 2, 5)
  bytes.fill(0)
  t.equal(view.toString(), '234')
  t.end()
})

test('writes that complete at once use one buffer again and again, and one view for one size', (t) => {
  const first = copyOut(source, 0, 1000)
  t.equal(copyOut(source, 0, 1000), first)
  t.equal(copyOut(source, 0, 999).buffer, first.buffer)
  t.end()
})

test('a lent buffer is not handed out until it was given back, and is then used again', (t) => {
  const lent = copyOut(source, 0, 30_000)
  lend(lent)
  const other = copyOut(source, 0, 30_000)
  t.not(other.buffer, lent.buffer)
  lend(other)
  giveBack(lent)
  t.equal(copyOut(source, 0, 30_000).buffer, lent.buffer)
  giveBack(other)
  t.equal(
    copyOut(source, 0, 30_000).buffer,
    lent.buffer,
    'one buffer is kept of each size, the rest is collected',
  )
  t.end()
})

test('what is not of a size of ours is not taken back', (t) => {
  lend(copyOut(source, 0, 5000))
  giveBack(Buffer.allocUnsafeSlow(5000))
  giveBack(Buffer.alloc(200).subarray(0, 10))
  t.ok(copyOut(source, 0, 5000).buffer.byteLength >= 5000)
  t.equal(copyOut(source, 0, 10).buffer.byteLength, 64)
  t.end()
})

type Step = { do: 'write'; length: number; completes: boolean } | { do: 'complete'; nth: number }

const length = fc.oneof(
  fc.integer({ min: 1, max: 130 }),
  fc.constantFrom(1000, 1024, 1025, 60_000, 65_535, 65_536),
  fc.integer({ min: 1, max: LARGEST_WRITE }),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('write' as const), length, completes: fc.boolean() }),
  fc.record({ do: fc.constant('complete' as const), nth: fc.nat() }),
)

test('no two writes that wait ever share memory, nor does a new one overwrite what waits', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const waiting: { view: Buffer; expected: Buffer }[] = []
      let seed = 0
      for (const step of steps) {
        if (step.do === 'write') {
          const expected = Buffer.alloc(step.length, ++seed)
          const view = copyOut(expected, 0, step.length)
          if (!view.equals(expected)) throw new Error('not a copy')
          if (!step.completes) {
            lend(view)
            waiting.push({ view, expected })
          }
        } else if (waiting.length > 0) {
          const [done] = waiting.splice(step.nth % waiting.length, 1)
          giveBack(done!.view)
        }
        for (const { view, expected } of waiting)
          if (!view.equals(expected)) throw new Error('overwritten while it waits')
        if (new Set(waiting.map(({ view }) => view.buffer)).size !== waiting.length)
          throw new Error('two writes share a buffer')
      }
      for (const { view } of waiting) giveBack(view)
    }),
    { numRuns: 150 },
  )
  t.pass()
  t.end()
})
