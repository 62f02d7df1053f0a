import { test } from 'tap'
import { LiveValue } from '../../src/core/live.ts'
import type { Half } from '../../src/pair/half.ts'
import { ClientFlow } from '../../src/http2/flow.ts'
import type { Http2Context, Http2Options } from '../../src/http2/options.ts'
import { SessionWaits } from '../../src/http2/session-waits.ts'

const ping = { intervalMs: 10_000, timeoutMs: 1000, misses: 1, to: 'both' as 'client' | 'upstream' | 'both' }

function setUp() {
  const deadlines = new LiveValue({ handshakeMs: 5000, writeMs: 8000, ping })
  const options = { deadlines, keepAliveMs: 60_000 } as unknown as Http2Options
  const context = { clock: { now: () => 500 } } as unknown as Http2Context
  const frames = { flow: new ClientFlow(), headSince: null as number | null }
  const waits = new SessionWaits(options, frames, 100, context)
  const half = { flow: { received: 0 } }
  let asked = 0
  let answered = (): void => {}
  return {
    waits,
    frames,
    deadlines,
    half,
    asked: () => asked,
    answer: () => answered(),
    vanished: (now: number, isAsked = true) =>
      waits.vanished(half as unknown as Half, isAsked, now, (answer) => {
        asked++
        answered = answer
      }),
  }
}

test('SETTINGS have deadlines.handshake from the accept on, with streams or without', (t) => {
  const { waits } = setUp()
  for (const streams of [0, 1]) {
    t.equal(waits.judge(streams, 1, 5099), null)
    t.match(waits.judge(streams, 1, 5100), {
      reason: 'handshake_timeout',
      phase: 'handshake',
      side: 'client',
    })
  }
  t.match(waits.judge(0, 0.1, 5100), { reason: 'handshake_timeout' })
  t.match(waits.describe(0), { next: { key: 'deadlines.handshake', at: 5100 } })
  t.end()
})

test('a head that has begun has deadlines.handshake, with streams or without', (t) => {
  const { waits, frames } = setUp()
  waits.hasSettings = true
  frames.headSince = 9000
  for (const streams of [0, 1]) {
    t.equal(waits.judge(streams, 1, 13_999), null)
    t.match(waits.judge(streams, 1, 14_000), { reason: 'handshake_timeout', side: 'client' })
    t.match(waits.describe(streams), {
      waitsFor: /rest of the head/,
      next: { key: 'deadlines.handshake', at: 14_000 },
    })
  }
  frames.headSince = null
  t.equal(waits.judge(1, 1, 14_000), null)
  t.end()
})

test('a connection without a stream has http.keepAlive from its last stream on, less where memory runs short', (t) => {
  const { waits } = setUp()
  waits.hasSettings = true
  t.equal(waits.judge(0, 1, 60_499), null)
  t.match(waits.judge(0, 1, 60_500), { reason: 'eof', side: 'sidegate' })
  t.equal(waits.judge(1, 1, 1e9), null)
  waits.restSince = 70_000
  t.equal(waits.judge(0, 0.5, 99_999), null)
  t.match(waits.judge(0, 0.5, 100_000), { reason: 'eof' })
  t.end()
})

test('a wait is described by what it waits for', (t) => {
  const { waits } = setUp()
  waits.hasSettings = true
  t.match(waits.describe(0), { waitsFor: 'the next request', next: { key: 'http.keepAlive', at: 60_500 } })
  t.same(waits.describe(1), { waitsFor: 'a stream', next: null })
  t.same(waits.describe(7), { waitsFor: '7 streams', next: null })
  t.end()
})

test('a silent client is asked, and gone if it does not answer; one that answers, or sends, is there', (t) => {
  const silent = setUp()
  t.equal(silent.vanished(10_499), null)
  t.equal(silent.asked(), 0)
  t.equal(silent.vanished(10_500), null)
  t.equal(silent.asked(), 1)
  t.match(silent.vanished(11_500), { reason: 'ping_timeout', side: 'client' })
  const answers = setUp()
  answers.vanished(10_500)
  answers.answer()
  t.equal(answers.vanished(11_500), null)
  const sends = setUp()
  sends.vanished(10_500)
  sends.half.flow.received++
  t.equal(sends.vanished(11_500), null)
  t.end()
})

test('a reload changes the rules of pings', (t) => {
  const { vanished, asked, deadlines } = setUp()
  deadlines.set({ ...deadlines.current, ping: { ...ping, to: 'upstream' } })
  vanished(20_000)
  t.equal(asked(), 0)
  deadlines.set({ ...deadlines.current, ping: { ...ping, to: 'client' } })
  vanished(20_001)
  t.equal(asked(), 1)
  t.end()
})
