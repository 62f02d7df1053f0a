import { test } from 'tap'
import type { PeerSide } from '../../src/core/close.ts'
import { fixed, LiveValue } from '../../src/core/live.ts'
import { Pinger } from '../../src/websocket/pinger.ts'
import type { PingOptions } from '../../src/websocket/pinger.ts'
import { fakeClock } from '../support/fake-clock.ts'

const options: PingOptions = { intervalMs: 1000, timeoutMs: 400, misses: 1, to: 'both' }
const PING = { client: 10, upstream: 14 }
/** A wait that is over is looked at once more: two sweeps. */
const LATE = 100

/**
 * A pinger that is swept every 50 ms, as Frames does it, of a side that has answered a ping before unless told. `log` is what
 * happened when, from 0. What is sent is taken at once, unless `state.kernel` says what is not.
 */
function swept(side: PeerSide, given: Partial<PingOptions> = {}, { hasAnswered = true, tells = true } = {}) {
  const clock = fakeClock({ now: 0 })
  const pinger = new Pinger(side, fixed({ ping: { ...options, ...given } }), clock.now())
  const log: Array<[at: number, what: string]> = []
  const kernel = { unacknowledged: 0, unread: 0, looks: tells ? 0 : Number.POSITIVE_INFINITY }
  const sink = { queued: 0, look: () => ((kernel.looks += 2), kernel) }
  const state = { received: 0, sent: 0, isBlind: false, sink, writeMs: 3000, lastPing: null as Buffer | null }
  pinger.hasForeignPing = hasAnswered
  if (hasAnswered) pinger.isOurs(Buffer.from('theirs'), 0)
  const ask = (): void => {
    state.lastPing = pinger.ask(clock.now(), state.sent)
    state.sent += PING[side]
  }
  const stop = clock.every(50, () => {
    const verdict = pinger.sweep(state, clock.now())
    if (verdict === null) return
    if (verdict !== 'ask') stop()
    log.push([clock.now(), verdict])
    if (verdict === 'ask' && !pinger.hasForeignPing) ask()
    else if (verdict === 'ask') pinger.expect(clock.now(), state.sent)
  })
  const answer = (payload = state.lastPing!) => {
    state.received += payload.length + 2
    return pinger.isOurs(payload, clock.now())
  }
  return { clock, pinger, log, state, kernel, answer }
}

test('a side is asked once it has been silent for the interval, and is gone when no answer comes within the timeout', async (t) => {
  const { clock, log } = swept('client')
  await clock.pass(999)
  t.same(log, [])
  await clock.pass(1)
  t.same(log, [[1000, 'ask']])
  await clock.pass(399 + LATE)
  t.same(log, [[1000, 'ask']])
  await clock.pass(1)
  t.same(log, [
    [1000, 'ask'],
    [1400 + LATE, 'gone'],
  ])
})

test('an answer gives the round trip, and the next ping comes an interval later', async (t) => {
  const { clock, log, answer } = swept('client')
  await clock.pass(1030)
  t.same(answer(), { rttMs: 30 })
  await clock.pass(1019)
  t.same(log, [[1000, 'ask']])
  await clock.pass(1)
  t.same(
    log,
    [
      [1000, 'ask'],
      [2050, 'ask'],
    ],
    'an interval from the sweep that saw the answer',
  )
  t.same(answer(), { rttMs: 0 })
  await clock.pass(400)
  t.equal(log.length, 2)
})

