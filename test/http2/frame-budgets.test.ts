import { test } from 'tap'
import { budgets } from '../../src/http2/frame-budgets.ts'
import * as h2 from '../support/h2-frames.ts'
import { answer, connection, get, isFlood, serve, shut } from './budgeted-line.ts'

const block = Buffer.alloc(100)
/** Frames that a client can send for as long as it likes, at no cost: each has its budget. */
const floods: [name: keyof typeof budgets, what: string, make: (nth: number) => Buffer | Buffer[]][] = [
  ['resets', 'rapid reset (CVE-2023-44487)', (nth) => [get(2 * nth + 1), h2.rst(2 * nth + 1)]],
  ['settings', 'SETTINGS (CVE-2019-9515)', () => h2.settings([4, 65_535])],
  ['settings', 'empty SETTINGS', () => h2.settings()],
  ['pings', 'PING (CVE-2019-9512)', () => h2.ping()],
  ['empty', 'empty DATA (CVE-2019-9518)', () => h2.data(1)],
  [
    'empty',
    'DATA of nothing but padding',
    () => h2.frame(0, h2.PADDED, 1, Buffer.from([255, ...Buffer.alloc(255)])),
  ],
  ['windows', 'WINDOW_UPDATE', () => h2.windowUpdate(0, 1000)],
  ['dribbles', 'a window of a stream opened by a byte (CVE-2019-9511)', () => h2.windowUpdate(1, 1)],
  ['dribbles', 'a window of a connection opened by a byte', () => h2.windowUpdate(0, 1)],
  ['priorities', 'PRIORITY (CVE-2019-9513)', (nth) => h2.priority(2 * nth + 1)],
  ['priorities', 'PRIORITY_UPDATE', () => h2.frame(h2.kinds.PRIORITY_UPDATE, 0, 0, Buffer.alloc(10))],
  ['others', 'unknown frames', () => h2.frame(0xbb)],
  ['others', 'ACKs of SETTINGS', () => h2.settingsAck()],
  ['others', 'ACKs of pings', () => h2.frame(h2.kinds.PING, h2.ACK, 0, Buffer.alloc(8))],
  ['others', 'GOAWAY', () => h2.goaway()],
  ['others', 'HEADERS on a stream that is closed', () => get(0)],
  ['others', 'CONTINUATION of nothing', () => h2.continuation(1, Buffer.alloc(0))],
]

for (const [name, what, make] of floods)
  test(`${what}: a flood ends the connection with rate_limited`, async (t) => {
    const { burst, perSecond, words } = budgets[name]
    const line = connection()
    const prepare = name === 'dribbles' ? shut : () => {}
    prepare(line)
    t.equal(line.until(make), burst + 1, 'after a burst')
    isFlood(t, line, words)

    const steady = connection()
    prepare(steady)
    // A fault of a twentieth of the rate would use a burst up.
    for (let second = 0, nth = 1; second < Math.min(600, (20 * burst) / perSecond); second++) {
      await steady.clock.pass(1000)
      for (let left = Math.floor(perSecond); left > 0; left--) steady.client(...[make(nth++)].flat())
      if (steady.fault !== null) break
    }
    t.equal(steady.fault, null, 'as many as flow back')
    await steady.clock.pass(3_600_000)
    t.equal(steady.until(make), burst + 1, 'an hour is worth a burst, no more')
  })

test('frames that make us send resets (CVE-2025-8671) end the connection with rate_limited', (t) => {
  const line = connection()
  let nth = 0
  while (nth < 5000 && line.gate(h2.rst(2 * nth + 1, h2.codes.FLOW_CONTROL_ERROR)) === null) nth++
  t.equal(nth, budgets.made.burst)
  isFlood(t, line, budgets.made.words)
  for (const code of [1, 3, 5, 6, 7, 11]) {
    const one = connection()
    for (let at = 0; at <= budgets.made.burst; at++) one.gate(h2.rst(2 * at + 1, code))
    isFlood(t, one, budgets.made.words)
  }
  t.end()
})

test('PRIORITY on stream 0 is a fault', (t) => {
  const line = connection()
  t.match(line.client(h2.priority(0)), { reason: 'protocol_error', http2Code: h2.codes.PROTOCOL_ERROR })
  t.end()
})

