import { test } from 'tap'
import { SWEEP_MS } from '../../src/core/clock.ts'
import type { Direction } from '../../src/core/connection.ts'
import type { PairLimits } from '../../src/limits/meter.ts'
import { DrainRate } from '../../src/limits/min-rate.ts'
import { TokenQueue } from '../../src/limits/token-queue.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { dialogue, memoryPair, type MemoryPair, type MemoryPairOptions } from '../pair/memory-pair.ts'

const AFTER = 2000
const LATE = 2 * SWEEP_MS

/** A pair whose peers must move 100 bytes a second; `owing` says which half's source owes something. */
function slowPair(options: MemoryPairOptions & { isEnforced?: boolean } = {}) {
  const owing = new Set<Direction>()
  const reports: boolean[] = []
  const { isEnforced = true, ...rest } = options
  const limits = (clock: FakeClock): PairLimits => ({
    clock,
    tokenQueue: new TokenQueue(clock),
    minRate: { bytesPerSec: 100, afterMs: AFTER, isEnforced },
    ratesOf: () => null,
    report: (_limit, _action, enforced) => void reports.push(enforced),
  })
  const pair = memoryPair({
    limits,
    dialogue: dialogue({ isOwing: (half) => owing.has(half.direction) }),
    ...rest,
  })
  return { ...pair, owing, reports }
}

/** Lets `ms` pass, doing something each 100. */
async function keep(pair: MemoryPair, ms: number, each: () => void): Promise<void> {
  for (let passed = 0; passed < ms && pair.connection.end === null; passed += 100) {
    each()
    await pair.clock.pass(100)
  }
}

for (const side of ['client', 'upstream'] as const) {
  const direction = side === 'client' ? 'to_upstream' : 'to_client'

  test(`a ${side} that owes something and sends less than limits.minRate is too_slow after the grace, and not before`, async (t) => {
    const it = slowPair()
    it.owing.add(direction)
    await keep(it, AFTER - 100, () => it[side].feed('x'.repeat(9)))
    t.equal(await it.end(), null)
    await keep(it, 100 + LATE, () => it[side].feed('x'.repeat(9)))
    t.same(await it.end(), { reason: 'too_slow', side, phase: 'relay' })
    t.same(it.reports, [true])
    t.ok(it[side].gotReset)
  })

  test(`when a ${side} that owes something will be too slow is told, and moves with what it sends; where it is only counted nothing is told`, async (t) => {
    const it = slowPair()
    t.equal(it.pair.describe().next, null, 'nobody owes anything')
    it.owing.add(direction)
    await it.clock.pass(SWEEP_MS)
    const grace = it.pair.describe().next!
    t.match(grace, { key: 'limits.minRate', reason: 'too_slow', side })
    it[side].feed('x'.repeat(300))
    const { at } = it.pair.describe().next!
    t.equal(at - grace.at, 3000 - AFTER, '300 bytes are three seconds')
    await it.clock.pass(at - it.clock.now() - 1)
    t.equal(await it.end(), null)
    await it.clock.pass(1 + LATE)
    t.match(await it.end(), { reason: 'too_slow', side })
    const observed = slowPair({ isEnforced: false })
    observed.owing.add(direction)
    await observed.clock.pass(SWEEP_MS)
    t.equal(observed.pair.describe().next, null)
  })

  test(`a ${side} that owes something and keeps limits.minRate, if only in the mean, is spared`, async (t) => {
    const it = slowPair()
    it.owing.add(direction)
    let nth = 0
    await keep(it, 20_000, () => {
      if (nth++ % 10 === 0) it[side].feed('x'.repeat(150))
    })
    t.equal(await it.end(), null)
  })

  test(`when a ${side} that is owed something will be too slow is told`, async (t) => {
    const it = slowPair({ [side === 'client' ? 'clientTakes' : 'upstreamTakes']: 0 })
    ;(side === 'client' ? it.upstream : it.client).feed('x'.repeat(10_000))
    await it.clock.pass(LATE)
    const { key, at, ...rest } = it.pair.describe().next!
    t.same([key, rest], ['limits.minRate', { reason: 'too_slow', side }])
    it[side].take(300)
    t.equal(it.pair.describe().next!.at - at, 3000 - AFTER)
  })

  test(`a ${side} that is owed something and takes less than limits.minRate is too_slow, one that takes more is not`, async (t) => {
    for (const [each, reason] of [
      [8, 'too_slow'],
      [12, null],
    ] as const) {
      const it = slowPair({ [side === 'client' ? 'clientTakes' : 'upstreamTakes']: 0 })
      const other = side === 'client' ? it.upstream : it.client
      other.feed('x'.repeat(10_000))
      await keep(it, AFTER + LATE + 1000, () => it[side].take(each))
      const end = await it.end()
      t.same(end, reason === null ? null : { reason, side, phase: 'relay' }, `${each} bytes each 100 ms`)
    }
  })
}

