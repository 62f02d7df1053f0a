import { test } from 'tap'
import type { Test } from 'tap'
import { makeClose, reasonNames, reasonRow } from '../../src/core/close.ts'
import type { Reason } from '../../src/core/close.ts'
import { dialogue, memoryPair } from './memory-pair.ts'
import type { MemoryPair } from './memory-pair.ts'

/** What each peer saw in the end: FIN, RST or nothing yet. */
function seen({ client, upstream }: MemoryPair): Record<'client' | 'upstream', string> {
  const of = (peer: MemoryPair['client']): string => (peer.gotReset ? 'RST' : peer.gotFin ? 'FIN' : 'open')
  return { client: of(client), upstream: of(upstream) }
}

function assertGone(t: Test, { client, upstream, closed, sweep, clock }: MemoryPair): void {
  t.same(
    [client.isClosed, upstream.isClosed, closed.length, sweep.size],
    [true, true, 1, 0],
    'nothing is left',
  )
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
}

for (const [first, second] of [
  ['client', 'upstream'],
  ['upstream', 'client'],
] as const) {
  test(`FIN is passed on, and FIN of both is eof by the ${first} that ended first`, async (t) => {
    const it = memoryPair()
    await it.clock.pass(0)
    it[first].feed('first')
    it[first].fin()
    t.equal(await it.end(), null)
    t.same(seen(it), { [first]: 'open', [second]: 'FIN' })
    it[second].feed('second')
    it[second].fin()
    t.same(await it.end(), { reason: 'eof', side: first, phase: 'relay' })
    t.equal(it[second].got.toString(), 'first')
    t.equal(it[first].got.toString(), 'second')
    t.same(it[first].closes.concat(it[second].closes), [], 'nobody was closed by us')
    assertGone(t, it)
  })
}

test('RST of a peer is reset, mirrored to the other as RST with its errno as detail', async (t) => {
  for (const side of ['client', 'upstream'] as const) {
    const other = side === 'client' ? 'upstream' : 'client'
    const it = memoryPair()
    await it.clock.pass(0)
    it[side].rst('ECONNRESET')
    t.same(await it.end(), { reason: 'reset', side, phase: 'relay' })
    t.equal(it.connection.end?.detail, 'ECONNRESET')
    t.equal(seen(it)[other], 'RST')
    assertGone(t, it)
  }
})

test('RST does not take back a half that had already ended: the answer and its FIN still reach a slow client', async (t) => {
  const it = memoryPair({ clientTakes: 0 })
  it.upstream.feed('whole answer')
  it.upstream.fin()
  await it.clock.pass(0)
  it.upstream.rst('EPIPE')
  t.same(await it.end(), { reason: 'reset', side: 'upstream', phase: 'relay' })
  it.client.take(100)
  it.client.fin()
  await it.clock.pass(0)
  t.equal(it.client.got.toString(), 'whole answer')
  t.equal(seen(it).client, 'FIN')
  assertGone(t, it)
})

test('a peer that is gone without FIN or error is aborted, and the other gets what was queued, then FIN', async (t) => {
  const it = memoryPair({ upstreamTakes: 0 })
  await it.clock.pass(0)
  it.client.feed('last words')
  it.client.vanish()
  t.same(await it.end(), { reason: 'aborted', side: 'client', phase: 'relay' })
  it.upstream.take(100)
  it.upstream.fin()
  await it.clock.pass(0)
  t.equal(it.upstream.got.toString(), 'last words')
  t.equal(seen(it).upstream, 'FIN')
  assertGone(t, it)
})

const manners: { title: string; reason: Reason; manner: 'flush' | 'drop' | 'reset' }[] = [
  { title: 'drain lets both peers have what is queued, then FIN', reason: 'drain', manner: 'flush' },
  {
    title: 'idle_timeout lets both peers have what is queued, then FIN',
    reason: 'idle_timeout',
    manner: 'flush',
  },
  { title: 'aborted lets both peers have what is queued, then FIN', reason: 'aborted', manner: 'flush' },
  { title: 'internal_error resets both peers', reason: 'internal_error', manner: 'reset' },
  {
    title: 'ping_timeout lets a peer that is not at fault have what is queued, then FIN',
    reason: 'ping_timeout',
    manner: 'flush',
  },
  { title: 'write_timeout resets both peers', reason: 'write_timeout', manner: 'reset' },
  { title: 'drain_timeout resets both peers', reason: 'drain_timeout', manner: 'reset' },
]

