import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { Manner, PeerSide, Reason, Side } from '../../src/core/close.ts'
import { InvariantError, invariant } from '../../src/core/errors.ts'
import type { Farewell } from '../../src/core/manner.ts'
import type { Dialogue } from '../../src/pair/dialogue.ts'
import { SWEEP_MS } from '../../src/core/clock.ts'
import { dialogue, memoryPair } from './memory-pair.ts'

/** Says `words` to each peer, and is answered by `bye`. */
function talk(words: Partial<Record<PeerSide, Farewell>>): Dialogue {
  return dialogue({
    farewell(half) {
      const word = words[half.sink.side] ?? 'nothing'
      if (word === 'said' || word === 'awaited') half.forward(Buffer.from('goodbye'), 0, 7)
      return word
    },
    isAnswered: (_half, bytes, length) => bytes.toString('latin1', 0, length).includes('bye'),
  })
}

interface SpreadClose {
  reason: Reason
  side: Side
  client: Farewell
  upstream: Farewell
  /** How each is closed; null: not yet, its answer is awaited. */
  manners: Record<PeerSide, Manner | null>
}

const done = {
  flush: 'flushed',
  drop: 'dropped',
  deliver: 'sent RST behind what it is owed',
  reset: 'sent RST',
}

const partings: SpreadClose[] = [
  {
    reason: 'drain',
    side: 'sidegate',
    client: 'nothing',
    upstream: 'nothing',
    manners: { client: 'flush', upstream: 'flush' },
  },
  {
    reason: 'drain',
    side: 'sidegate',
    client: 'said',
    upstream: 'said',
    manners: { client: 'flush', upstream: 'flush' },
  },
  {
    reason: 'drain',
    side: 'sidegate',
    client: 'awaited',
    upstream: 'said',
    manners: { client: null, upstream: 'flush' },
  },
  {
    reason: 'drain',
    side: 'sidegate',
    client: 'awaited',
    upstream: 'awaited',
    manners: { client: null, upstream: null },
  },
  {
    reason: 'drain',
    side: 'sidegate',
    client: 'blocked',
    upstream: 'awaited',
    manners: { client: 'flush', upstream: null },
  },
  {
    reason: 'drain',
    side: 'sidegate',
    client: 'awaited',
    upstream: 'blocked',
    manners: { client: null, upstream: 'flush' },
  },
  {
    reason: 'protocol_error',
    side: 'client',
    client: 'said',
    upstream: 'said',
    manners: { client: 'flush', upstream: 'flush' },
  },
  {
    reason: 'protocol_error',
    side: 'client',
    client: 'said',
    upstream: 'blocked',
    manners: { client: 'flush', upstream: 'flush' },
  },
  {
    reason: 'ping_timeout',
    side: 'client',
    client: 'nothing',
    upstream: 'said',
    manners: { client: 'drop', upstream: 'flush' },
  },
  {
    reason: 'ping_timeout',
    side: 'client',
    client: 'nothing',
    upstream: 'blocked',
    manners: { client: 'drop', upstream: 'flush' },
  },
  {
    reason: 'ping_timeout',
    side: 'upstream',
    client: 'nothing',
    upstream: 'nothing',
    manners: { client: 'flush', upstream: 'drop' },
  },
  {
    reason: 'write_timeout',
    side: 'client',
    client: 'nothing',
    upstream: 'nothing',
    manners: { client: 'reset', upstream: 'deliver' },
  },
  {
    reason: 'write_timeout',
    side: 'client',
    client: 'nothing',
    upstream: 'said',
    manners: { client: 'reset', upstream: 'flush' },
  },
  {
    reason: 'reset',
    side: 'client',
    client: 'nothing',
    upstream: 'said',
    manners: { client: 'deliver', upstream: 'flush' },
  },
  {
    reason: 'reset',
    side: 'upstream',
    client: 'nothing',
    upstream: 'nothing',
    manners: { client: 'deliver', upstream: 'deliver' },
  },
  {
    reason: 'too_slow',
    side: 'upstream',
    client: 'nothing',
    upstream: 'nothing',
    manners: { client: 'deliver', upstream: 'reset' },
  },
  {
    reason: 'overloaded',
    side: 'sidegate',
    client: 'said',
    upstream: 'said',
    manners: { client: 'reset', upstream: 'reset' },
  },
  {
    reason: 'killed',
    side: 'sidegate',
    client: 'said',
    upstream: 'said',
    manners: { client: 'reset', upstream: 'reset' },
  },
  {
    reason: 'idle_timeout',
    side: 'sidegate',
    client: 'answered',
    upstream: 'cut',
    manners: { client: 'flush', upstream: 'deliver' },
  },
  {
    reason: 'slow_consumer',
    side: 'client',
    client: 'said',
    upstream: 'said',
    manners: { client: 'flush', upstream: 'flush' },
  },
  {
    reason: 'slow_consumer',
    side: 'client',
    client: 'nothing',
    upstream: 'said',
    manners: { client: 'reset', upstream: 'flush' },
  },
  {
    reason: 'internal_error',
    side: 'sidegate',
    client: 'said',
    upstream: 'awaited',
    manners: { client: 'reset', upstream: 'reset' },
  },
]