test('who owes nothing and is owed nothing is never too_slow', async (t) => {
  const it = slowPair()
  it.client.feed('one word')
  await it.clock.pass(60_000)
  t.equal(await it.end(), null)
})

test('who has completed what it owed begins anew', async (t) => {
  const it = slowPair()
  it.owing.add('to_upstream')
  await keep(it, 20_000, () => {
    it.client.feed('x')
    it.connection.toUpstream.messages++
  })
  t.equal(await it.end(), null)
})

test('who is not read, because the other side does not take, is not blamed', async (t) => {
  const it = slowPair({ upstreamTakes: 0, buffers: { highBytes: 1000, lowBytes: 500, readBytes: 500 } })
  it.owing.add('to_upstream')
  it.client.feed('x'.repeat(5000))
  await it.clock.pass(AFTER + 2 * LATE)
  t.match(await it.end(), { reason: 'too_slow', side: 'upstream' }, 'the one who does not take')
})

test('what lies in the kernel is looked at before a taker is judged', async (t) => {
  // The kernel took everything but a little, and shows progress only to who asks.
  const it = slowPair({ clientTakes: 9000 })
  it.client.measurements = 0
  it.client.inKernel = 9000
  it.upstream.feed('x'.repeat(10_000))
  await keep(it, 10_000, () => (it.client.inKernel = Math.max(0, it.client.inKernel - 20)))
  t.equal(await it.end(), null, 'two hundred bytes a second leave the kernel')
  await it.clock.pass(30_000)
  t.match(await it.end(), { reason: 'too_slow', side: 'client' }, 'and then none')
})

test('a taker whose wait began while the share of the kernel was not known is judged by what it takes from the next look on', (t) => {
  for (const [each, isTooSlow] of [
    [8, true],
    [12, false],
  ] as const) {
    const rate = new DrainRate()
    const sink = { queued: 5000, unacked: 0, measurements: 0, measure: () => void sink.measurements++ }
    const rated = { bytesPerSec: 100, afterMs: AFTER, isEnforced: true }
    const sent = 10_000
    t.notOk(rate.isTooSlow(rated, sink, sent, 0), 'asks the kernel')
    // The kernel had room since that look, so that its part of 5,000 bytes is unknown: all but `queued` seems taken.
    t.notOk(rate.isTooSlow(rated, sink, sent, 100))
    let found = false
    for (let now = 200, left = 10_000; now <= 200 + AFTER + LATE + 1000; now += 100, left -= each) {
      sink.unacked = left
      found ||= rate.isTooSlow(rated, sink, sent, now)
    }
    t.equal(found, isTooSlow, `${each} bytes each 100 ms`)
  }
  t.end()
})

test('a freeze of our own process is not the time of a peer', async (t) => {
  const it = slowPair()
  it.owing.add('to_upstream')
  await keep(it, 5000, () => it.client.feed('x'.repeat(12)))
  it.clock.freeze(60_000)
  await it.clock.pass(0)
  await keep(it, 1000, () => it.client.feed('x'.repeat(12)))
  t.equal(await it.end(), null)
})

test('where it is only observed the slow one is counted, once, and stays', async (t) => {
  const it = slowPair({ isEnforced: false })
  it.owing.add('to_upstream')
  await it.clock.pass(20_000)
  t.equal(await it.end(), null)
  t.same(it.reports, [false])
})