for (const { title, reason, manner } of manners) {
  test(title, async (t) => {
    const it = memoryPair({ clientTakes: 0, upstreamTakes: 0 })
    it.client.feed('request')
    it.upstream.feed('answer')
    it.pair.close(makeClose(reason, 'sidegate', 'relay'))
    t.equal(it.connection.phase, 'close')
    t.same([it.client.closes, it.upstream.closes], [[manner], [manner]])
    it.client.take(100)
    it.upstream.take(100)
    it.client.fin()
    it.upstream.fin()
    t.same(await it.end(), { reason, side: 'sidegate', phase: 'relay' })
    t.same(
      [it.client.got.toString(), it.upstream.got.toString()],
      manner === 'flush' ? ['answer', 'request'] : ['', ''],
    )
    assertGone(t, it)
  })
}

test('every reason parts from the side that caused it in the manner of its row, and from the other behind what it is owed, unless Sidegate caused it', async (t) => {
  for (const reason of reasonNames) {
    for (const side of ['client', 'upstream', 'sidegate'] as const) {
      const it = memoryPair()
      it.pair.close(makeClose(reason, side, 'relay'))
      const { manner } = reasonRow(reason)
      const isAtOnce = side === 'sidegate' && manner === 'reset'
      const innocent = manner === 'drop' ? 'flush' : manner === 'reset' && !isAtOnce ? 'deliver' : manner
      const of = (peer: 'client' | 'upstream'): string[] => [peer === side ? manner : innocent]
      t.same([it.client.closes, it.upstream.closes], [of('client'), of('upstream')], `${reason} by ${side}`)
      await it.clock.pass(6000)
      assertGone(t, it)
    }
  }
})

test('a reset does not touch the half that its offender had ended before: that peer gets all of it, and FIN', async (t) => {
  for (const side of ['client', 'upstream'] as const) {
    const other = side === 'client' ? 'upstream' : 'client'
    const ended = memoryPair({ clientTakes: 0, upstreamTakes: 0 })
    ended[side].feed('all that there is')
    ended[side].fin()
    await ended.clock.pass(0)
    ended.pair.close(makeClose('reset', side, 'relay'))
    t.same([ended[other].closes, ended[side].closes], [['flush'], ['deliver']])
    ended[other].take(100)
    ended[other].fin()
    await ended.clock.pass(0)
    t.equal(ended[other].got.toString(), 'all that there is')
    assertGone(t, ended)

    const cut = memoryPair({ clientTakes: 0, upstreamTakes: 0 })
    cut[side].feed('a part')
    cut[other].fin()
    await cut.clock.pass(0)
    cut.pair.close(makeClose('reset', side, 'relay'))
    t.same([cut[other].closes, cut[side].closes], [['deliver'], ['deliver']], 'a truncated stream stays one')

    const stalled = memoryPair({ clientTakes: 0, upstreamTakes: 0 })
    stalled[side].fin()
    await stalled.clock.pass(0)
    stalled.pair.close(makeClose('write_timeout', side, 'relay'))
    t.same(stalled[other].closes, ['deliver'], 'nor does this hold for other reasons')
  }
})

test('the first cause wins, and every later one is ignored', async (t) => {
  for (const first of reasonNames) {
    const it = memoryPair()
    it.pair.close(makeClose(first, 'client', 'relay'))
    const end = it.connection.end
    for (const second of reasonNames) it.pair.close(makeClose(second, 'upstream', 'relay'))
    t.equal(it.connection.end, end)
    t.same([it.client.closes.length, it.upstream.closes.length], [1, 1])
  }
})

test('RST, FIN and deadlines that follow a close are consequences of it', async (t) => {
  const it = memoryPair({ clientTakes: 0, deadlines: { writeMs: 1000, idleMs: 1000 } })
  it.upstream.feed('answer')
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  it.upstream.fin()
  await it.clock.pass(3000)
  it.client.rst()
  t.same(await it.end(), { reason: 'drain', side: 'sidegate', phase: 'relay' })
  assertGone(t, it)
})

