import { test } from 'tap'
import fc from 'fast-check'
import { SWEEP_MS } from '../../src/core/clock.ts'
import { addressOf } from '../support/addresses.ts'
import type { Reason, Side } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import { fixed, LiveValue } from '../../src/core/live.ts'
import { Deadlines } from '../../src/pair/deadlines.ts'
import type { Half } from '../../src/pair/half.ts'
import { calm } from '../../src/core/strain.ts'
import { dialogue, memoryPair } from './memory-pair.ts'
import type { MemoryPair, MemoryPairOptions } from './memory-pair.ts'
import { runs } from '../support/runs.ts'

const LIMIT = 1100
/** Where between two sweeps the wait begins. */
const OFFSETS = [0, 1, 130, 249]
const LATE = 2 * SWEEP_MS

interface Wait extends MemoryPairOptions {
  title: string
  reason: Reason
  side: Side
  /** The wait begins with this; null: with the pair itself. */
  begin: ((pair: MemoryPair) => void) | null
  /** What goes on meanwhile, each 100 ms. */
  meanwhile?: (pair: MemoryPair) => void
}

const waits: Wait[] = [
  {
    title: 'a client that takes none of its bytes ends with write_timeout',
    reason: 'write_timeout',
    side: 'client',
    deadlines: { writeMs: LIMIT },
    clientTakes: 0,
    begin: ({ upstream }) => upstream.feed('answer'),
  },
  {
    title: 'an upstream that takes none of its bytes ends with write_timeout',
    reason: 'write_timeout',
    side: 'upstream',
    deadlines: { writeMs: LIMIT },
    upstreamTakes: 0,
    begin: ({ client }) => client.feed('request'),
  },
  {
    title: 'a client that stopped in the middle of its bytes ends with write_timeout',
    reason: 'write_timeout',
    side: 'client',
    deadlines: { writeMs: LIMIT },
    clientTakes: 3,
    begin: ({ upstream }) => upstream.feed('answer'),
  },
  {
    title: 'a stalled client ends with write_timeout although the other direction flows',
    reason: 'write_timeout',
    side: 'client',
    deadlines: { writeMs: LIMIT },
    clientTakes: 0,
    begin: ({ upstream }) => upstream.feed('answer'),
    meanwhile: ({ client }) => client.feed('more'),
  },
  {
    title: 'a stalled upstream ends with write_timeout although the other direction flows',
    reason: 'write_timeout',
    side: 'upstream',
    deadlines: { writeMs: LIMIT },
    upstreamTakes: 0,
    begin: ({ client }) => client.feed('request'),
    meanwhile: ({ upstream }) => upstream.feed('more'),
  },
  {
    title: 'a stalled client ends with write_timeout although more and more is queued for it',
    reason: 'write_timeout',
    side: 'client',
    deadlines: { writeMs: LIMIT },
    clientTakes: 0,
    begin: ({ upstream }) => upstream.feed('answer'),
    meanwhile: ({ upstream }) => upstream.feed('more'),
  },
  {
    title: 'a client that takes nothing after both sides have ended still ends with write_timeout',
    reason: 'write_timeout',
    side: 'client',
    deadlines: { writeMs: LIMIT },
    clientTakes: 0,
    begin({ client, upstream }) {
      upstream.feed('answer')
      upstream.fin()
      client.fin()
    },
  },
  {
    title: 'an upstream that ignores the end of its input ends with half_close_timeout',
    reason: 'half_close_timeout',
    side: 'upstream',
    deadlines: { halfCloseMs: LIMIT },
    begin: ({ client }) => client.fin(),
  },
  {
    title: 'a client that ignores the end of its input ends with half_close_timeout',
    reason: 'half_close_timeout',
    side: 'client',
    deadlines: { halfCloseMs: LIMIT },
    begin: ({ upstream }) => upstream.fin(),
  },
  {
    title: 'silence on both halves ends with idle_timeout',
    reason: 'idle_timeout',
    side: 'sidegate',
    deadlines: { idleMs: LIMIT },
    begin: ({ client }) => client.feed('last word'),
  },
  {
    title: 'a pair over which nothing ever went ends with idle_timeout',
    reason: 'idle_timeout',
    side: 'sidegate',
    deadlines: { idleMs: LIMIT },
    begin: null,
  },
  {
    title: 'a client that is silent while the upstream talks ends with idle_timeout of its own',
    reason: 'idle_timeout',
    side: 'client',
    deadlines: { clientIdleMs: LIMIT },
    begin: ({ client }) => client.feed('last word'),
    meanwhile: ({ upstream }) => upstream.feed('push'),
  },
  {
    title: 'an upstream that is silent while the client talks ends with idle_timeout of its own',
    reason: 'idle_timeout',
    side: 'upstream',
    deadlines: { upstreamIdleMs: LIMIT },
    begin: ({ upstream }) => upstream.feed('last word'),
    meanwhile: ({ client }) => client.feed('push'),
  },
  {
    title: 'a busy pair ends with lifetime_timeout at its age',
    reason: 'lifetime_timeout',
    side: 'sidegate',
    deadlines: { lifetimeMs: LIMIT },
    begin: null,
    meanwhile: ({ client, upstream }) => (client.feed('more'), upstream.feed('more')),
  },
]

