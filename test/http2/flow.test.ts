import { test } from 'tap'
import { ClientFlow } from '../../src/http2/flow.ts'
import type { Frame } from '../../src/http2/frame-scanner.ts'
import { kinds } from '../support/h2-frames.ts'

const INITIAL = 65_535

class Stream {
  window = 0
  readonly openedAt = 0
  readonly isAnswered = false
  framed = 0
  hasEnded = false
  onEnded(): void {
    this.hasEnded = true
  }
  onFramed(bytes: number): void {
    this.framed += bytes
  }
}

const frame = (parts: Partial<Frame>): Frame => ({
  type: kinds.DATA,
  flags: 0,
  stream: 0,
  length: 0,
  word: 0,
  at: 0,
  ...parts,
})
const update = (stream: number, word: number): Frame =>
  frame({ type: kinds.WINDOW_UPDATE, stream, length: 4, word })
const data = (stream: number, length: number): Frame => frame({ stream, length })

test('a window of a stream opens by its own WINDOW_UPDATE, and shuts by its own DATA', (t) => {
  const flow = new ClientFlow()
  const [one, other] = [new Stream(), new Stream()]
  flow.open(1, one)
  flow.open(3, other)
  flow.onFrame(update(1, 10))
  flow.onFrameOut(data(3, 5))
  t.same([one.window, other.window], [INITIAL + 10, INITIAL - 5])
  t.same([one.framed, other.framed], [0, 5])
  flow.onFrame(frame({ type: kinds.HEADERS, stream: 1, word: 7 }))
  flow.onFrame(update(1, 0x8000_0001))
  t.equal(one.window, INITIAL + 11, 'a reserved bit means nothing')
  t.end()
})

test('the window of the connection shuts by the DATA of all streams, known or not', (t) => {
  const flow = new ClientFlow()
  flow.open(1, new Stream())
  flow.onFrameOut(data(1, 30_000))
  flow.onFrameOut(data(9, INITIAL - 30_001))
  t.notOk(flow.isShut)
  flow.onFrameOut(data(9, 1))
  t.ok(flow.isShut)
  flow.onFrame(update(1, 100))
  t.ok(flow.isShut, 'a stream is not the connection')
  flow.onFrame(update(0, 1))
  t.notOk(flow.isShut)
  t.end()
})

test('a new initial window changes open streams by the difference, and is that of coming ones', (t) => {
  const flow = new ClientFlow()
  const [before, after] = [new Stream(), new Stream()]
  flow.open(1, before)
  flow.onFrameOut(data(1, 1000))
  flow.setInitial(100)
  t.equal(before.window, 100 - 1000)
  flow.setInitial(5000)
  t.equal(before.window, 4000)
  flow.open(3, after)
  t.equal(after.window, 5000)
  t.end()
})

test('increments that come with HEADERS count once the stream is served, and no later ones for it', (t) => {
  const flow = new ClientFlow()
  const [one, other] = [new Stream(), new Stream()]
  flow.onFrame(update(1, 10))
  flow.onFrame(update(1, 5))
  flow.open(1, one)
  t.equal(one.window, INITIAL + 15)
  flow.onFrame(update(3, 10))
  flow.forgetEarly()
  flow.open(3, other)
  t.equal(other.window, INITIAL, 'those of another read were for a stream that was not')
  t.end()
})

test('the window of a stream that is not served is what the client gave it in this read, beside the initial one', (t) => {
  const flow = new ClientFlow()
  flow.onFrame(update(0, 1))
  t.same([flow.windowOf(0), flow.windowOf(1)], [INITIAL + 1, INITIAL])
  flow.setInitial(0)
  flow.onFrame(update(1, 5))
  t.equal(flow.windowOf(1), 5)
  flow.open(1, new Stream())
  flow.forgetEarly()
  flow.onFrameOut(data(1, 4))
  t.same([flow.windowOf(0), flow.windowOf(1), flow.windowOf(3)], [INITIAL - 3, 1, 0])
  t.end()
})

test('a stream that is closed has no window, and others keep theirs', (t) => {
  const flow = new ClientFlow()
  const [one, other] = [new Stream(), new Stream()]
  flow.open(1, one)
  flow.open(3, other)
  flow.close(1, one)
  flow.onFrame(update(1, 10))
  flow.onFrameOut(data(1, 10))
  flow.setInitial(INITIAL + 1)
  t.same([one.window, one.framed, other.window], [0, 0, INITIAL + 1])
  t.end()
})

test('all bytes of frames are counted, and where the last DATA ended', (t) => {
  const flow = new ClientFlow()
  const one = new Stream()
  flow.open(1, one)
  flow.onFrameOut(frame({ type: kinds.HEADERS, stream: 1, length: 20 }))
  t.same([flow.sent, flow.dataAt], [29, 0])
  flow.onFrameOut(data(1, 100))
  t.same([flow.sent, flow.dataAt], [138, 138])
  flow.onFrameOut(frame({ type: kinds.PING, length: 8 }))
  flow.onFrameOut(data(1, 0))
  t.same([flow.sent, flow.dataAt], [164, 138], 'an empty DATA is none')
  t.equal(one.window, INITIAL - 100)
  t.end()
})
