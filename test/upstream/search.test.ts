import { test } from 'tap'
import { fixed } from '../../src/core/live.ts'
import { setUp, target } from './parts.ts'

test('a dial that fails is tried at another address, at three at the most, and the last failure is told', async (t) => {
  const { seek, open } = setUp([target(1), target(2), target(3), target(4)])
  const sought = seek()
  sought.fail()
  sought.fail('connect_failed', 'EHOSTUNREACH')
  t.equal(sought.end, null)
  sought.fail('connect_timeout', 'deadlines.connect')
  t.same(
    sought.places.map(({ name }) => name),
    ['10.0.0.1:1', '10.0.0.1:2', '10.0.0.1:3'],
  )
  t.match(sought.end, { reason: 'connect_timeout' })
  t.same(open(), { '10.0.0.1:1': 0, '10.0.0.1:2': 0, '10.0.0.1:3': 0, '10.0.0.1:4': 0 })
  sought.fail()
  t.equal(sought.places.length, 3, 'it is over')
})

test('all dials share deadlines.connect: each but the last gets half of what is left', async (t) => {
  const { clock, seek } = setUp([target(1), target(2), target(3)])
  const sought = seek()
  await clock.pass(500)
  sought.fail('connect_timeout')
  await clock.pass(50)
  sought.fail()
  t.same(
    sought.places.map(({ connectMs }) => connectMs),
    [500, 250, 450],
  )
  await clock.pass(450)
  sought.fail('connect_timeout')
  t.match(sought.end, { reason: 'connect_timeout' })
})

test('with one address, it gets all of deadlines.connect and is tried once', async (t) => {
  const { seek } = setUp([target(1)])
  const sought = seek()
  t.same(sought.places, [{ name: '10.0.0.1:1', connectMs: 1000 }])
  sought.fail()
  t.match(sought.end, { reason: 'connect_refused' })
})

test('descriptors that ran out are ours: no other address is tried, and none is avoided', async (t) => {
  const { seek, upstream, ports } = setUp([target(1), target(2)])
  const sought = seek()
  sought.fail('connect_failed', 'EMFILE')
  t.match(sought.end, { reason: 'connect_failed', detail: 'EMFILE' })
  t.equal(upstream.view.targets[0]!.lastFailure, null)
  t.same(ports(2), ['2', '1'])
})

test('over maxConnections they wait in order, and get a place as one ends', async (t) => {
  const { seek, upstream, sweep } = setUp([target(1), target(2)], { maxConnections: 1 })
  const [one, two] = [seek(), seek()]
  const [third, fourth] = [seek(), seek()]
  t.same([third.places, fourth.places, upstream.queued], [[], [], 2])
  two.release()
  t.same([third.places.length, fourth.places.length, upstream.queued], [1, 0, 1])
  t.equal(third.places[0]!.name, '10.0.0.1:2')
  one.release()
  t.equal(fourth.places[0]!.name, '10.0.0.1:1')
  t.same([upstream.queued, sweep.size], [0, 0])
})

test('who waits for upstream.queueTimeout ends with no_upstream, and not a moment sooner', async (t) => {
  const { clock, seek, upstream, sweep } = setUp([target(1)], { maxConnections: 1 })
  seek()
  await clock.pass(3)
  const late = seek()
  await clock.pass(4999)
  t.equal(late.end, null)
  await clock.pass(11)
  t.match(late.end, { reason: 'no_upstream', side: 'upstream', phase: 'connect' })
  t.same([upstream.queued, sweep.size], [0, 0])
})

test('waiting for a place does not take from the time for dials', async (t) => {
  const { clock, seek } = setUp([target(1)], { maxConnections: 1 })
  const first = seek()
  const second = seek()
  await clock.pass(4000)
  first.release()
  t.same(second.places, [{ name: '10.0.0.1:1', connectMs: 1000 }])
})

test('who leaves while it waits frees its turn', async (t) => {
  const { seek, upstream } = setUp([target(1)], { maxConnections: 1 })
  const [first, second, third] = [seek(), seek(), seek()]
  second.search.cancel()
  t.equal(upstream.queued, 1)
  first.release()
  t.same([second.places.length, third.places.length], [0, 1])
})

test('a dial that fails makes room for who waits, and then waits itself for another address', async (t) => {
  const { seek } = setUp([target(1), target(2)], { maxConnections: 1 })
  const [first, second, third] = [seek(), seek(), seek()]
  first.fail()
  t.equal(third.places[0]!.name, '10.0.0.1:1')
  t.same([first.places.length, first.end], [1, null])
  second.release()
  t.equal(first.places[1]!.name, '10.0.0.1:2')
})

