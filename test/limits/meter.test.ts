import { test } from 'tap'
import { Bucket } from '../../src/limits/bucket.ts'
import { makeClose } from '../../src/core/close.ts'
import type { LimitAction, LimitName } from '../../src/core/connection.ts'
import type { HalfRates, PairLimits } from '../../src/limits/meter.ts'
import { TokenQueue, TURN_MS } from '../../src/limits/token-queue.ts'
import { pattern } from '../support/bytes.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { AskedBucket } from './asked-bucket.ts'
import { dialogue, memoryPair, type MemoryPair, type MemoryPairOptions } from '../pair/memory-pair.ts'

const READ = 16_384
const BURST = 2 * READ

interface RuleOptions {
  bucket?: Bucket
  perSec?: number
  onExceed?: 'delay' | 'close'
  isEnforced?: boolean
}

/** A pair whose client's bytes are limited: `READ` a second, two reads at once. */
function limited(
  { bucket, perSec = READ, onExceed = 'delay', isEnforced = true }: RuleOptions = {},
  options: MemoryPairOptions = {},
) {
  const acts: Array<[LimitName, LimitAction, boolean]> = []
  const pacers: TokenQueue[] = []
  const limits = (clock: FakeClock): PairLimits => {
    const tokenQueue = new TokenQueue(clock)
    pacers.push(tokenQueue)
    const bytes = { bucket: bucket ?? new Bucket(perSec, BURST, clock.now()), onExceed, isEnforced }
    const none: HalfRates = { bytes: null, messages: null }
    return {
      clock,
      tokenQueue,
      minRate: null,
      ratesOf: () => ({ toUpstream: { bytes, messages: null }, toClient: none }),
      report: (...act) => void acts.push(act),
    }
  }
  const pair = memoryPair({ limits, ...options })
  return { ...pair, acts, tokenQueue: pacers[0]! }
}

test('a source over its rate is not read until its bucket holds a whole read, and nothing is lost', async (t) => {
  const it = limited()
  const sent = pattern(4 * READ)
  it.client.feed(sent)
  await it.clock.pass(0)
  t.same([it.upstream.got.length, it.client.isPaused], [2 * READ, true])
  await it.clock.pass(999)
  t.equal(it.upstream.got.length, 2 * READ, 'a millisecond before the bucket holds a read')
  await it.clock.pass(1 + TURN_MS)
  t.equal(it.upstream.got.length, 3 * READ)
  await it.clock.pass(1000 + TURN_MS)
  t.ok(it.upstream.got.equals(sent), 'in order')
  t.equal(it.connection.toUpstream.received, sent.length)
  t.same(it.acts[0], ['bytes', 'delay', true])
  t.equal(await it.end(), null)
})

test('small reads are not delayed while the bucket holds a whole one', async (t) => {
  const it = limited()
  for (let i = 0; i < 10; i++) it.client.feed('x'.repeat(100))
  await it.clock.pass(0)
  t.same([it.upstream.got.length, it.client.isPaused, it.acts], [1000, false, []])
})

test('a delayed half is not back-pressured, and a half is read again only when both its sink and its bucket allow it', async (t) => {
  const it = limited(
    {},
    { upstreamTakes: READ, buffers: { highBytes: 2 * READ, lowBytes: READ, readBytes: READ } },
  )
  it.client.feed(pattern(4 * READ))
  await it.clock.pass(0)
  t.same(
    [it.pair.toUpstream.isDelayed, it.pair.toUpstream.isBackpressured, it.pair.isPaused('to_upstream')],
    [true, false, false],
  )
  await it.clock.pass(1000 + TURN_MS)
  t.same(
    [it.pair.toUpstream.isDelayed, it.pair.toUpstream.isBackpressured, it.client.isPaused],
    [true, true, true],
  )
  await it.clock.pass(1000 + TURN_MS)
  t.same([it.pair.toUpstream.isDelayed, it.client.isPaused], [false, true], 'the bucket alone is not enough')
  it.upstream.take(10 * READ)
  await it.clock.pass(0)
  t.notOk(it.pair.toUpstream.isBackpressured)
  t.equal(it.upstream.got.length, 4 * READ)
})

test('over a limit whose action is close the pair ends with rate_limited, and what came before is delivered', async (t) => {
  const it = limited({ onExceed: 'close' })
  it.client.feed(pattern(2 * READ))
  await it.clock.pass(0)
  t.equal(await it.end(), null, 'the burst, to the byte')
  it.client.feed('!')
  t.same(await it.end(), { reason: 'rate_limited', side: 'client', phase: 'relay' })
  t.ok(it.upstream.got.equals(pattern(2 * READ)))
  t.same(it.acts, [['bytes', 'close', true]])
  t.same([it.client.closes, it.upstream.closes], [['flush'], ['flush']])
})

