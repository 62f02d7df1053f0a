import { test } from 'tap'
import type { Http2Stream } from 'node:http2'
import { writePieces } from '../../src/http2/write-pieces.ts'

type Written = (error?: Error | null) => void

function write(pieces: Buffer[], destroyed: boolean, error: Error | null) {
  const told = { corks: 0, uncorks: 0, written: 0, writes: 0 }
  const later: { written: Written | null } = { written: null }
  const stream = {
    destroyed,
    cork: () => void told.corks++,
    uncork: () => void told.uncorks++,
    write(_bytes: Buffer, written?: Written) {
      told.writes++
      if (written !== undefined) later.written = written
    },
  }
  writePieces(stream as unknown as Http2Stream, pieces, () => told.written++)
  later.written!(error)
  return told
}

const pieces = (count: number): Buffer[] => Array.from({ length: count }, () => Buffer.allocUnsafeSlow(10))
const lengths = (all: Buffer[]): number[] => all.map(({ length }) => length)

test('pieces go out together, and their memory goes once all are in frames', (t) => {
  const [one, two] = [pieces(1), pieces(2)]
  t.same(write(one, false, null), { corks: 0, uncorks: 0, written: 1, writes: 1 })
  t.same(write(two, false, null), { corks: 1, uncorks: 1, written: 1, writes: 2 })
  t.same([lengths(one), lengths(two)], [[0], [0, 0]])
  t.end()
})

test('pieces of a stream that is destroyed, or has failed, are read a moment later: their memory stays', (t) => {
  for (const [destroyed, error] of [
    [true, null],
    [false, new Error('failed')],
  ] as const) {
    const one = pieces(1)
    t.equal(write(one, destroyed, error).written, 1)
    t.same(lengths(one), [10])
  }
  t.end()
})