test('room that the first of the queue cannot use goes to the next', async (t) => {
  const { seek, open } = setUp([target(1), target(2)], { maxConnections: 1 })
  const [first, second] = [seek(), seek()]
  first.fail()
  const third = seek()
  t.same([first.places.length, third.places.length], [1, 1], 'the room that it left is taken')
  const fourth = seek()
  third.release()
  t.same([first.places.length, fourth.places.length], [1, 1])
  second.release()
  t.same([first.places.at(-1)!.name, open()], ['10.0.0.1:2', { '10.0.0.1:1': 1, '10.0.0.1:2': 1 }])
})

test('the first connections wait for the first answer of a name, in the time of deadlines.connect', async (t) => {
  const { clock, upstream, answers, seek } = setUp([target(80, 'a'), target(80, 'b')])
  answers.set('b', 'ENOTFOUND')
  upstream.start()
  const early = seek()
  await clock.pass(990)
  t.same([early.places, early.end], [[], null], 'one name has failed, the other may still be answered')
  await clock.pass(30)
  t.match(early.end, { reason: 'connect_timeout' })
  upstream.stop()
})

test('an answer that comes while they wait serves them, and what the resolver took is gone from their dials', async (t) => {
  const { clock, upstream, answers, seek } = setUp([target(80, 'a')])
  answers.set('a', 'EAI_AGAIN')
  const early = seek()
  await clock.pass(100)
  answers.set('a', ['10.0.0.9'])
  upstream.start()
  await clock.pass(0)
  t.same(early.places, [{ name: '10.0.0.9:80', connectMs: 900 }])
  upstream.stop()
})

test('where no name can be resolved, connections end at once with what the resolver said', async (t) => {
  const { clock, upstream, answers, seek } = setUp([target(80, 'a')])
  answers.set('a', 'ENOTFOUND')
  upstream.start()
  const early = seek()
  await clock.pass(0)
  t.match(early.end, { reason: 'connect_failed', side: 'upstream', phase: 'connect', detail: 'ENOTFOUND' })
  t.match(seek().end, { reason: 'connect_failed', detail: 'ENOTFOUND' })
  upstream.stop()
})

test('an only address that refuses is tried again after 250 ms, 500 ms, and every second, within upstream.retryFor', async (t) => {
  const { clock, seek, open } = setUp([target(1)], {
    retryForMs: 3000,
    deadlines: fixed({ connectMs: 5000 }),
  })
  const sought = seek()
  const tries: number[] = []
  for (let now = 0; sought.end === null; now++) {
    if (sought.places.length > tries.length) {
      tries.push(now)
      sought.fail()
      t.same(open(), { '10.0.0.1:1': 0 }, 'no place is held between two tries')
    }
    await clock.pass(1)
  }
  t.same(tries, [0, 250, 750, 1750, 2750, 3000])
  t.match(sought.end, { reason: 'connect_refused', detail: 'ECONNREFUSED' })
  t.same(
    sought.places.map(({ connectMs }) => connectMs),
    [5000, 4750, 4250, 3250, 2250, 2000],
  )
  t.equal(clock.armed.after, 0)
})

test('where nothing is written a dial is tried again within deadlines.connect, and not at its very end', async (t) => {
  const { clock, seek } = setUp([target(1)], { retryForMs: null })
  const sought = seek()
  sought.fail()
  await clock.pass(250)
  sought.fail()
  await clock.pass(500)
  t.same(
    sought.places.map(({ connectMs }) => connectMs),
    [1000, 750, 250],
  )
  sought.fail()
  t.match(sought.end, { reason: 'connect_refused' })
})

test('with deadlines.connect off a dial is not tried again for ever', async (t) => {
  const { clock, seek } = setUp([target(1)], { retryForMs: null, deadlines: fixed({ connectMs: Infinity }) })
  const sought = seek()
  for (let tries = 1; sought.end === null && tries < 100; tries++) {
    sought.fail()
    await clock.pass(1000)
  }
  t.match(sought.end, { reason: 'connect_refused' })
  t.ok(sought.places.length <= 8)
})

test('of several addresses each is tried once before one is tried again, and one that would not help is not', async (t) => {
  const { clock, seek } = setUp([target(1), target(2)], {
    retryForMs: null,
    deadlines: fixed({ connectMs: 60_000 }),
  })
  const sought = seek()
  sought.fail()
  sought.fail('connect_failed', 'EHOSTUNREACH')
  t.same([sought.places.length, sought.end], [2, null], 'the first one may be back')
  await clock.pass(250)
  t.equal(sought.places.length, 3)
  sought.fail('connect_failed', 'EHOSTUNREACH')
  sought.fail('connect_failed', 'EHOSTUNREACH')
  t.match(sought.end, { reason: 'connect_failed' }, 'nobody refused in this round')
})