for (const { reason, side, client, upstream, manners } of partings) {
  const how = (peer: PeerSide): string => (manners[peer] === null ? 'waited for' : done[manners[peer]])
  test(`${reason} by the ${side}: a client told '${client}' is ${how('client')}, an upstream told '${upstream}' is ${how('upstream')}`, async (t) => {
    const it = memoryPair({ dialogue: talk({ client, upstream }), closeMs: 1000 })
    it.pair.close(makeClose(reason, side, 'relay'))
    const closes = (manner: Manner | null): Manner[] => (manner === null ? [] : [manner])
    t.same(it.client.closes, closes(manners.client))
    t.same(it.upstream.closes, closes(manners.upstream))
    await it.clock.pass(1000 + 2 * SWEEP_MS)
    t.equal(it.closed.length, 1, 'the close deadline ends what is left')
    t.equal(it.sweep.size, 0)
  })
}

test('an awaited answer is read even from a side that was paused, ends that side with FIN, and is not passed on', async (t) => {
  const it = memoryPair({ dialogue: talk({ client: 'awaited', upstream: 'said' }), upstreamTakes: 0 })
  it.client.feed('x'.repeat(60_000))
  t.ok(it.client.isPaused)
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  t.notOk(it.client.isPaused)
  t.equal(it.client.got.toString(), 'goodbye')
  t.notOk(it.client.gotFin)
  it.client.feed('more of the same')
  await it.clock.pass(0)
  t.notOk(it.client.gotFin, 'that was no answer')
  const { sent } = it.connection.toUpstream
  it.client.feed('bye')
  await it.clock.pass(0)
  t.ok(it.client.gotFin)
  it.client.fin()
  await it.clock.pass(0)
  t.ok(it.client.isClosed)
  t.same(it.client.closes, [])
  t.equal(it.connection.toUpstream.sent, sent)
})

test('FIN instead of an awaited answer is answered by FIN', async (t) => {
  const it = memoryPair({ dialogue: talk({ client: 'awaited', upstream: 'said' }) })
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  it.client.fin()
  it.upstream.fin()
  await it.clock.pass(0)
  t.same([it.client.gotFin, it.client.gotReset, it.upstream.gotFin], [true, false, true])
  t.equal(it.closed.length, 1)
})

test('an answer that never comes is waited for no longer than the close deadline', async (t) => {
  const it = memoryPair({ dialogue: talk({ client: 'awaited', upstream: 'said' }), closeMs: 1000 })
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  it.clock.every(100, () => it.client.feed('busy'))
  await it.clock.pass(999)
  t.notOk(it.client.isClosed)
  await it.clock.pass(1 + 2 * SWEEP_MS)
  t.same(it.client.closes, ['reset'])
  t.equal((await it.end())?.reason, 'drain')
})

test('who has not answered within a second is sent FIN, in half the close deadline where that is shorter, and may answer still', async (t) => {
  for (const [closeMs, answerMs] of [
    [10_000, 1000],
    [1800, 900],
  ] as const) {
    const it = memoryPair({ dialogue: talk({ client: 'awaited', upstream: 'said' }), closeMs })
    it.pair.close(makeClose('drain', 'sidegate', 'relay'))
    await it.clock.pass(answerMs - 1)
    t.notOk(it.client.gotFin)
    await it.clock.pass(1 + 2 * SWEEP_MS)
    t.ok(it.client.gotFin)
    t.notOk(it.client.isClosed)
    it.client.feed('bye')
    it.client.fin()
    it.upstream.fin()
    await it.clock.pass(0)
    t.same([it.client.gotReset, it.closed.length], [false, 1])
  }
})

test('bytes that a dialogue does not call data keep no pair from idle_timeout, and those that it does call data do', async (t) => {
  const deadlines = { idleMs: 1000 }
  const pings = memoryPair({
    deadlines,
    dialogue: dialogue({ relay: (half, bytes, length) => half.forward(bytes, 0, length) }),
  })
  pings.clock.every(100, () => (pings.client.feed('ping'), pings.upstream.feed('pong')))
  await pings.clock.pass(1000 + 2 * SWEEP_MS)
  t.same(await pings.end(), { reason: 'idle_timeout', side: 'sidegate', phase: 'relay' })
  t.ok(pings.upstream.got.length > 0)

  const data = memoryPair({ deadlines, dialogue: dialogue() })
  data.clock.every(900, () => data.client.feed('data'))
  await data.clock.pass(10_000)
  t.equal(await data.end(), null)
})

test('pings of the other side hold off half_close_timeout: it is still there', async (t) => {
  const it = memoryPair({ deadlines: { halfCloseMs: 1000 }, dialogue: dialogue({ relay() {} }) })
  it.client.fin()
  const stop = it.clock.every(900, () => it.upstream.feed('ping'))
  await it.clock.pass(9000)
  t.equal(await it.end(), null)
  stop()
  await it.clock.pass(1000 + 2 * SWEEP_MS)
  t.equal((await it.end())?.reason, 'half_close_timeout')
})