for (const wait of waits) {
  test(`${wait.title}: not a millisecond early, late by at most two sweeps`, async (t) => {
    for (const offset of wait.begin === null ? [0] : OFFSETS) {
      const it = memoryPair(wait)
      await it.clock.pass(offset)
      wait.begin?.(it)
      const stop = it.clock.every(100, () => wait.meanwhile?.(it))
      await it.clock.pass(LIMIT - 1)
      t.equal(await it.end(), null, `alive just below, begun ${offset} ms after a sweep`)
      await it.clock.pass(1 + LATE)
      stop()
      t.same(
        await it.end(),
        { reason: wait.reason, side: wait.side, phase: 'relay' },
        `begun ${offset} ms after a sweep`,
      )
    }
  })
}

test('the close deadline resets what could not be flushed, and not a millisecond early', async (t) => {
  for (const offset of OFFSETS) {
    const { clock, client, upstream, pair, end, closed } = memoryPair({ closeMs: LIMIT, clientTakes: 0 })
    upstream.feed('answer')
    await clock.pass(offset)
    pair.close({ reason: 'drain', side: 'sidegate', phase: 'relay' })
    await clock.pass(LIMIT - 1)
    t.same(client.closes, ['flush'], 'alive just below')
    t.same(closed, [])
    await clock.pass(1 + LATE)
    t.same(client.closes, ['flush', 'reset'])
    t.equal(upstream.gotReset, true, 'nor did the upstream end in time')
    t.same(await end(), { reason: 'drain', side: 'sidegate', phase: 'relay' })
    t.equal(closed.length, 1)
  }
})

test('a flush that ends within the close deadline is not reset', async (t) => {
  const { clock, client, upstream, pair, closed } = memoryPair({ closeMs: LIMIT, clientTakes: 0 })
  upstream.feed('answer')
  pair.close({ reason: 'drain', side: 'sidegate', phase: 'relay' })
  await clock.pass(LIMIT - 1)
  client.take(100)
  client.fin()
  upstream.fin()
  await clock.pass(0)
  t.equal(client.got.toString(), 'answer')
  t.same([client.gotFin, client.gotReset, upstream.gotFin, upstream.gotReset], [true, false, true, false])
  t.equal(closed.length, 1)
})

test('a peer that takes one byte a second outlives ten write deadlines, and ends once it stops', async (t) => {
  for (const side of ['client', 'upstream'] as const) {
    const it = memoryPair({ deadlines: { writeMs: 2000 }, clientTakes: 0, upstreamTakes: 0 })
    it[side === 'client' ? 'upstream' : 'client'].feed('x'.repeat(60_000))
    const stop = it.clock.every(1000, () => it[side].take(1))
    await it.clock.pass(20_000)
    t.equal(await it.end(), null)
    t.equal(it[side].got.length, 20)
    stop()
    await it.clock.pass(2000 + LATE)
    t.same(await it.end(), { reason: 'write_timeout', side, phase: 'relay' })
  }
})