test('only what finds nobody listening is tried again', async (t) => {
  for (const [reason, detail, isRetried] of [
    ['connect_refused', 'ECONNREFUSED', true],
    ['connect_failed', 'ECONNRESET', true],
    ['connect_failed', 'ENOENT', true],
    ['connect_failed', 'EAGAIN', true],
    ['connect_failed', 'EHOSTUNREACH', false],
    ['connect_failed', 'EADDRNOTAVAIL', false],
    ['connect_failed', 'EMFILE', false],
    ['connect_failed', 'CERT_HAS_EXPIRED: certificate has expired', false],
    ['connect_timeout', 'deadlines.connect', false],
  ] as const) {
    const { seek, clock } = setUp([target(1)], { retryForMs: null })
    const sought = seek()
    sought.fail(reason, detail)
    t.equal(sought.end === null, isRetried, detail)
    sought.search.cancel()
    t.equal(clock.armed.after, 0, 'and who leaves takes the next try along')
  }
})

test('who is between two tries does not keep others from the place, and waits for room in the time of upstream.queueTimeout alone', async (t) => {
  const { clock, seek, upstream } = setUp([target(1)], {
    retryForMs: null,
    maxConnections: 1,
    queueTimeoutMs: 2000,
    deadlines: fixed({ connectMs: 3000 }),
  })
  const first = seek()
  await clock.pass(100)
  first.fail()
  const second = seek()
  t.equal(second.places.length, 1)
  await clock.pass(250)
  t.same([first.places.length, upstream.queued], [1, 1])
  await clock.pass(1500)
  second.release()
  t.same(
    first.places.map(({ connectMs }) => connectMs),
    [3000, 2650],
  )
  first.fail()
  const third = seek()
  t.equal(third.places.length, 1)
  await clock.pass(500)
  await clock.pass(520)
  t.match(first.end, { reason: 'no_upstream' }, 'what it waited before is not forgotten')
})

test('who waits for room at another address, since nobody listens at one, gets the one that comes first', async (t) => {
  const options = { retryForMs: 2000, maxConnections: 1, queueTimeoutMs: 3000 }
  const { clock, seek, upstream } = setUp([target(1), target(2)], options)
  const [first, second] = [seek(), seek()]
  first.fail()
  t.same([first.places.length, upstream.queued], [1, 1], 'the other address is full')
  await clock.pass(250)
  t.same([first.places.at(-1)!.name, upstream.queued], ['10.0.0.1:1', 0], 'the first one may be back')
  first.fail()
  await clock.pass(400)
  second.release()
  t.same([first.places.length, first.places.at(-1)!.name], [3, '10.0.0.1:2'])
  first.search.succeed()
  const third = seek()
  third.fail()
  for (let ms = 0; ms < 2000; ms += 250) {
    await clock.pass(250)
    if (third.search.describe() === null) third.fail()
  }
  t.equal(third.places.length, 5, 'at 0, 250, 750, 1750, 2000 ms')
  await clock.pass(900)
  t.equal(third.end, null)
  await clock.pass(200)
  t.match(third.end, { reason: 'no_upstream' }, 'and waits for room in the time of upstream.queueTimeout')
  t.equal(third.places.length, 5)
  const fourth = seek()
  fourth.fail()
  fourth.search.cancel()
  t.equal(clock.armed.after, 0, 'who leaves takes the next try along')
})

test('with upstream.retryFor off, who waits for room at another address waits for that alone', async (t) => {
  const { clock, seek } = setUp([target(1), target(2)], { maxConnections: 1 })
  const [first, second] = [seek(), seek()]
  first.fail()
  await clock.pass(2000)
  t.equal(first.places.length, 1)
  second.release()
  t.equal(first.places.at(-1)!.name, '10.0.0.1:2')
})

test('what a search waits for can be told', async (t) => {
  const { clock, seek, upstream } = setUp([target(1)], { retryForMs: null, maxConnections: 1 })
  const first = seek()
  t.equal(first.search.describe(), null)
  const second = seek()
  t.match(second.search.describe(), {
    waitsFor: 'a place at the upstream',
    next: { key: 'upstream.queueTimeout', reason: 'no_upstream', at: clock.now() + 5000 },
  })
  second.search.cancel()
  first.fail()
  t.match(first.search.describe(), {
    waitsFor: 'the upstream to accept again (ECONNREFUSED)',
    next: { key: 'upstream.retryFor', reason: 'connect_refused' },
  })
  first.search.cancel()
  upstream.stop()
})