test('a dialogue decides whether FIN may be passed on', async (t) => {
  const refuses = memoryPair({
    dialogue: dialogue({ onSourceEnd: (half) => makeClose('aborted', half.source.side, 'relay') }),
  })
  await refuses.clock.pass(0)
  refuses.client.fin()
  t.same(await refuses.end(), { reason: 'aborted', side: 'client', phase: 'relay' })

  const allows = memoryPair({ dialogue: dialogue() })
  await allows.clock.pass(0)
  allows.client.fin()
  t.equal(await allows.end(), null)
  t.ok(allows.upstream.gotFin)
})

test('a dialogue is asked once for each FIN, and says no goodbye to a peer that is gone', async (t) => {
  const asked: string[] = []
  const it = memoryPair({
    dialogue: dialogue({
      onSourceEnd: (half) => (asked.push(`${half.source.side} ended`), null),
      farewell: (half) => (asked.push(`goodbye to the ${half.sink.side}`), 'said'),
    }),
  })
  await it.clock.pass(0)
  it.client.fin()
  it.pair.onEnd(it.client)
  it.client.rst()
  await it.clock.pass(0)
  t.same(asked, ['client ended', 'goodbye to the upstream'])
})

test('a deadline of the dialogue ends the pair', async (t) => {
  const gone = makeClose('ping_timeout', 'client', 'relay')
  let due = false
  const it = memoryPair({ dialogue: dialogue({ sweep: () => (due ? gone : null) }) })
  await it.clock.pass(1000)
  t.equal(await it.end(), null)
  due = true
  await it.clock.pass(SWEEP_MS)
  t.equal(it.connection.end, gone)
})

const broken = (): never => {
  invariant(false, 'a broken invariant')
  throw new Error('not reached')
}

const breaks: { where: keyof Dialogue; trigger: (it: ReturnType<typeof memoryPair>) => void }[] = [
  { where: 'relay', trigger: ({ client }) => client.feed('x') },
  { where: 'onSourceEnd', trigger: ({ client }) => client.fin() },
  { where: 'sweep', trigger() {} },
]

for (const { where, trigger } of breaks) {
  test(`an invariant that breaks in ${where} ends this pair alone with internal_error`, async (t) => {
    const it = memoryPair({ dialogue: dialogue({ [where]: broken }) })
    let others = 0
    it.sweep.add({ sweep: () => void (others += 1) })
    await it.clock.pass(0)
    trigger(it)
    await it.clock.pass(SWEEP_MS)
    t.same(await it.end(), { reason: 'internal_error', side: 'sidegate', phase: 'relay' })
    t.equal(it.connection.end?.detail, 'a broken invariant')
    t.same([it.client.gotReset, it.upstream.gotReset, it.closed.length, it.sweep.size], [true, true, 1, 1])
    t.equal(others, 1, 'the sweep went on to the others')
  })
}

for (const where of ['farewell', 'isAnswered'] as const) {
  test(`an invariant that breaks in ${where} resets both peers: the first cause stays, the detail tells the rest`, async (t) => {
    const it = memoryPair({ dialogue: dialogue({ farewell: () => 'awaited', [where]: broken }) })
    await it.clock.pass(0)
    it.pair.close(makeClose('idle_timeout', 'sidegate', 'relay', 'no data'))
    it.client.feed('x')
    t.same(await it.end(), { reason: 'idle_timeout', side: 'sidegate', phase: 'relay' })
    t.equal(it.connection.end?.detail, 'no data; then internal_error: a broken invariant')
    t.same([it.client.gotReset, it.upstream.gotReset, it.closed.length, it.sweep.size], [true, true, 1, 0])
  })
}

test('an invariant that breaks in both relay and farewell does not escape either', async (t) => {
  const it = memoryPair({ dialogue: dialogue({ relay: broken, farewell: broken }) })
  await it.clock.pass(0)
  it.client.feed('x')
  t.same(await it.end(), { reason: 'internal_error', side: 'sidegate', phase: 'relay' })
  t.same([it.client.gotReset, it.upstream.gotReset, it.closed.length], [true, true, 1])
})

test('an error that is no invariant is not taken for one', async (t) => {
  const bug = (): never => {
    throw new TypeError('x is not a function')
  }
  const it = memoryPair({ dialogue: dialogue({ relay: bug, onSourceEnd: bug, sweep: bug }) })
  await it.clock.pass(0)
  t.throws(() => it.client.feed('x'), TypeError)
  t.throws(() => it.pair.onEnd(it.client), TypeError)
  t.throws(() => it.pair.sweep(it.clock.now()), TypeError)
  t.notOk(new TypeError() instanceof InvariantError)
})

test('past its lifetime a pair whose dialogue puts the end off is judged as before', async (t) => {
  let sweeps = 0
  const { connection, clock } = memoryPair({
    deadlines: { lifetimeMs: 1000 },
    dialogue: dialogue({
      postpone: () => true,
      sweep: () => (++sweeps < 20 ? null : makeClose('ping_timeout', 'client', 'relay')),
    }),
  })
  await clock.pass(20 * SWEEP_MS + 1000)
  t.match(connection.end, { reason: 'ping_timeout' })
})