test('a peer that was owed nothing for an hour has the whole write deadline for what comes then', async (t) => {
  for (const offset of OFFSETS) {
    const { clock, client, upstream, end } = memoryPair({ deadlines: { writeMs: LIMIT }, clientTakes: 5 })
    upstream.feed('first')
    await clock.pass(60_000 + offset)
    upstream.feed('second')
    await clock.pass(LIMIT - 1)
    t.equal(await end(), null, `begun ${offset} ms after a sweep`)
    client.take(100)
    await clock.pass(60_000)
    t.equal(await end(), null)
  }
})

test('data one way keeps a pair from being idle, and so do bytes that a slow reader takes', async (t) => {
  const push = memoryPair({ deadlines: { idleMs: 1000 } })
  const stop = push.clock.every(900, () => push.upstream.feed('push'))
  await push.clock.pass(10_000)
  t.equal(await push.end(), null)
  stop()

  const slow = memoryPair({ deadlines: { idleMs: 1000 }, clientTakes: 0 })
  slow.upstream.feed('x'.repeat(1000))
  slow.clock.every(700, () => slow.client.take(1))
  await slow.clock.pass(10_000)
  t.equal(await slow.end(), null)
})

test('a source that is not read because its sink is slow is not idle, and is again from when it is read', async (t) => {
  for (const [talker, sink, key] of [
    ['client', 'upstream', 'clientIdleMs'],
    ['upstream', 'client', 'upstreamIdleMs'],
  ] as const) {
    const it = memoryPair({ deadlines: { [key]: LIMIT }, clientTakes: 0, upstreamTakes: 0 })
    it[talker].feed('x'.repeat(60_000))
    t.ok(it[talker].isPaused)
    await it.clock.pass(10 * LIMIT)
    t.equal(await it.end(), null)
    it[sink].take(1_000_000)
    await it.clock.pass(LIMIT - 1)
    t.equal(await it.end(), null)
    await it.clock.pass(1 + LATE)
    t.same(await it.end(), { reason: 'idle_timeout', side: talker, phase: 'relay' })
  }
})

test('a side that has ended its half is not idle while the other still answers', async (t) => {
  const client = memoryPair({ deadlines: { clientIdleMs: LIMIT } })
  client.client.fin()
  client.clock.every(500, () => client.upstream.feed('answer'))
  await client.clock.pass(10 * LIMIT)
  t.equal(await client.end(), null)

  const upstream = memoryPair({ deadlines: { upstreamIdleMs: LIMIT } })
  upstream.upstream.fin()
  upstream.clock.every(500, () => upstream.client.feed('upload'))
  await upstream.clock.pass(10 * LIMIT)
  t.equal(await upstream.end(), null)
})

test('an answer that still flows after the FIN of the client is whole, and silence then is half_close_timeout', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ deadlines: { halfCloseMs: LIMIT } })
  client.feed('request')
  client.fin()
  const stop = clock.every(1000, () => upstream.feed('.'))
  await clock.pass(20_000)
  t.equal(await end(), null)
  t.equal(client.got.length, 20)
  stop()
  await clock.pass(LIMIT + LATE)
  t.same(await end(), { reason: 'half_close_timeout', side: 'upstream', phase: 'relay' })
})

test('an upload that drains slowly after the FIN of the client is not cut off', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ deadlines: { halfCloseMs: LIMIT }, upstreamTakes: 0 })
  client.feed('x'.repeat(30))
  client.fin()
  clock.every(1000, () => upstream.take(1))
  await clock.pass(30_000)
  t.equal(await end(), null)
  t.equal(upstream.got.length, 30)
  t.ok(upstream.gotFin)
})