test('a limit that is only observed counts and does nothing', async (t) => {
  for (const onExceed of ['delay', 'close'] as const) {
    const it = limited({ onExceed, isEnforced: false })
    it.client.feed(pattern(4 * READ))
    await it.clock.pass(0)
    t.equal(it.upstream.got.length, 4 * READ)
    t.same([it.client.isPaused, await it.end()], [false, null])
    t.same(
      it.acts,
      [
        ['bytes', onExceed, false],
        ['bytes', onExceed, false],
      ],
      'the two reads that the burst did not hold',
    )
  }
})

test('a pair that ends while it is delayed waits for nothing any more', async (t) => {
  const it = limited()
  it.client.feed(pattern(4 * READ))
  await it.clock.pass(0)
  t.same([it.tokenQueue.waiting, it.clock.armed.every], [1, 2])
  it.upstream.rst()
  await it.clock.pass(0)
  t.match(await it.end(), { reason: 'reset', side: 'upstream' })
  t.same([it.tokenQueue.waiting, it.clock.armed.every, it.sweep.size], [0, 0, 0])
})

test('a pair that ends with its last read goes on to listen for the end of its peers, whatever its bucket says', async (t) => {
  const owner: { pair?: MemoryPair['pair'] } = {}
  const it = limited(
    {},
    {
      dialogue: dialogue({
        relay: (half) =>
          void (
            half.flow.received === 2 * READ &&
            owner.pair?.close(makeClose('protocol_error', 'client', 'relay'))
          ),
      }),
    },
  )
  owner.pair = it.pair
  it.client.feed(pattern(2 * READ))
  it.client.fin()
  await it.clock.pass(0)
  t.match(await it.end(), { reason: 'protocol_error' })
  t.ok(it.client.isClosed, 'its FIN was seen')
  t.same(it.acts, [])
})

test('the end of a delayed source is seen behind its last byte, and the pair ends with eof', async (t) => {
  const it = limited()
  it.client.feed(pattern(3 * READ))
  it.client.fin()
  it.upstream.fin()
  await it.clock.pass(0)
  t.same([it.upstream.gotFin, it.connection.end], [false, null])
  await it.clock.pass(3000)
  t.same([it.upstream.got.length, it.upstream.gotFin], [3 * READ, true])
  t.match(await it.end(), { reason: 'eof' })
})

const off = Number.POSITIVE_INFINITY
/** A delay of ten seconds, against a deadline of one. */
const slow = { perSec: READ / 10 }

for (const key of ['idleMs', 'clientIdleMs', 'upstreamIdleMs', 'writeMs', 'halfCloseMs'] as const) {
  test(`a delayed half is not stalled: ${key} does not end it`, async (t) => {
    const it = limited(slow, { deadlines: { [key]: 1000 } })
    if (key === 'halfCloseMs') it.upstream.fin()
    it.client.feed(pattern(3 * READ))
    for (let i = 0; i < 102; i++) {
      // The other side is heard, where its silence would be judged.
      if (key === 'upstreamIdleMs') it.upstream.feed('.')
      await it.clock.pass(100)
      if (i === 90) t.ok(it.pair.toUpstream.isDelayed, 'still after nine seconds')
      if (it.connection.end !== null) break
    }
    t.equal(await it.end(), null)
    t.equal(it.upstream.got.length, 3 * READ)
  })
}

test('once it is read again and says nothing, idle_timeout ends it as ever', async (t) => {
  const it = limited({}, { deadlines: { idleMs: 1000, clientIdleMs: off } })
  it.client.feed(pattern(3 * READ))
  await it.clock.pass(1000 + TURN_MS)
  t.equal(it.upstream.got.length, 3 * READ)
  await it.clock.pass(3000)
  t.match(await it.end(), { reason: 'idle_timeout' })
})

test('several pairs of one bucket get the rate together, each its share', async (t) => {
  const clocks: FakeClock[] = []
  let shared: { bucket: Bucket; onExceed: 'delay'; isEnforced: true } | null = null
  let tokenQueue: TokenQueue | null = null
  const limits = (clock: FakeClock): PairLimits => {
    clocks.push(clock)
    // All on the first clock; the others' stand still, and only their sweeps miss it.
    tokenQueue ??= new TokenQueue(clocks[0]!)
    shared ??= { bucket: new Bucket(4 * READ, BURST, clocks[0]!.now()), onExceed: 'delay', isEnforced: true }
    const rates = { toUpstream: { bytes: shared, messages: null }, toClient: { bytes: null, messages: null } }
    return { clock: clocks[0]!, tokenQueue, minRate: null, ratesOf: () => rates, report() {} }
  }
  const pairs = Array.from({ length: 3 }, () => memoryPair({ limits }))
  for (const { client } of pairs) client.feed(pattern(100 * READ))
  let before = Infinity
  for (let passed = 0; passed < 6000; passed += TURN_MS) {
    await pairs[0]!.clock.pass(TURN_MS)
    const now = pairs.reduce((all, { upstream }) => all + upstream.got.length, 0)
    if (now - before > READ) t.fail('two were read at a time, on the tokens of one')
    before = now
  }
  const got = pairs.map(({ upstream }) => upstream.got.length / READ)
  const sum = got.reduce((one, other) => one + other)
  t.ok(sum <= 6 * 4 + 2 + 3 && sum >= 6 * 4, `${sum} reads: the rate, the burst, and one for each`)
  t.ok(Math.max(...got) - Math.min(...got) <= 1, got.join(', '))
})