test('what comes after a close is read and counted, but not passed on', async (t) => {
  const it = memoryPair({ clientTakes: 0 })
  it.upstream.feed('answer')
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  await it.clock.pass(0)
  it.upstream.feed('too late')
  it.client.take(100)
  t.equal(it.client.got.toString(), 'answer')
  t.equal(it.connection.toClient.received, 14)
  t.equal(it.connection.toClient.sent, 6)
})

test('a source that was paused is read again when its pair is flushed, so that its FIN is seen', async (t) => {
  const it = memoryPair({ clientTakes: 0 })
  it.upstream.feed('x'.repeat(100_000))
  t.ok(it.upstream.isPaused)
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  it.upstream.fin()
  await it.clock.pass(0)
  t.ok(it.upstream.isClosed)
})

test('a pair that was closed stays closed, and tells its end once', async (t) => {
  const it = memoryPair()
  it.pair.close(makeClose('killed', 'sidegate', 'relay'))
  await it.clock.pass(0)
  assertGone(t, it)
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  it.pair.onEnd(it.client)
  it.pair.onClosed(it.client, null)
  await it.clock.pass(10_000)
  t.same(await it.end(), { reason: 'killed', side: 'sidegate', phase: 'relay' })
  assertGone(t, it)
})

test('both peers that vanish in the same moment make one end', async (t) => {
  const it = memoryPair()
  await it.clock.pass(0)
  it.client.rst()
  it.upstream.rst()
  t.same(await it.end(), { reason: 'reset', side: 'client', phase: 'relay' })
  assertGone(t, it)
})

test('a close during the early bytes of one side does not start the other half', (t) => {
  const it = memoryPair()
  it.pair.close(makeClose('killed', 'sidegate', 'relay'))
  it.pair.start(Buffer.from('early'), Buffer.from('early'))
  t.same([it.client.got.length, it.upstream.got.length], [0, 0])
  t.same([it.connection.toUpstream.received, it.connection.toClient.received], [0, 0])
  t.end()
})

test('a side that is gone after only the other has ended is aborted', async (t) => {
  for (const side of ['client', 'upstream'] as const) {
    const it = memoryPair()
    await it.clock.pass(0)
    it[side === 'client' ? 'upstream' : 'client'].fin()
    it[side].vanish()
    t.same(await it.end(), { reason: 'aborted', side, phase: 'relay' })
  }
})

test('peers are probed by TCP once a pair is a second old, each once, and not at all when that is off', async (t) => {
  const it = memoryPair({ tcpKeepAliveMs: 15_000 })
  await it.clock.pass(999)
  t.equal(it.client.keepAliveMs, null)
  await it.clock.pass(501)
  t.same([it.client.keepAliveMs, it.upstream.keepAliveMs], [15_000, 15_000])
  it.client.keepAliveMs = null
  await it.clock.pass(5000)
  t.equal(it.client.keepAliveMs, null)

  const off = memoryPair()
  await off.clock.pass(5000)
  t.equal(off.client.keepAliveMs, null)
})

test('a TypeError in the sweep of a pair ends that pair with internal_error, and no other', async (t) => {
  const pair = memoryPair({
    dialogue: dialogue({
      sweep: () => {
        throw new TypeError('undefined is not a function')
      },
    }),
  })
  let others = 0
  pair.sweep.add({ sweep: () => void others++ })
  await pair.clock.pass(250)
  t.match(pair.connection.end, {
    reason: 'internal_error',
    side: 'sidegate',
    detail: /^TypeError: undefined is not a function at .*pair\.test/,
  })
  t.ok(pair.client.gotReset && pair.upstream.gotReset)
  await pair.clock.pass(250)
  t.equal(others, 2)
  t.equal(pair.closed.length, 1)
})

test('bytes that a dialogue holds are taken by nobody since its word, while it holds some', async (t) => {
  let held = 5
  const it = memoryPair({
    dialogue: Object.defineProperty(
      dialogue({ owingSince: ({ direction }) => (direction === 'to_upstream' ? 1500 : null) }),
      'held',
      { get: () => held },
    ),
  })
  await it.clock.pass(10_000)
  const now = it.clock.now()
  t.same([it.pair.lastDrainAt('upstream'), it.pair.lastDrainAt('client')], [1500, now])
  held = 0
  t.equal(it.pair.lastDrainAt('upstream'), now, 'what it began is not held here')
})