test('an answer that we do not read because the client is slow is not half_close_timeout: the write deadline has its time', async (t) => {
  const { clock, client, upstream, end } = memoryPair({
    deadlines: { halfCloseMs: LIMIT, writeMs: 5 * LIMIT },
    clientTakes: 0,
  })
  client.feed('request')
  client.fin()
  upstream.feed('x'.repeat(100_000))
  t.ok(upstream.isPaused)
  await clock.pass(5 * LIMIT - 1)
  t.equal(await end(), null)
  await clock.pass(1 + LATE)
  t.same(await end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
})

test('a client that stalls as it ends is write_timeout of the client, although the upstream has not ended either', async (t) => {
  const { clock, client, upstream, end } = memoryPair({
    deadlines: { halfCloseMs: LIMIT, writeMs: LIMIT },
    clientTakes: 0,
  })
  upstream.feed('answer')
  client.fin()
  await clock.pass(LIMIT + LATE)
  t.same(await end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
})

test('a pair whose halves have both ended has no half-close deadline', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ deadlines: { halfCloseMs: LIMIT }, clientTakes: 0 })
  upstream.feed('answer')
  upstream.fin()
  client.fin()
  await clock.pass(10 * LIMIT)
  t.equal(await end(), null)
  client.take(100)
  t.same(await end(), { reason: 'eof', side: 'upstream', phase: 'relay' })
})

test('a peer that looks stalled is looked at closer: what it takes of what the kernel holds is progress, what comes to light is not', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ deadlines: { writeMs: 2000 }, clientTakes: 0 })
  upstream.feed('answer')
  await clock.pass(250)
  t.equal(client.measured, 0, 'not while it may be fast')
  client.inKernel = 1000
  const stop = clock.every(1000, () => (client.inKernel -= 10))
  await clock.pass(20_000)
  t.equal(await end(), null)
  t.ok(client.measured > 0)
  stop()
  await clock.pass(2000 + LATE)
  t.same(await end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })

  const revealed = memoryPair({ deadlines: { writeMs: 2000 }, clientTakes: 0 })
  revealed.upstream.feed('answer')
  revealed.clock.every(400, () => (revealed.client.inKernel += 10))
  await revealed.clock.pass(2000 + LATE)
  t.same(await revealed.end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
})

test('an answer that the kernel still holds for a slow client after the FIN of the upstream is not half_close_timeout', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ deadlines: { halfCloseMs: 2000 } })
  upstream.feed('answer')
  upstream.fin()
  client.inKernel = 1000
  const stop = clock.every(1000, () => (client.inKernel -= 10))
  await clock.pass(20_000)
  t.equal(await end(), null)
  stop()
  await clock.pass(2000 + LATE)
  t.same(await end(), { reason: 'half_close_timeout', side: 'client', phase: 'relay' })
})

for (const side of ['client', 'upstream'] as const)
  test(`the ${side} takes no more than pings: the pair is idle, however often a look finds some of them on the way`, async (t) => {
    const from = side === 'client' ? 'upstream' : 'client'
    const { clock, end, ...peers } = memoryPair({
      deadlines: { idleMs: 2000 },
      dialogue: dialogue({
        relay(half, bytes, length) {
          if (bytes.toString('latin1', 0, length) !== 'ping') half.activity++
          half.forward(bytes, 0, length)
        },
      }),
    })
    peers[from].feed('x'.repeat(3000))
    peers[side].inKernel = 2000
    const stop = clock.every(500, () => (peers[side].inKernel = Math.max(0, peers[side].inKernel - 500)))
    await clock.pass(2000 + LATE)
    stop()
    t.equal(await end(), null, 'it took data that the kernel held')
    let turn = 0
    clock.every(40, () => {
      peers[from].feed('ping')
      peers[side].inKernel = (turn = (turn + 1) % 4) * 28
    })
    await clock.pass(2 * 2000 + LATE)
    t.same(await end(), { reason: 'idle_timeout', side: 'sidegate', phase: 'relay' })
  })

for (const side of ['client', 'upstream'] as const)
  test(`a slow ${side} that takes what the kernel holds is not idle, though all has been sent, and is once it stops`, async (t) => {
    const { clock, end, ...peers } = memoryPair({ deadlines: { idleMs: 8000 } })
    peers[side === 'client' ? 'upstream' : 'client'].feed('answer')
    await clock.pass(5000)
    t.equal(peers[side].measured, 0, 'not while there is time')
    peers[side].inKernel = 1000
    const stop = clock.every(1000, () => (peers[side].inKernel -= 10))
    await clock.pass(60_000)
    t.equal(await end(), null)
    stop()
    // What it took before is noticed at the next look, and dated by it.
    await clock.pass(2 * 8000 + LATE)
    t.same(await end(), { reason: 'idle_timeout', side: 'sidegate', phase: 'relay' })
  })

