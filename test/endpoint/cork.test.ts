import { test } from 'tap'
import { cork, corked, discardGathered, gather, uncork } from '../../src/endpoint/cork.ts'
import type { Corkable } from '../../src/endpoint/cork.ts'
import { pattern } from '../support/bytes.ts'

class Sink implements Corkable {
  readonly writes: Buffer[] = []

  write(bytes: Buffer): void {
    if (corked === this) gather(this, bytes, 0, bytes.length)
    else this.writeNow(bytes, 0, bytes.length)
  }

  writeNow(bytes: Buffer, start: number, end: number): void {
    this.writes.push(Buffer.from(bytes.subarray(start, end)))
  }
}

test('what is written while corked goes out as one, in order; what follows goes by itself', async (t) => {
  const sink = new Sink()
  cork(sink)
  for (const piece of ['a', 'bc', '']) sink.write(Buffer.from(piece))
  t.same(sink.writes, [])
  uncork(sink)
  sink.write(Buffer.from('d'))
  t.same(sink.writes.map(String), ['abc', 'd'])
  uncork(sink)
  t.equal(sink.writes.length, 2)
})

test('nothing gathered is no write', async (t) => {
  const sink = new Sink()
  cork(sink)
  uncork(sink)
  t.same(sink.writes, [])
})

test('more than the largest write goes out as it fills', async (t) => {
  const sink = new Sink()
  cork(sink)
  for (let at = 0; at < 200_000; at += 1000) sink.write(pattern(1000, 1, at))
  uncork(sink)
  t.same(
    sink.writes.map(({ length }) => length),
    [65_536, 65_536, 65_536, 3392],
  )
  t.ok(Buffer.concat(sink.writes).equals(pattern(200_000, 1)))
})

test('corking another sends what the first has, and the first is corked no more', async (t) => {
  const [first, second] = [new Sink(), new Sink()]
  cork(first)
  first.write(Buffer.from('1'))
  cork(first)
  first.write(Buffer.from('2'))
  cork(second)
  t.same(first.writes.map(String), ['12'])
  first.write(Buffer.from('3'))
  second.write(Buffer.from('x'))
  uncork(first)
  t.same(second.writes, [])
  uncork(second)
  t.same([first.writes.map(String), second.writes.map(String)], [['12', '3'], ['x']])
})

test('what was gathered for one that is gone is forgotten, and not given to the next', async (t) => {
  const [gone, next] = [new Sink(), new Sink()]
  cork(gone)
  gone.write(Buffer.from('lost'))
  discardGathered(next)
  discardGathered(gone)
  cork(next)
  next.write(Buffer.from('x'))
  uncork(next)
  t.same([gone.writes, next.writes.map(String)], [[], ['x']])
})
