import { test } from 'tap'
import { SWEEP_MS } from '../../src/core/clock.ts'
import { memoryPair } from '../pair/memory-pair.ts'

const IDLE = 10_000

for (const { title, deadlines, side, begin } of [
  { title: 'idle', deadlines: { idleMs: IDLE }, side: 'sidegate', begin: null },
  { title: 'clientIdle', deadlines: { clientIdleMs: IDLE }, side: 'client', begin: 'upstream' },
  { title: 'upstreamIdle', deadlines: { upstreamIdleMs: IDLE }, side: 'upstream', begin: 'client' },
] as const) {
  test(`while memory runs short ${title} is shortened by as much, and not by more`, async (t) => {
    const pair = memoryPair({ deadlines })
    pair.strain.idleScale = 0.25
    if (begin !== null) pair[begin].feed('talk')
    await pair.clock.pass(IDLE * 0.25 - 1)
    t.equal(await pair.end(), null)
    await pair.clock.pass(1 + 2 * SWEEP_MS)
    t.same(await pair.end(), { reason: 'idle_timeout', side, phase: 'relay' })
    t.match(pair.connection.end?.detail, /memory\.shedAt/, 'it says why that soon')
  })
}

test('with memory to spare again, idle is as long as it was', async (t) => {
  const pair = memoryPair({ deadlines: { idleMs: IDLE } })
  pair.strain.idleScale = 0.5
  await pair.clock.pass(IDLE * 0.5 - 1)
  pair.strain.idleScale = 1
  await pair.clock.pass(IDLE * 0.5 - SWEEP_MS)
  t.equal(await pair.end(), null)
  await pair.clock.pass(3 * SWEEP_MS)
  t.match(await pair.end(), { reason: 'idle_timeout' })
  t.notMatch(pair.connection.end?.detail, /memory/)
})

test('no other deadline is shortened, and idle that is off stays off', async (t) => {
  const stalled = memoryPair({ deadlines: { writeMs: IDLE, lifetimeMs: 2 * IDLE }, clientTakes: 0 })
  stalled.strain.idleScale = 0.1
  stalled.upstream.feed('answer')
  await stalled.clock.pass(IDLE - 1)
  t.equal(await stalled.end(), null)
  const silent = memoryPair({})
  silent.strain.idleScale = 0.1
  await silent.clock.pass(60_000)
  t.equal(await silent.end(), null)
})

test('a pair tells since when each peer has taken nothing', async (t) => {
  const { pair, clock, upstream, client } = memoryPair({ clientTakes: 0 })
  await clock.pass(1000)
  upstream.feed('answer')
  const began = clock.now()
  await clock.pass(4 * SWEEP_MS)
  t.ok(Math.abs(pair.lastDrainAt('client') - began) <= SWEEP_MS, 'since it is owed some')
  t.ok(clock.now() - pair.lastDrainAt('upstream') <= SWEEP_MS, 'who is owed nothing is not quiet')
  client.take(1)
  await clock.pass(SWEEP_MS)
  t.ok(clock.now() - pair.lastDrainAt('client') <= SWEEP_MS, 'a byte is progress')
  pair.close({ reason: 'drain', side: 'sidegate', phase: 'relay' })
  const closedAt = clock.now()
  await clock.pass(3000)
  t.ok(
    Math.abs(pair.lastDrainAt('client') - closedAt) <= SWEEP_MS,
    'what is being parted from is stalled like any other',
  )
})

test('while memory runs short the kernel is asked of every queue, and with memory to spare of none that young', async (t) => {
  const { clock, strain, upstream, client } = memoryPair({ deadlines: { writeMs: 60_000 }, clientTakes: 0 })
  let looks = 0
  client.measure = () => void looks++
  upstream.measure = () => t.fail('nothing waits there')
  upstream.feed('answer')
  await clock.pass(2 * SWEEP_MS)
  t.equal(looks, 0)
  strain.isWatching = true
  await clock.pass(2 * SWEEP_MS)
  t.equal(looks, 2)
})

test('a peer is not told to be quiet for more than a second until the kernel has answered twice', async (t) => {
  const { pair, clock, strain, upstream, client } = memoryPair({
    deadlines: { writeMs: 60_000 },
    clientTakes: 0,
  })
  client.measurements = 0
  client.measure = () => {}
  strain.isWatching = true
  upstream.feed('answer')
  await clock.pass(10_000)
  t.equal(clock.now() - pair.lastDrainAt('client'), 1000)
  client.measurements = 1
  await clock.pass(SWEEP_MS)
  t.equal(clock.now() - pair.lastDrainAt('client'), 1000)
  client.measurements = 2
  await clock.pass(SWEEP_MS)
  t.ok(clock.now() - pair.lastDrainAt('client') >= 10_000)
})