test('deadlines that are off never end a pair', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ clientTakes: 0 })
  upstream.feed('answer')
  client.fin()
  await clock.pass(500)
  for (let day = 0; day < 30; day += 1) {
    clock.freeze(24 * 3_600_000)
    await clock.pass(500)
  }
  t.equal(await end(), null)
})

test('deadlines are read when they are judged: a change of theirs holds for an open pair, its lifetime and its jitter too', async (t) => {
  const off = Number.POSITIVE_INFINITY
  const options = {
    idleMs: 1000,
    clientIdleMs: off,
    upstreamIdleMs: off,
    writeMs: off,
    halfCloseMs: off,
    lifetimeMs: off,
    lifetimeJitter: 0,
  }
  const live = new LiveValue(options)
  const { pair } = memoryPair()
  const deadlines = new Deadlines(live, new Connection(1, 'app', 'tcp', addressOf('192.0.2.1:1'), 0), 0, 1)
  const judge = (now: number): string | null =>
    deadlines.check(pair.toUpstream, pair.toClient, now, calm())?.reason ?? null
  live.set({ ...options, idleMs: 2000 })
  t.same([judge(1000), judge(1999), judge(2000)], [null, null, 'idle_timeout'])
  live.set({ ...options, idleMs: off, lifetimeMs: 4000, lifetimeJitter: 0.25 })
  t.same([judge(2999), judge(3000)], [null, 'lifetime_timeout'])
  live.set({ ...options, idleMs: off, lifetimeMs: 8000, lifetimeJitter: 0.25 })
  t.same([judge(5999), judge(6000)], [null, 'lifetime_timeout'])
})

test('a process that was frozen for an hour kills nobody whose bytes wait, and still kills who stalls', async (t) => {
  const deadlines = {
    idleMs: LIMIT,
    clientIdleMs: LIMIT,
    upstreamIdleMs: LIMIT,
    halfCloseMs: LIMIT,
    writeMs: LIMIT,
  }

  const innocent = memoryPair({ deadlines })
  await innocent.clock.pass(SWEEP_MS)
  innocent.clock.freeze(3_600_000)
  innocent.clock.arrive(() => (innocent.client.feed('kept waiting'), innocent.upstream.feed('kept waiting')))
  await innocent.clock.pass(SWEEP_MS)
  t.equal(await innocent.end(), null)

  const answering = memoryPair({ deadlines: { upstreamIdleMs: LIMIT } })
  await answering.clock.pass(SWEEP_MS)
  answering.clock.freeze(3_600_000)
  answering.clock.arrive(() => answering.client.feed('question'))
  await answering.clock.pass(SWEEP_MS - 1)
  answering.upstream.feed('answer, a round trip after the question was read')
  await answering.clock.pass(1)
  t.equal(await answering.end(), null)

  const reader = memoryPair({ deadlines: { writeMs: LIMIT }, clientTakes: 0 })
  reader.upstream.feed('answer')
  await reader.clock.pass(SWEEP_MS)
  reader.clock.freeze(3_600_000)
  reader.clock.arrive(() => reader.client.take(1))
  await reader.clock.pass(SWEEP_MS)
  t.equal(await reader.end(), null)

  const stalled = memoryPair({ deadlines: { writeMs: LIMIT }, clientTakes: 0 })
  stalled.upstream.feed('answer')
  await stalled.clock.pass(SWEEP_MS)
  stalled.clock.freeze(3_600_000)
  t.equal(await stalled.end(), null, 'the sweep that comes late judges nobody')
  await stalled.clock.pass(SWEEP_MS)
  t.same(await stalled.end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
})

test('what the kernel held before the process was frozen is measured again before a peer is judged by it', async (t) => {
  for (const isHalfClosed of [false, true]) {
    const { clock, client, upstream, end } = memoryPair({
      deadlines: { writeMs: 2000, halfCloseMs: 2000 },
      clientTakes: 0,
    })
    client.measurements = 0
    upstream.feed('answer')
    client.inKernel = 1000
    await clock.pass(1000)
    client.take(100)
    if (isHalfClosed) upstream.fin()
    await clock.pass(SWEEP_MS)
    clock.freeze(3_600_000)
    clock.arrive(() => (client.inKernel = 0))
    t.equal(await end(), null)
    await clock.pass(SWEEP_MS)
    t.equal(await end(), null)
  }
})

test('a peer that can be looked at closer is not ended before two looks have come back, one of them asked for when it was due', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ deadlines: { writeMs: 2000 }, clientTakes: 0 })
  client.measurements = 0
  client.measure = () => {}
  upstream.feed('answer')
  await clock.pass(2000 + LATE)
  t.equal(await end(), null)
  client.measurements = 2
  await clock.pass(SWEEP_MS)
  t.same(await end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
})

