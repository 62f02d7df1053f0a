import { test } from 'tap'
import { servicePings, SessionPings } from '../../src/http2/session-pings.ts'

const rules = { intervalMs: 25_000, timeoutMs: 20_000, misses: 3 }

test('a silent side is asked after the interval, and any byte answers', (t) => {
  const pings = new SessionPings(() => rules, 0)
  t.equal(pings.sweep(0, true, 24_999), null)
  t.equal(pings.sweep(0, true, 25_000), 'ask')
  t.equal(pings.sweep(0, true, 44_999), null)
  t.equal(pings.sweep(1, true, 45_000), null, 'a byte')
  t.equal(pings.sweep(1, true, 69_999), null)
  t.equal(pings.sweep(1, true, 70_000), 'ask')
  t.end()
})

test('so many in a row unanswered, and it is gone; one answer in between, and it is not', (t) => {
  for (const answersSecond of [false, true]) {
    const pings = new SessionPings(() => rules, 0)
    t.equal(pings.sweep(0, true, 25_000), 'ask')
    t.equal(pings.sweep(0, true, 45_000), null, 'one')
    t.equal(pings.sweep(0, true, 50_000), 'ask')
    if (answersSecond) pings.onAnswered(60_000)
    t.equal(pings.sweep(0, true, 70_000), null, 'two')
    t.equal(pings.sweep(0, true, answersSecond ? 85_000 : 75_000), 'ask')
    t.equal(pings.sweep(0, true, answersSecond ? 105_000 : 94_999), null)
    t.equal(pings.sweep(0, true, answersSecond ? 105_001 : 95_000), answersSecond ? null : 'gone')
  }
  t.end()
})

test('any byte answers the ping that waits, and makes the count begin anew', (t) => {
  const pings = new SessionPings(() => ({ ...rules, misses: 2 }), 0)
  let now = 0
  const miss = (received: number): unknown => {
    t.equal(pings.sweep(received, true, (now += 25_000)), 'ask')
    return pings.sweep(received, true, (now += 20_000))
  }
  t.equal(miss(0), null, 'one')
  t.equal(pings.sweep(1, true, (now += 1000)), null)
  t.equal(miss(1), null, 'one again')
  t.equal(pings.sweep(1, true, (now += 5000)), 'ask')
  t.equal(pings.sweep(2, true, (now += 1000)), null)
  t.equal(pings.sweep(2, true, (now += 19_000)), null, 'that was answered')
  t.equal(miss(2), null, 'one once more')
  t.end()
})

test('who owes nothing is not asked, and neither is anybody with off', (t) => {
  const pings = new SessionPings(() => rules, 0)
  t.equal(pings.sweep(0, false, 100_000), null)
  t.equal(pings.sweep(0, true, 100_250), 'ask')
  const off = new SessionPings(() => ({ ...rules, intervalMs: Number.POSITIVE_INFINITY }), 0)
  t.equal(off.sweep(0, true, 10_000_000), null)
  t.end()
})

test('a service is asked every five minutes at the most, and not at all where pings are for clients alone', (t) => {
  const ping = { ...rules, to: 'both' as const }
  t.equal(servicePings(ping).intervalMs, 301_000)
  t.equal(servicePings({ ...ping, intervalMs: 600_000 }).intervalMs, 600_000)
  t.equal(servicePings({ ...ping, to: 'client' }).intervalMs, Number.POSITIVE_INFINITY)
  t.end()
})

test('one that seemed stuck is trusted again once it answers, and with nothing more if it does not in five seconds', (t) => {
  const pings = new SessionPings(() => rules, 0)
  t.ok(pings.doubt(1000))
  t.notOk(pings.doubt(1000), 'asked once')
  t.ok(pings.isDoubtful)
  t.equal(pings.sweep(0, true, 5999), null)
  pings.onAnswered(5999)
  t.notOk(pings.isDoubtful)
  t.equal(pings.sweep(0, true, 6500), null)
  t.ok(pings.doubt(7000))
  t.equal(pings.sweep(0, true, 12_000), 'stuck')
  t.notOk(pings.isDoubtful)
  t.equal(pings.sweep(0, true, 12_001), null, 'told once')
  t.end()
})
