import { test } from 'tap'
import type { PeerSide } from '../../src/core/close.ts'
import { Pinger } from '../../src/websocket/pinger.ts'
import { fakeClock } from '../support/fake-clock.ts'

const options = { intervalMs: 1000, timeoutMs: 400 }

/** A pinger that is swept every 50 ms, as Frames does it. `log` is what happened when, from 0. */
function swept(side: PeerSide, given = options) {
  const clock = fakeClock({ now: 0 })
  const pinger = new Pinger(side, given, clock.now())
  const log: Array<[at: number, what: string]> = []
  const state = { received: 0, isBlind: false, lastPing: null as Buffer | null }
  clock.every(50, () => {
    const verdict = pinger.sweep(state.received, state.isBlind, clock.now())
    if (verdict === null) return
    log.push([clock.now(), verdict])
    if (verdict === 'ask' && !pinger.hasForeignPing) state.lastPing = pinger.ask(clock.now())
    else if (verdict === 'ask') pinger.expect(clock.now())
  })
  const answer = (payload = state.lastPing!) => {
    state.received += payload.length + 2
    return pinger.isOurs(payload, clock.now())
  }
  return { clock, pinger, log, state, answer }
}

test('a side is asked once it has been silent for the interval, and is gone when no answer comes within the timeout', async (t) => {
  const { clock, log } = swept('client')
  await clock.pass(999)
  t.same(log, [])
  await clock.pass(1)
  t.same(log, [[1000, 'ask']])
  await clock.pass(399)
  t.same(log, [[1000, 'ask']])
  await clock.pass(1)
  t.same(log, [[1000, 'ask'], [1400, 'gone']])
})

test('an answer gives the round trip, and the next ping comes an interval later', async (t) => {
  const { clock, log, answer } = swept('client')
  await clock.pass(1030)
  t.same(answer(), { rttMs: 30 })
  await clock.pass(1019)
  t.same(log, [[1000, 'ask']])
  await clock.pass(1)
  t.same(log, [[1000, 'ask'], [2050, 'ask']], 'an interval from the sweep that saw the answer')
  t.same(answer(), { rttMs: 0 })
  await clock.pass(400)
  t.equal(log.length, 2)
})

test('any bytes answer for a side, and one that talks is not even asked', async (t) => {
  const { clock, log, state } = swept('client')
  await clock.pass(1200)
  state.received += 1
  await clock.pass(700)
  t.same(log, [[1000, 'ask']], 'not gone: a byte came')
  for (let i = 0; i < 10; i++) {
    state.received += 1
    await clock.pass(900)
  }
  t.same(log, [[1000, 'ask']])
})

test('an upstream that never answered a ping is asked again and again, and never gone', async (t) => {
  const { clock, log } = swept('upstream')
  await clock.pass(20_000)
  t.ok(log.length >= 10)
  t.same(new Set(log.map(([, what]) => what)), new Set(['ask']))
})

test('an upstream that has answered once is held to it', async (t) => {
  const { clock, log, answer } = swept('upstream')
  await clock.pass(1000)
  answer()
  await clock.pass(1450)
  t.same(log, [[1000, 'ask'], [2050, 'ask'], [2450, 'gone']])
})

test('bytes alone do not make an upstream one that answers pings', async (t) => {
  const { clock, log, state } = swept('upstream')
  await clock.pass(1000)
  state.received += 10
  await clock.pass(10_000)
  t.same(new Set(log.map(([, what]) => what)), new Set(['ask']))
})

test('a side that is not read is neither asked nor gone, and has a whole interval once it is read again', async (t) => {
  const { clock, log, state } = swept('client')
  await clock.pass(1100)
  state.isBlind = true
  await clock.pass(10_000)
  t.same(log, [[1000, 'ask']])
  state.isBlind = false
  await clock.pass(1000)
  t.same(log, [[1000, 'ask'], [12_100, 'ask']])
})

test('the ping of the other side stands in for ours', async (t) => {
  const { clock, log, pinger, state, answer } = swept('client')
  pinger.hasForeignPing = true
  await clock.pass(1300)
  t.equal(state.lastPing, null, 'none of ours was made')
  t.equal(answer(Buffer.from('theirs')), null, 'its pong goes on')
  t.equal(pinger.hasForeignPing, false)
  await clock.pass(1050)
  t.same(log, [[1000, 'ask'], [2350, 'ask']])
  t.not(state.lastPing, null)
})

test('a client that leaves the ping of the other side unanswered is gone too', async (t) => {
  const { clock, log, pinger } = swept('client')
  pinger.hasForeignPing = true
  await clock.pass(1400)
  t.same(log, [[1000, 'ask'], [1400, 'gone']])
})

test('only pongs to our own pings are ours', async (t) => {
  const { clock, pinger, state } = swept('client')
  await clock.pass(1000)
  const ping = state.lastPing!
  t.equal(ping.length, 8)
  for (const payload of [Buffer.alloc(0), Buffer.from('x'), ping.subarray(0, 7), Buffer.concat([ping, Buffer.from('x')]), Buffer.alloc(8)]) t.equal(pinger.isOurs(payload, 1000), null)
  t.not(pinger.isOurs(Buffer.from(ping), 1000), null)
})

test('a late pong to an earlier ping is ours, and no round trip', async (t) => {
  const { clock, log, state, answer } = swept('upstream')
  await clock.pass(1000)
  const first = state.lastPing!
  await clock.pass(1400)
  t.same(log, [[1000, 'ask'], [2000, 'ask']])
  t.not(state.lastPing!.equals(first), true)
  t.same(answer(first), { rttMs: null })
})

test('an interval that is off asks nobody', async (t) => {
  const { clock, log } = swept('client', { intervalMs: Number.POSITIVE_INFINITY, timeoutMs: 400 })
  await clock.pass(1_000_000)
  t.same(log, [])
})