test('looks that never come back keep a stalled peer for ten seconds at the most', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ deadlines: { writeMs: 2000 }, clientTakes: 0 })
  client.measurements = 0
  client.measure = () => {}
  upstream.feed('answer')
  await clock.pass(2000 + 40 * SWEEP_MS)
  t.equal(await end(), null)
  await clock.pass(LATE)
  t.same(await end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
})

test('a process that is late at every sweep still ends who stalls', async (t) => {
  const { clock, upstream, end } = memoryPair({ deadlines: { writeMs: 2000 }, clientTakes: 0 })
  upstream.feed('answer')
  for (let i = 0; i < 4; i += 1) {
    clock.freeze(1000)
    await clock.pass(0)
  }
  t.equal((await end())?.reason, 'write_timeout')
})

test('a paused source that is read again while a frozen process wakes is not idle_timeout', async (t) => {
  const { clock, client, upstream, end } = memoryPair({
    deadlines: { clientIdleMs: LIMIT },
    upstreamTakes: 0,
  })
  client.feed('x'.repeat(60_000))
  await clock.pass(SWEEP_MS)
  clock.freeze(3_600_000)
  clock.arrive(() => upstream.take(1_000_000))
  t.equal(await end(), null)
  await clock.pass(LIMIT + LATE)
  t.same(await end(), { reason: 'idle_timeout', side: 'client', phase: 'relay' })
})

test('jitter shortens a lifetime by up to its fraction and never lengthens it', (t) => {
  const still = {
    activity: 0,
    isPaused: false,
    hasEnded: false,
    flow: { received: 0, sent: 0 },
    source: { side: 'client' },
    sink: { unacked: 0, side: 'upstream' },
  } as unknown as Half
  const connection = new Connection(1, 'app', 'tcp', addressOf('192.0.2.1:1'), 0)
  const off = Number.POSITIVE_INFINITY
  const others = { idleMs: off, clientIdleMs: off, upstreamIdleMs: off, writeMs: off, halfCloseMs: off }
  const lifetime = fc.record({
    lifetimeMs: fc.integer({ min: 1, max: 2 ** 31 }),
    lifetimeJitter: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  fc.assert(
    fc.property(lifetime, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(1e9), (options, random, now) => {
      const { lifetimeMs, lifetimeJitter } = options
      const deadlines = new Deadlines(fixed({ ...others, ...options }), connection, now, random)
      const first = Math.floor(lifetimeMs * (1 - lifetimeJitter)) - 1
      t.equal(deadlines.check(still, still, now + Math.max(first, -1), calm()), null)
      t.equal(deadlines.check(still, still, now + lifetimeMs, calm())?.reason, 'lifetime_timeout')
    }),
    { numRuns: runs(200) },
  )
  const drawn = [0, 0.5, 1].map((random) => {
    const deadlines = new Deadlines(
      fixed({ ...others, lifetimeMs: 1000, lifetimeJitter: 0.1 }),
      connection,
      0,
      random,
    )
    return Array.from({ length: 1001 }, (_, now) => now).find(
      (now) => deadlines.check(still, still, now, calm()) !== null,
    )
  })
  t.same(drawn, [1000, 950, 900])
  t.end()
})