test('a message without a token is dropped where that is the action, and who cannot be dropped draws what is there and waits for nothing', async (t) => {
  for (const isEnforced of [true, false]) {
    const acts: Array<[LimitName, LimitAction, boolean]> = []
    const bucket = new Bucket(1, 2, 0)
    const limits = (clock: FakeClock): PairLimits => ({
      clock,
      tokenQueue: new TokenQueue(clock),
      minRate: null,
      ratesOf: () => ({
        toUpstream: { bytes: null, messages: { bucket, onExceed: 'drop', isEnforced } },
        toClient: { bytes: null, messages: null },
      }),
      report: (...act) => void acts.push(act),
    })
    const { pair } = memoryPair({ limits })
    const meter = pair.toUpstream.meter!
    t.same([meter.takeMessage(true), meter.takeMessage(false)], ['pass', 'pass'])
    t.same([meter.takeMessage(false), acts], ['pass', []], 'no token, and nothing to drop')
    t.equal(meter.takeMessage(true), isEnforced ? 'drop' : 'pass')
    t.same(acts, [['messages', 'drop', isEnforced]])
    t.same([meter.takeControl(), acts.length], ['pass', 1], 'a heartbeat')
    t.same([meter.takeControl(), acts.length], [isEnforced ? 'drop' : 'pass', 2], 'and what is none')
    t.ok(meter.mayRead())
  }
})

test('a limit that closes waits for the answer where it is not known yet whether there are tokens', async (t) => {
  for (const isThere of [true, false]) {
    const bucket = new AskedBucket(1, BURST, 0)
    const it = limited({ onExceed: 'close', bucket })
    const sent = pattern(4 * READ)
    it.client.feed(sent)
    await it.clock.pass(100)
    t.equal(it.upstream.got.length, 3 * READ, 'the burst, and the read that found nothing')
    t.same([await it.end(), it.client.isPaused, it.acts], [null, true, []])
    bucket.answer(isThere ? BURST : 0, it.clock.now())
    await it.clock.pass(TURN_MS)
    if (isThere) t.same([await it.end(), it.upstream.got.equals(sent), it.acts], [null, true, []])
    else {
      t.match(await it.end(), { reason: 'rate_limited', side: 'client' })
      t.same(it.acts, [['bytes', 'close', true]])
    }
  }
})

test('a limit that only observes lets pass what is in doubt, as a debt, and counts what comes after the answer', async (t) => {
  for (const isThere of [true, false]) {
    const bucket = new AskedBucket(1, BURST, 0)
    const it = limited({ onExceed: 'close', isEnforced: false, bucket })
    it.client.feed(pattern(4 * READ))
    await it.clock.pass(1)
    t.same([it.upstream.got.length, it.acts], [4 * READ, []], 'nobody is delayed')
    bucket.answer(isThere ? 2 * BURST : 0, it.clock.now())
    it.client.feed(pattern(READ))
    await it.clock.pass(1)
    t.same(it.acts, isThere ? [] : [['bytes', 'close', false]])
  }
})

test('a message is neither dropped nor the end where it is not known yet whether there are tokens', async (t) => {
  for (const onExceed of ['drop', 'close'] as const)
    for (const isThere of [true, false]) {
      const acts: Array<[LimitName, LimitAction, boolean]> = []
      const bucket = new AskedBucket(0.001, 1, 0)
      const limits = (clock: FakeClock): PairLimits => ({
        clock,
        tokenQueue: new TokenQueue(clock),
        minRate: null,
        ratesOf: () => ({
          toUpstream: { bytes: null, messages: { bucket, onExceed, isEnforced: true } },
          toClient: { bytes: null, messages: null },
        }),
        report: (...act) => void acts.push(act),
      })
      const { pair, clock, connection } = memoryPair({ limits, dialogue: dialogue({ relay() {} }) })
      const meter = pair.toUpstream.meter!
      t.same(
        [meter.takeMessage(true), meter.takeMessage(true), meter.takeControl()],
        ['pass', 'stop', 'stop'],
      )
      meter.onMessagesOver(Buffer.from('rest'), 0, 4)
      t.same([acts, meter.isWaiting, connection.end], [[], true, null])
      t.equal(meter.delayedBy, 'limits.messages')
      await clock.pass(TURN_MS)
      t.ok(meter.isWaiting, 'as long as nobody knows')
      bucket.answer(isThere ? 1 : 0, clock.now())
      await clock.pass(TURN_MS)
      t.notOk(meter.isWaiting)
      t.equal(meter.delayedBy, null)
      t.equal(meter.takeMessage(true), isThere ? 'pass' : onExceed === 'drop' ? 'drop' : 'stop')
    }
})
