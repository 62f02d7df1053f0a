// What a stream brings in one turn, put together; the test is Node, and the clock.

import type { Http2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import { test } from 'tap'
import { Gathering } from '../../src/http2/gathering.ts'

function setUp(take: (bytes: Buffer) => void = () => {}) {
  const turns: Array<() => void> = []
  const stream = new Readable({ read() {} })
  const got: string[] = []
  const gathering = new Gathering(
    stream as unknown as Http2Stream,
    { later: (run) => void turns.push(run) },
    (bytes) => {
      take(bytes)
      got.push(bytes.toString())
    },
  )
  return {
    stream,
    gathering,
    got,
    turns,
    turn: () => turns.splice(0).forEach((run) => run()),
    /** Flowing, as a stream is that is read. */
    ready: () => new Promise((resolve) => void setImmediate(resolve)),
  }
}

test('pieces of one turn go on as one at its end, in one further turn', async (t) => {
  const { stream, gathering, got, turns, turn, ready } = setUp()
  await ready()
  for (const piece of ['a', 'b', 'c']) stream.push(piece)
  t.same([got, gathering.length, turns.length], [[], 3, 1])
  turn()
  t.same([got, gathering.length], [['abc'], 0])
  stream.push('d')
  turn()
  t.same(got, ['abc', 'd'])
})

test('pieces that are as much as a frame do not wait', async (t) => {
  const { stream, gathering, got, turn, ready } = setUp()
  await ready()
  stream.push('a')
  stream.push(Buffer.alloc(16_384, 'b'))
  t.same([got.length, got[0]?.length, gathering.length], [1, 16_385, 0])
  turn()
  t.equal(got.length, 1)
})

test('a stream that is paused within the turn keeps its pieces, in order, until it goes on', async (t) => {
  const { stream, gathering, got, turn, ready } = setUp()
  await ready()
  stream.push('a')
  stream.push('b')
  stream.pause()
  stream.push('c')
  turn()
  t.same([got, gathering.length, stream.readableLength], [[], 0, 3])
  stream.resume()
  await ready()
  turn()
  t.same(got, ['abc'])
})

test('a destroyed stream keeps its pieces for the flush at its close', async (t) => {
  const { stream, gathering, got, turn, ready } = setUp()
  await ready()
  stream.push('a')
  stream.pause()
  stream.destroy()
  turn()
  t.same([got, gathering.length], [[], 1])
  gathering.flush()
  t.same([got, gathering.length], [['a'], 0])
})

test('a taker keeps its bytes while it brings another stream to flush', async (t) => {
  const other = setUp()
  const one = setUp(() => other.gathering.flush())
  await one.ready()
  for (const piece of ['a', 'b']) one.stream.push(piece)
  for (const piece of ['x', 'y']) other.stream.push(piece)
  one.turn()
  t.same([one.got, other.got], [['ab'], ['xy']])
})
