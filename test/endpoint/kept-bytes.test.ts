import { test } from 'tap'
import fc from 'fast-check'
import { KeptBytes } from '../../src/endpoint/kept-bytes.ts'
import { pattern, Verifier } from '../support/bytes.ts'
import { runs } from '../support/runs.ts'

/** Promise 3: a queued byte keeps no larger buffer alive than itself, give or take 10 %. */
function assertLean(kept: KeptBytes): void {
  if (kept.retained > kept.length * 1.1 + 64)
    throw new Error(`${kept.length} bytes keep ${kept.retained} alive`)
}

type Step =
  | { do: 'append'; bytes: number; offset: number }
  | { do: 'take'; limit: number }
  | { do: 'peek' | 'takeAll' | 'clear' }

const size = fc.oneof(
  fc.integer({ min: 0, max: 5 }),
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 4000, max: 9000 }),
  fc.integer({ min: 0, max: 70_000 }),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('append' as const), bytes: size, offset: fc.nat(100) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('take' as const), limit: size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('peek' as const, 'takeAll' as const) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
)

test('bytes come back in order and whole, whatever is appended and taken, and keep little more than themselves alive', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const kept = new KeptBytes()
      let stream = new Verifier(1)
      let appended = 0
      for (const step of steps) {
        if (step.do === 'append') {
          const from = Buffer.alloc(step.offset + step.bytes + 10, 0xee)
          pattern(step.bytes, 1, appended).copy(from, step.offset)
          kept.append(from, step.offset, step.offset + step.bytes)
          from.fill(0xee)
          appended += step.bytes
        } else if (step.do === 'take') {
          const taken = kept.takeUpTo(step.limit)
          const total = taken.reduce((sum, piece) => sum + piece.length, 0)
          if (total > step.limit && taken.length > 1) throw new Error('took more than the limit')
          for (const piece of taken) stream.write(piece)
        } else if (step.do === 'peek') {
          const peeked = new Verifier(1)
          peeked.bytes = stream.bytes
          peeked.write(kept.peekAll())
          if (peeked.problem(appended) !== null) throw new Error(`peeked: ${peeked.problem(appended)}`)
        } else if (step.do === 'takeAll') {
          stream.write(kept.takeAll())
          if (stream.problem(appended) !== null) throw new Error(`taken: ${stream.problem(appended)}`)
        } else {
          kept.clear()
          appended = 0
          stream = new Verifier(1)
        }
        if (stream.wrong !== null) throw new Error(`${stream.problem()}`)
        if (kept.length !== appended - stream.bytes) throw new Error(`length is ${kept.length}`)
        assertLean(kept)
      }
    }),
    { numRuns: runs(200) },
  )
  t.pass()
  t.end()
})

test('a quarter of a million one-byte pieces keep as many bytes, in order', (t) => {
  const kept = new KeptBytes()
  const bytes = pattern(250_000, 2)
  for (let i = 0; i < bytes.length; i += 1) kept.append(bytes, i, i + 1)
  t.equal(kept.length, 250_000)
  t.doesNotThrow(() => assertLean(kept))
  const pieces = kept.takeUpTo(Number.POSITIVE_INFINITY)
  t.ok(pieces.length < 100, 'joined: a Buffer object is larger than a byte')
  t.ok(
    pieces.every((piece) => piece.length <= 4096),
    'but not for ever: each append would copy them all',
  )
  t.ok(Buffer.concat(pieces).equals(bytes))
  t.same([kept.length, kept.retained], [0, 0])
  t.end()
})

test('no pieces alternate so that small ones keep much', (t) => {
  for (const [large, small] of [
    [4096, 1],
    [4095, 2],
    [65_536, 64],
    [2049, 2048],
  ] as const) {
    const kept = new KeptBytes()
    const bytes = Buffer.alloc(65_536)
    for (let i = 0; i < 200; i += 1) kept.append(bytes, 0, i % 2 === 0 ? large : small)
    t.doesNotThrow(() => assertLean(kept), `${large} and ${small}`)
  }
  t.end()
})

test('a take gives at least one piece, though it is larger than the limit, and nothing when nothing is kept', (t) => {
  const kept = new KeptBytes()
  t.same(kept.takeUpTo(10), [])
  kept.append(Buffer.alloc(5000), 0, 5000)
  kept.append(Buffer.alloc(5000), 0, 5000)
  t.same(
    kept.takeUpTo(10).map((piece) => piece.length),
    [5000],
  )
  t.equal(kept.length, 5000)
  t.end()
})

test('a peek at nothing is empty and leaves no piece behind', (t) => {
  const kept = new KeptBytes()
  t.equal(kept.peekAll().length, 0)
  t.same(kept.takeUpTo(10), [])
  t.equal(kept.takeAll().length, 0)
  t.end()
})

test('a peek stays until the next change and does not take', (t) => {
  const kept = new KeptBytes()
  kept.append(Buffer.from('abc'), 0, 3)
  t.equal(kept.peekAll().toString(), 'abc')
  kept.append(Buffer.from('def'), 0, 3)
  t.equal(kept.peekAll().toString(), 'abcdef')
  t.equal(kept.length, 6)
  t.end()
})
