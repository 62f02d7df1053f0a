import { test } from 'tap'
import { SWEEP_MS } from '../../src/core/clock.ts'
import { makeClose } from '../../src/core/close.ts'
import { dialogue, memoryPair } from './memory-pair.ts'

const all = {
  idleMs: 9000,
  clientIdleMs: 8000,
  upstreamIdleMs: 7000,
  writeMs: 5000,
  halfCloseMs: 4000,
  lifetimeMs: 60_000,
}
const begun = 1000

test('a quiet pair waits for data either way, until the shortest of its idle deadlines', async (t) => {
  t.same(memoryPair({ deadlines: all }).pair.describe(), {
    state: 'open',
    waitsFor: 'data either way',
    next: { key: 'deadlines.upstreamIdle', reason: 'idle_timeout', side: 'upstream', at: begun + 7000 },
    kernel: { client: 0, upstream: 0 },
  })
  const keys: [object, string, number][] = [
    [{ ...all, upstreamIdleMs: Infinity }, 'deadlines.clientIdle', 8000],
    [{ ...all, upstreamIdleMs: Infinity, clientIdleMs: Infinity }, 'deadlines.idle', 9000],
    [{ lifetimeMs: 60_000 }, 'deadlines.lifetime', 60_000],
  ]
  for (const [deadlines, key, ms] of keys)
    t.match(memoryPair({ deadlines }).pair.describe().next, { key, at: begun + ms })
  t.equal(memoryPair().pair.describe().next, null, 'nothing is on')
})

test('the deadline that is told is the one that ends the pair, and not before', async (t) => {
  const it = memoryPair({ deadlines: { idleMs: 5000 } })
  const { at, reason, side } = it.pair.describe().next!
  await it.clock.pass(at - it.clock.now() - 1)
  t.equal(await it.end(), null)
  await it.clock.pass(1 + 2 * SWEEP_MS)
  t.match(await it.end(), { reason, side })
})

test('the deadline that is told is shortened while memory is short, as the one that is judged', async (t) => {
  const it = memoryPair({ deadlines: { idleMs: 5000 } })
  t.match(it.pair.describe().next, { key: 'deadlines.idle', at: begun + 5000 })
  it.strain.idleScale = 0.5
  t.match(it.pair.describe().next, { key: 'deadlines.idle', at: begun + 2500 })
  await it.clock.pass(2499)
  t.equal(await it.end(), null)
  await it.clock.pass(1 + SWEEP_MS)
  t.match(await it.end(), { reason: 'idle_timeout' })
  t.match(it.connection.end?.detail, /shortened by memory.shedAt/)
})

test('a pair waits for who owes it a read, and says how much', async (t) => {
  const it = memoryPair({ deadlines: all, clientTakes: 0, upstreamTakes: 0 })
  it.upstream.feed('x'.repeat(12_288))
  await it.clock.pass(SWEEP_MS)
  t.match(it.pair.describe(), {
    waitsFor: 'the client to take 12 KiB',
    next: { key: 'deadlines.write', reason: 'write_timeout', side: 'client' },
  })
  it.client.feed('request')
  t.equal(it.pair.describe().waitsFor, 'the client to take 12 KiB and the upstream to take 7 B')
})

test('after one FIN a pair waits for the other side', async (t) => {
  const it = memoryPair({ deadlines: { ...all, upstreamIdleMs: Infinity } })
  it.client.fin()
  await it.clock.pass(SWEEP_MS)
  t.match(it.pair.describe(), {
    state: 'lingering',
    waitsFor: 'the upstream to end, as the client did',
    next: { key: 'deadlines.halfClose', side: 'upstream' },
  })
  const other = memoryPair({ deadlines: all })
  other.upstream.fin()
  await other.clock.pass(SWEEP_MS)
  t.match(other.pair.describe(), {
    waitsFor: 'the client to end, as the upstream did',
    next: { key: 'deadlines.halfClose', side: 'client' },
  })
})

test('what the protocol waits for is told, and its deadline if that comes first', async (t) => {
  const next = {
    key: 'websocket.ping.timeout',
    reason: 'ping_timeout',
    side: 'client',
    at: begun + 10,
  } as const
  const it = memoryPair({
    deadlines: all,
    dialogue: dialogue({ describe: () => ({ waitsFor: 'a pong of the client', next }) }),
  })
  t.match(it.pair.describe(), { state: 'open', waitsFor: 'a pong of the client', next })
  const late = memoryPair({
    deadlines: all,
    dialogue: dialogue({ describe: () => ({ waitsFor: 'a pong', next: { ...next, at: begun + 99_999 } }) }),
  })
  t.match(late.pair.describe().next, { key: 'deadlines.upstreamIdle' })
})

test('a pair that has ended waits for its peers to take leave, within deadlines.close', async (t) => {
  const it = memoryPair({ closeMs: 5000, clientTakes: 0 })
  it.upstream.feed('answer')
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  t.same(it.pair.describe(), {
    state: 'closing',
    waitsFor: 'the client and the upstream to take leave',
    next: { key: 'deadlines.close', reason: 'drain', side: 'sidegate', at: begun + 5000 },
  })
})

test('when data last moved is what the last sweep saw', async (t) => {
  const it = memoryPair()
  t.equal(it.pair.activeAt(), begun)
  await it.clock.pass(10 * SWEEP_MS)
  t.equal(it.pair.activeAt(), begun)
  it.client.feed('x')
  await it.clock.pass(SWEEP_MS)
  t.equal(it.pair.activeAt(), it.clock.now())
})

test('what the kernel holds for a peer that stalls is told apart from what waits in our queues', async (t) => {
  const it = memoryPair({ deadlines: all, clientTakes: 0 })
  it.client.inKernel = 5000
  it.upstream.feed('x'.repeat(300))
  await it.clock.pass(20 * SWEEP_MS)
  t.match(it.pair.describe(), {
    waitsFor: 'the client to take 5.2 KiB',
    kernel: { client: 5000, upstream: 0 },
  })
})
