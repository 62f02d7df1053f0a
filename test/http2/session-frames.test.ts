// The frames of a client's connection, on their way in and out.

import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { Half } from '../../src/pair/half.ts'
import { SessionFrames } from '../../src/http2/session-frames.ts'
import { fakeClock } from '../support/fake-clock.ts'
import * as h2 from '../support/h2-frames.ts'

const { codes, kinds } = h2

function setUp(affords = Number.POSITIVE_INFINITY) {
  const frames = new SessionFrames(fakeClock(), { maxHeaderBytes: 16_384, maxStreams: 7 })
  const forwarded: Buffer[] = []
  const waiting: Buffer[] = []
  let spent = 0
  const half = {
    affords: () => affords,
    spend: (cost: number) => void (spent += cost),
    forward: (bytes: Buffer, start: number, end: number) =>
      void forwarded.push(Buffer.from(bytes.subarray(start, end))),
    waitWith: (bytes: Buffer, start: number, end: number) =>
      void waiting.push(Buffer.from(bytes.subarray(start, end))),
  } as unknown as Half
  return {
    frames,
    forwarded,
    waiting,
    spent: () => spent,
    relayIn: (...all: Buffer[]) => frames.relayIn(half, Buffer.concat(all), Buffer.concat(all).length),
    relayOut: (...all: Buffer[]) => frames.relayOut(half, Buffer.concat(all), Buffer.concat(all).length),
  }
}

const fault = (code: number, words = ''): Buffer =>
  h2.frame(kinds.GOAWAY, 0, 0, Buffer.concat([h2.u32(1), h2.u32(code), Buffer.from(words)]))

test('frames that a client cannot afford in this turn wait for the next', (t) => {
  const { relayIn, forwarded, waiting, spent } = setUp(5000)
  const [one, two, three] = [1, 2, 3].map((nth) => h2.ping(Buffer.alloc(8, nth)))
  t.equal(relayIn(h2.PREFACE, one!, two!, three!), null)
  t.same(forwarded, [Buffer.concat([h2.PREFACE, one!, two!])])
  t.same(waiting, [three])
  t.equal(spent(), 8192)
  t.end()
})

test('a read that is affordable waits for nothing, and without an end of what is affordable costs what it costs', (t) => {
  const { relayIn, forwarded, waiting, spent } = setUp()
  t.equal(relayIn(h2.PREFACE, h2.settings()), null)
  t.equal(forwarded.length, 1)
  t.same(waiting, [])
  t.equal(spent(), 8192)
  t.end()
})

test('what comes before a fault goes on, what comes behind it neither goes on nor waits', (t) => {
  const { relayIn, forwarded, waiting } = setUp()
  const bad = h2.frame(kinds.PING, 0, 0, Buffer.alloc(7))
  t.match(relayIn(h2.PREFACE, h2.settings(), bad, h2.ping()), { reason: 'protocol_error', side: 'client' })
  t.same(forwarded, [Buffer.concat([h2.PREFACE, h2.settings()])])
  t.same(waiting, [])
  const first = setUp()
  t.match(first.relayIn(h2.PREFACE), null)
  t.match(first.relayIn(bad), { reason: 'protocol_error' })
  t.same(first.forwarded, [h2.PREFACE], 'nothing is not forwarded')
  t.end()
})

test('a client that sends more than its budget allows ends with rate_limited', (t) => {
  const { relayIn } = setUp()
  relayIn(h2.PREFACE)
  t.equal(relayIn(...Array.from({ length: 100 }, () => h2.settings())), null)
  t.match(relayIn(h2.settings()), { reason: 'rate_limited', side: 'client' })
  t.end()
})

test('windows count what passes in and out', (t) => {
  const { frames, relayIn, relayOut } = setUp()
  const stream = { window: 0, openedAt: 0, isAnswered: false, onFramed() {}, onEnded() {} }
  frames.flow.open(1, stream)
  relayIn(h2.PREFACE, h2.windowUpdate(1, 10))
  relayOut(h2.data(1, 'four'))
  t.equal(stream.window, 65_535 + 6)
  relayIn(h2.windowUpdate(3, 10))
  const late = { window: 0, openedAt: 0, isAnswered: false, onFramed() {}, onEnded() {} }
  frames.flow.open(3, late)
  t.equal(late.window, 65_535, 'that was another read')
  t.end()
})

test('the client is told http.maxStreams, in SETTINGS alone', (t) => {
  const { relayOut, forwarded } = setUp()
  const told = [h2.SETTING.MAX_CONCURRENT_STREAMS, 0x7fff_ffff] as const
  const data = h2.data(1, h2.settings(told).subarray(9))
  relayOut(h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 3], told), h2.settingsAck(), data)
  t.same(
    Buffer.concat(forwarded),
    Buffer.concat([
      h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 3], [h2.SETTING.MAX_CONCURRENT_STREAMS, 7]),
      h2.settingsAck(),
      data,
    ]),
  )
  t.end()
})

test('a GOAWAY of nghttp2 with a code is the end, in its words; INTERNAL_ERROR is a rule that the client broke', (t) => {
  for (const [code, words, sent, detail] of [
    [codes.PROTOCOL_ERROR, 'a rule', codes.PROTOCOL_ERROR, 'a rule'],
    [codes.FLOW_CONTROL_ERROR, '', codes.FLOW_CONTROL_ERROR, 'FLOW_CONTROL_ERROR'],
    [codes.INTERNAL_ERROR, 'a rule', codes.PROTOCOL_ERROR, 'a rule'],
    [codes.COMPRESSION_ERROR, 'w'.repeat(500), codes.COMPRESSION_ERROR, 'w'.repeat(120)],
  ] as const) {
    const { frames, relayOut, forwarded } = setUp()
    const close = relayOut(fault(code, words), h2.ping())
    t.strictSame(close, makeClose('protocol_error', 'client', 'relay', detail))
    t.equal(forwarded[0]!.readUInt32BE(13), sent)
    t.ok(frames.hasNamedFault)
  }
  t.end()
})

test('a GOAWAY that asks the client to leave is no end, and neither are later frames', (t) => {
  const { frames, relayOut } = setUp()
  t.equal(relayOut(h2.goaway(1)), null)
  t.notOk(frames.hasNamedFault)
  t.match(relayOut(fault(codes.PROTOCOL_ERROR)), { reason: 'protocol_error' })
  t.equal(relayOut(h2.ping()), null)
  t.end()
})

test('streams that must be reset over and over end the connection from the way out', (t) => {
  const { relayOut, forwarded } = setUp()
  const resets = Array.from({ length: 201 }, (_, nth) => h2.rst(2 * nth + 1, codes.PROTOCOL_ERROR))
  t.match(relayOut(...resets), { reason: 'rate_limited' })
  t.equal(forwarded.length, 1, 'what nghttp2 has said is said')
  t.end()
})