test('resets that we or the service decide on are no fault of the client', (t) => {
  const line = connection()
  for (const code of [h2.codes.NO_ERROR, h2.codes.INTERNAL_ERROR, h2.codes.CANCEL])
    for (let at = 0; at < 3000; at++) line.gate(h2.rst(2 * at + 1, code))
  t.equal(line.fault, null)
  t.end()
})

test('a client of which every other request is answered may cancel the rest, for ever', (t) => {
  const line = connection()
  for (let id = 1; id < 40_000; id += 4) {
    line.client(get(id), get(id + 2), h2.rst(id + 2))
    line.gate(...answer(id))
  }
  t.equal(line.fault, null)
  t.end()
})

test('a client that cancels three of four does not, however many requests it has had answered before', (t) => {
  const line = connection()
  let id = 1
  const next = (): number => (id += 2)
  for (let done = 0; done < 10_000; done++) {
    const stream = next()
    line.client(get(stream))
    line.gate(...answer(stream))
  }
  const rounds = line.until(() => {
    const [one, two, three, four] = [next(), next(), next(), next()] as const
    line.gate(...answer(one))
    return [get(one), get(two), h2.rst(two), get(three), h2.rst(three), get(four), h2.rst(four)]
  })
  t.equal(rounds, budgets.resets.burst / 2, 'two of a round are not paid for')
  isFlood(t, line, budgets.resets.words)
  t.end()
})

/** As many at a time as a client may have open, all cancelled at one age; until the connection ends, or the 50th time. */
async function cancels(ageMs: number, isAnswered = false) {
  const line = connection()
  let id = 1
  let count = 0
  for (let round = 0; round < 50 && line.fault === null; round++) {
    const ids = Array.from({ length: 100 }, () => (id += 2))
    for (const one of ids) {
      line.client(get(one))
      serve(line, one, isAnswered)
    }
    await line.clock.pass(ageMs)
    for (const one of ids) if (line.client(h2.rst(one)) === null) count++
  }
  return { line, count }
}

test('callers that give up a service that hangs, after 100 ms or more, may do so for ever', async (t) => {
  for (const ageMs of [100, 200, 60_000]) t.equal((await cancels(ageMs)).count, 5000, `${ageMs} ms`)
})

test('streams that are cancelled sooner pay with what they lack of 100 ms', async (t) => {
  const burst = budgets.resets.burst
  const { count, line } = await cancels(0)
  t.equal(count, burst, 'at once')
  isFlood(t, line, budgets.resets.words)
  const half = (await cancels(50)).count
  t.ok(half >= 2 * burst && half <= 2.5 * burst, `${half} after half of it`)
})

test('clients that leave once their answer has begun may do so for ever', async (t) => {
  t.equal((await cancels(0, true)).count, 5000)
})

test('a page of a hundred streams may be left twice over', (t) => {
  const line = connection()
  for (let id = 1; id < 400; id += 2) line.client(get(id))
  for (let id = 1; id < 400; id += 2) line.client(h2.rst(id))
  t.equal(line.fault, null)
  t.end()
})

test('gRPC: a ping for each DATA frame, either way, and windows that are opened ten times for each of ours', (t) => {
  const line = connection()
  line.client(h2.settings([4, 65_535]), get(1))
  for (let at = 0; at < 5000; at++) {
    line.gate(h2.data(1, Buffer.alloc(8000)))
    line.client(h2.ping(), h2.data(1, Buffer.alloc(5)), h2.ping())
    for (let update = 0; update < 10; update++) line.client(h2.windowUpdate(1, 8000))
  }
  t.equal(line.fault, null)
  t.end()
})

test('a reader of small messages that acknowledges each, for the stream and for the connection', (t) => {
  const line = connection()
  for (let at = 0; at < 5000; at++) {
    line.gate(h2.data(1, Buffer.alloc(80)))
    line.client(h2.windowUpdate(1, 80), h2.windowUpdate(0, 80))
  }
  t.equal(line.fault, null)
  t.end()
})