test('any bytes answer for a side, and one that talks and has answered before is not even asked', async (t) => {
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

for (const side of ['client', 'upstream'] as const)
  test(`a side that never answered a ping is asked again and again, and never gone: ${side}`, async (t) => {
    const { clock, log } = swept(side, {}, { hasAnswered: false })
    await clock.pass(20_000)
    t.ok(log.length >= 10)
    t.same(new Set(log.map(([, what]) => what)), new Set(['ask']))
  })

for (const side of ['client', 'upstream'] as const)
  test(`a side that has answered once is held to it: ${side}`, async (t) => {
    const { clock, log, answer } = swept(side, {}, { hasAnswered: false })
    await clock.pass(1000)
    answer()
    await clock.pass(1450 + LATE)
    t.same(log, [
      [1000, 'ask'],
      [2050, 'ask'],
      [2450 + LATE, 'gone'],
    ])
  })

test('bytes alone do not make a side one that answers pings', async (t) => {
  const { clock, log, state } = swept('client', {}, { hasAnswered: false })
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
  t.same(log, [
    [1000, 'ask'],
    [12_100, 'ask'],
  ])
})

test('the ping of the other side stands in for ours', async (t) => {
  const { clock, log, pinger, state, answer } = swept('client')
  pinger.hasForeignPing = true
  await clock.pass(1300)
  t.equal(state.lastPing, null, 'none of ours was made')
  t.equal(answer(Buffer.from('theirs')), null, 'its pong goes on')
  t.equal(pinger.hasForeignPing, false)
  await clock.pass(1050)
  t.same(log, [
    [1000, 'ask'],
    [2350, 'ask'],
  ])
  t.not(state.lastPing, null)
})

test('a client that leaves the ping of the other side unanswered is gone too', async (t) => {
  const { clock, log, pinger } = swept('client')
  pinger.hasForeignPing = true
  await clock.pass(1400 + LATE)
  t.same(log, [
    [1000, 'ask'],
    [1400 + LATE, 'gone'],
  ])
})

test('only pongs to our own pings are ours', async (t) => {
  const { clock, pinger, state } = swept('client')
  await clock.pass(1000)
  const ping = state.lastPing!
  t.equal(ping.length, 8)
  for (const payload of [
    Buffer.alloc(0),
    Buffer.from('x'),
    ping.subarray(0, 7),
    Buffer.concat([ping, Buffer.from('x')]),
    Buffer.alloc(8),
  ])
    t.equal(pinger.isOurs(payload, 1000), null)
  t.not(pinger.isOurs(Buffer.from(ping), 1000), null)
})

test('a late pong to an earlier ping is ours, and no round trip', async (t) => {
  const { clock, log, state, answer } = swept('upstream', {}, { hasAnswered: false })
  await clock.pass(1000)
  const first = state.lastPing!
  await clock.pass(1400)
  t.same(log, [
    [1000, 'ask'],
    [2000, 'ask'],
  ])
  t.not(state.lastPing!.equals(first), true)
  t.same(answer(first), { rttMs: null })
})

test('an interval that is off asks nobody', async (t) => {
  const { clock, log } = swept('client', { intervalMs: Number.POSITIVE_INFINITY })
  await clock.pass(1_000_000)
  t.same(log, [])
})

test('a client that talks is asked once, so that it is known to answer; an upstream that talks is not', async (t) => {
  for (const [side, asked] of [
    ['client', [[1000, 'ask']]],
    ['upstream', []],
  ] as const) {
    const { clock, log, state } = swept(side, {}, { hasAnswered: false })
    for (let i = 0; i < 100; i++) {
      state.received += 1
      await clock.pass(100)
    }
    t.same(log, asked, side)
  }
})

test('a side is gone after so many pings in a row, and a byte in between begins the count anew', async (t) => {
  const gone = swept('client', { misses: 3 })
  await gone.clock.pass(4000)
  t.same(gone.log, [
    [1000, 'ask'],
    [2000, 'ask'],
    [3000, 'ask'],
    [3400 + LATE, 'gone'],
  ])
  const alive = swept('client', { misses: 3 })
  await alive.clock.pass(2900)
  alive.state.received += 1
  await alive.clock.pass(3000)
  t.notOk(alive.log.some(([, what]) => what === 'gone'))
  await alive.clock.pass(500 + LATE)
  t.equal(alive.log.at(-1)![1], 'gone')
})

test('when a side is due is told for all the pings that it may still miss', async (t) => {
  const { clock, pinger } = swept('client', { misses: 3 })
  t.equal(pinger.dueAt, Number.POSITIVE_INFINITY)
  await clock.pass(1000)
  t.equal(pinger.dueAt, 3400)
  await clock.pass(500)
  t.equal(pinger.dueAt, 3400, 'between two pings as well')
  await clock.pass(1600)
  t.equal(pinger.dueAt, 3400)
})

test('the clock of a ping starts when it was taken, however long it lay unread behind data that is', async (t) => {
  const { clock, log, state, kernel } = swept('client')
  state.sent += 50_000
  kernel.unread = 50_000
  await clock.pass(1000)
  kernel.unread += 10
  const stop = clock.every(200, () => void (kernel.unread = Math.max(10, kernel.unread - 1000)))
  await clock.pass(9000)
  t.same(log, [[1000, 'ask']])
  stop()
  await clock.pass(30_000)
  t.same(log, [[1000, 'ask']], 'nor does one that reads nothing more miss a ping that it has not read')
  const lastDrainAt = clock.now()
  kernel.unread = 0
  await clock.pass(350)
  t.same(log, [[1000, 'ask']])
  await clock.pass(400)
  t.equal(log.at(-1)![1], 'gone')
  t.ok(log.at(-1)![0] >= lastDrainAt + 400, `${log.at(-1)![0]} after ${lastDrainAt}`)
})

test('bytes that a side takes behind a ping that it does not answer re-arm its clock; pings of ours that it takes do not', async (t) => {
  const { clock, log, state } = swept('client', { misses: 2 })
  const stop = clock.every(150, () => void (state.sent += 5))
  await clock.pass(10_000)
  t.notOk(log.some(([, what]) => what === 'gone'))
  stop()
  // Those of our own pings alone: a load balancer takes them.
  await clock.pass(3500)
  t.equal(log.at(-1)![1], 'gone')
})

for (const hasAnswered of [true, false])
  test(`a ping that does not reach the host of a side for \`write\` makes it stalled, whether it has answered one before or not: ${hasAnswered}`, async (t) => {
    const { clock, log, state, kernel } = swept('client', {}, { hasAnswered })
    await clock.pass(1000)
    kernel.unacknowledged = 10
    // What is sent meanwhile goes to the kernel, and no further.
    clock.every(100, () => {
      state.sent += 5
      kernel.unacknowledged += 5
    })
    await clock.pass(2950)
    t.same(log, [[1000, 'ask']])
    // The answers of the kernel are a few looks behind.
    await clock.pass(600)
    t.equal(log.at(-1)![1], 'stalled')
  })

test('a ping that waits behind what a side takes slowly makes nobody stalled, whatever is sent meanwhile', async (t) => {
  const { clock, log, state, kernel } = swept('client', {}, { hasAnswered: false })
  state.sent = kernel.unacknowledged = 100_000
  clock.every(700, () => void (kernel.unacknowledged -= 100))
  await clock.pass(30_000)
  t.same(log, [[1000, 'ask']])
})

test('what lies unread on this machine makes nobody stalled: it has come', async (t) => {
  const { clock, log, kernel } = swept('client', {}, { hasAnswered: false })
  await clock.pass(1000)
  kernel.unread = 10
  await clock.pass(30_000)
  t.notOk(log.some(([, what]) => what !== 'ask'))
})

test('where the system does not tell, what it took counts as taken by the peer, and what waits here is for `write` alone', async (t) => {
  const { clock, log } = swept('client', {}, { tells: false })
  await clock.pass(1450)
  t.same(log, [
    [1000, 'ask'],
    [1450, 'gone'],
  ])
})

test('where the answers of the system do not come, a miss is one after ten seconds at the latest', async (t) => {
  const { clock, log, kernel } = swept('client')
  Object.defineProperty(kernel, 'looks', { get: () => 0, set() {} })
  await clock.pass(1000 + 400 + 10_000 - 50)
  t.same(log, [[1000, 'ask']])
  await clock.pass(100)
  t.equal(log.at(-1)![1], 'gone')
})

test('the pong to a ping of the other side is an answer, one that nobody asked for is none', async (t) => {
  const asked = swept('client', {}, { hasAnswered: false })
  asked.pinger.hasForeignPing = true
  asked.pinger.isOurs(Buffer.from('theirs'), 0)
  await asked.clock.pass(1400 + LATE)
  t.same(asked.log, [
    [1000, 'ask'],
    [1400 + LATE, 'gone'],
  ])
  const unasked = swept('client', {}, { hasAnswered: false })
  unasked.pinger.isOurs(Buffer.from('mine'), 0)
  await unasked.clock.pass(1900)
  t.same(unasked.log, [[1000, 'ask']])
})

test('`to` says who is asked, and is read anew each time', (t) => {
  const live = new LiveValue<{ ping: PingOptions }>({ ping: { ...options, to: 'client' } })
  const [client, upstream] = [new Pinger('client', live, 0), new Pinger('upstream', live, 0)]
  t.same([client.isAsked, upstream.isAsked], [true, false])
  live.set({ ping: { ...options, to: 'both' } })
  t.same([client.isAsked, upstream.isAsked], [true, true])
  live.set({ ping: { ...options, to: 'upstream' } })
  t.same([client.isAsked, upstream.isAsked], [false, true])
  t.end()
})

test('a ping was just sent for a second, or until it is answered', (t) => {
  const pinger = new Pinger('upstream', fixed({ ping: options }), 0)
  t.notOk(pinger.hasJustAsked(0))
  const ping = pinger.ask(100, 0)
  t.same(
    [100, 1100, 1101].map((at) => pinger.hasJustAsked(at)),
    [true, true, false],
  )
  pinger.isOurs(ping, 200)
  t.notOk(pinger.hasJustAsked(300))
  t.end()
})