test('a frame of a few bytes pays for two WINDOW_UPDATE frames that open more than it used, no more', (t) => {
  const line = connection()
  const count = line.until(() => {
    line.gate(h2.data(1, Buffer.alloc(1)))
    return [h2.windowUpdate(1, 10_000), h2.windowUpdate(0, 10_000), h2.windowUpdate(0, 10_000)]
  })
  // The first of a full budget earns nothing.
  t.equal(count, budgets.windows.burst - 1)
  isFlood(t, line, budgets.windows.words)
  t.end()
})

test('a client of which one request in eleven is malformed goes on for ever, one of which more are does not', (t) => {
  const line = connection()
  for (let id = 1; id < 40_000; id += 2) {
    line.client(get(id))
    line.gate(...(id % 20 === 1 ? [h2.rst(id, h2.codes.PROTOCOL_ERROR)] : answer(id)))
  }
  // Nine answers earn nine tenths of a token.
  t.equal(line.fault?.reason, 'rate_limited')
  const better = connection()
  for (let id = 1; id < 40_000; id += 2) {
    better.client(get(id))
    better.gate(...(id % 22 === 1 ? [h2.rst(id, h2.codes.PROTOCOL_ERROR)] : answer(id)))
  }
  t.equal(better.fault, null)
  t.end()
})

test('priorities, greased frames, trailers and windows that are opened at once, ten, two and two for each request', (t) => {
  const line = connection()
  for (let id = 1; id < 5000; id += 2) {
    line.client(h2.headers(id, h2.GET, h2.END_HEADERS), h2.frame(0xbb), h2.frame(0x0b), get(id))
    for (let at = 0; at < 10; at++) line.client(h2.priority(id))
    line.client(h2.windowUpdate(id, 1 << 20), h2.windowUpdate(0, 1 << 20))
  }
  t.equal(line.fault, null)
  t.end()
})

test('DATA that ends a stream may be empty, and DATA of a byte is not: a gRPC call, a terminal', (t) => {
  const line = connection()
  for (let id = 1; id < 10_000; id += 2) {
    line.client(h2.headers(id, h2.GET, h2.END_HEADERS), h2.data(id, 'x'), h2.data(id, '', h2.END_STREAM))
  }
  t.equal(line.fault, null)
  t.end()
})

test('a header block ends with the connection once it is four times http.maxHeader', (t) => {
  const piece = Buffer.alloc(16_384)
  const isTooBig = (maxHeader: number, pieces: number): boolean => {
    const line = connection(maxHeader)
    line.client(h2.headers(1, piece, 0))
    for (let at = 1; at < pieces; at++) line.client(h2.continuation(1, piece, 0))
    return line.fault !== null
  }
  t.notOk(isTooBig(16_384, 4))
  t.ok(isTooBig(16_384, 5))
  t.notOk(isTooBig(1000, 4), 'one frame in any case')
  t.notOk(isTooBig(32_768, 8))
  t.ok(isTooBig(32_768, 9))
  const line = connection()
  for (let at = 0; at < 5; at++)
    line.client(at === 0 ? h2.headers(1, piece, 0) : h2.continuation(1, piece, 0))
  t.match(line.fault, {
    reason: 'message_too_big',
    http2Code: h2.codes.ENHANCE_YOUR_CALM,
    detail: 'a header block of more than 65536 bytes (http.maxHeader)',
  })
  t.end()
})

test('a header block of more than eight CONTINUATION frames ends the connection (CVE-2024-28182 and others)', (t) => {
  const line = connection()
  line.client(h2.headers(1, block, 0))
  t.equal(
    line.until(() => h2.continuation(1, block, 0)),
    9,
  )
  t.match(line.fault, { reason: 'message_too_big', http2Code: h2.codes.ENHANCE_YOUR_CALM })
  const innocent = connection()
  for (let id = 1; id < 1000; id += 2) {
    innocent.client(h2.headers(id, block, 0))
    for (let at = 0; at < 8; at++) innocent.client(h2.continuation(id, block, at === 7 ? h2.END_HEADERS : 0))
  }
  t.equal(innocent.fault, null, 'eight in each of five hundred blocks do not')
  t.end()
})

test('blocks of empty frames are counted over all streams', (t) => {
  const line = connection()
  let id = 1
  const rounds = line.until(() => {
    id += 2
    return [h2.headers(id, Buffer.alloc(0), 0), h2.continuation(id, h2.GET)]
  })
  t.equal(rounds, budgets.empty.burst + 1)
  t.end()
})
