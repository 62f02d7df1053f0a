import { test } from 'tap'
import type { Test } from 'tap'
import { Sweep } from '../../src/core/clock.ts'
import { EndpointPool } from '../../src/upstream/pool.ts'
import type { User } from '../../src/upstream/pool.ts'
import type { EndpointOwner } from '../../src/endpoint/endpoint.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { MemoryEndpoint } from '../support/memory-endpoint.ts'

const nobody: EndpointOwner = { onBytes: () => true, onEnd() {}, onProgress() {}, onClosed() {} }

function setUp(
  t: Test,
  options = {},
): { clock: FakeClock; sweep: Sweep; pool: EndpointPool; made: () => MemoryEndpoint } {
  const clock = fakeClock()
  const sweep = new Sweep(clock, 250)
  const pool = new EndpointPool({ keepAliveMs: 4000, maxIdle: 2, ...options }, clock, sweep)
  t.teardown(() => pool.clear())
  return { clock, sweep, pool, made: () => new MemoryEndpoint('upstream', nobody) }
}

const NEVER = Number.POSITIVE_INFINITY
const carrier = {}
const anna: User = { carrier, ip: '203.0.113.1' }
const others: User[] = [
  { carrier, ip: '203.0.113.2' },
  { carrier: {}, ip: '203.0.113.1' },
  { carrier, ip: null },
]

function take(pool: EndpointPool, user = anna): unknown {
  return pool.take(user, true)?.endpoint ?? null
}

test('the connection that was used last is used next, and each of them once', (t) => {
  const { pool, made, sweep } = setUp(t)
  const [one, two] = [made(), made()]
  pool.put(one, NEVER)
  pool.put(two, NEVER)
  t.same([pool.idle, sweep.size], [2, 1])
  t.equal(take(pool), two)
  t.equal(take(pool), one)
  t.same([take(pool), pool.idle, sweep.size], [null, 0, 0])
  t.end()
})

test('one more than are kept is closed, as is every one where none is kept', (t) => {
  const { pool, made } = setUp(t)
  const three = [made(), made(), made()]
  for (const endpoint of three) pool.put(endpoint, NEVER)
  t.same(
    three.map(({ isClosed }) => isClosed),
    [false, false, true],
  )
  const off = setUp(t, { keepAliveMs: 0 })
  const one = made()
  off.pool.put(one, NEVER)
  t.equal(one.isClosed, true)
  t.end()
})

const ends: Array<[name: string, end: (endpoint: MemoryEndpoint) => void]> = [
  ['says something', (endpoint) => endpoint.feed('HTTP/1.1 200 OK\r\n\r\n')],
  ['ends', (endpoint) => endpoint.fin()],
  ['resets', (endpoint) => endpoint.rst()],
  ['vanishes', (endpoint) => endpoint.vanish()],
]
for (const [name, end] of ends) {
  test(`one that ${name} while nothing is owed is out at once, and the others stay`, async (t) => {
    const { pool, made, clock } = setUp(t)
    const [one, two] = [made(), made()]
    pool.put(one, NEVER)
    pool.put(two, NEVER)
    await clock.pass(0)
    end(two)
    await clock.pass(0)
    t.same([two.isClosed, pool.idle, one.isClosed], [true, 1, false])
    t.equal(take(pool), name === 'says something' ? null : one, 'kept for anybody, it may say something too')
  })
}

test('one that idles is closed after keepAlive, or before the time that its service announced, and not sooner', async (t) => {
  const { pool, made, clock } = setUp(t)
  const [four, two] = [made(), made()]
  pool.put(four, NEVER)
  pool.put(two, 2000)
  await clock.pass(1999)
  t.same([four.isClosed, two.isClosed], [false, false])
  await clock.pass(251)
  t.same([four.isClosed, two.isClosed], [false, true])
  await clock.pass(1500)
  t.equal(four.isClosed, false)
  await clock.pass(500)
  t.same([four.isClosed, pool.idle], [true, 0])
})

test('one whose time is over is not handed out, though no sweep came by', (t) => {
  const { pool, made } = setUp(t, { keepAliveMs: 10 })
  const one = made()
  pool.put(one, 0)
  t.equal(one.isClosed, true, 'announced as closing')
  t.equal(take(pool), null)
  t.end()
})

test('one that has not taken all of its request is not kept', (t) => {
  const { pool } = setUp(t)
  const stalled = new MemoryEndpoint('upstream', nobody, { takes: 0 })
  stalled.write(Buffer.from('x'), 0, 1)
  pool.put(stalled, NEVER)
  t.same([stalled.isClosed, pool.idle], [true, 0])
  t.end()
})

test("one that is a client's alone is handed to nobody else: of another connection, or another client of the same one", (t) => {
  for (const other of others) {
    const { pool, made } = setUp(t)
    const [shared, own] = [made(), made()]
    pool.put(shared, NEVER)
    pool.put(own, NEVER, anna)
    t.equal(take(pool, other), shared)
    pool.put(shared, NEVER)
    t.same(pool.take({ ...anna }, true), { endpoint: shared, isOwn: false, idleMs: 0 })
    t.same(pool.take({ ...anna }, true), { endpoint: own, isOwn: true, idleMs: 0 })
  }
  t.end()
})

test("who finds none but others' takes the place of the oldest of these", (t) => {
  const { pool, made } = setUp(t)
  const [older, newer] = [made(), made()]
  pool.put(older, NEVER, others[1])
  pool.put(newer, NEVER, others[2])
  t.equal(pool.take(anna, true), null)
  t.same([older.isClosed, newer.isClosed, pool.idle], [true, false, 1])
  t.end()
})

test("one whose time is over is closed on the way to the next, and another's left alone", async (t) => {
  const { pool, made, clock, sweep } = setUp(t)
  const [long, short] = [made(), made()]
  pool.put(long, NEVER)
  pool.put(short, 100)
  await clock.pass(100)
  t.equal(take(pool), long)
  t.same([short.isClosed, pool.idle, sweep.size], [true, 0, 0])
})

test('what may not be sent twice takes none that its service may be closing: of an age at which it has closed some', async (t) => {
  const { pool, made, clock } = setUp(t)
  const [early, old, young] = [made(), made(), made()]
  pool.put(early, NEVER)
  await clock.pass(2000)
  early.fin()
  await clock.pass(0)
  t.equal(pool.idle, 0)
  pool.put(old, NEVER)
  await clock.pass(999)
  t.equal(pool.take(anna, false)?.endpoint, old, 'younger than half of that')
  pool.put(old, NEVER)
  await clock.pass(1000)
  t.equal(pool.take(anna, false), null)
  t.equal(old.isClosed, true, 'the fresh one is in its place')
  pool.put(young, NEVER)
  await clock.pass(1000)
  t.equal(take(pool), young, 'what may be sent twice takes it')
})

test('a service that closes its connections at once has none for what may not be sent twice, for a minute', async (t) => {
  const { pool, made, clock } = setUp(t, { maxIdle: 64 })
  const [taken, next, other, late] = [made(), made(), made(), made()]
  pool.put(taken, NEVER)
  pool.put(other, NEVER)
  t.equal(pool.take(anna, false)?.endpoint, other, 'before it is known')
  pool.doubt(0)
  t.equal(taken.isClosed, true)
  pool.put(next, NEVER)
  t.equal(pool.take(anna, false), null)
  await clock.pass(59_000)
  pool.put(late, NEVER)
  await clock.pass(999)
  t.equal(pool.take(anna, false), null)
  pool.put(other, NEVER)
  await clock.pass(1)
  t.equal(pool.take(anna, false)?.endpoint, other)
})

test('an end of ours says nothing of the service', async (t) => {
  const { pool, made, clock } = setUp(t)
  const [first, second] = [made(), made()]
  pool.put(first, 10)
  await clock.pass(300)
  t.equal(first.isClosed, true)
  pool.put(second, NEVER)
  t.equal(pool.take(anna, false)?.endpoint, second)
})

test('an end within a tenth of a second is one at once: no connection is young enough', (t) => {
  for (const [endMs, isKept] of [
    [100, false],
    [101, true],
  ] as const) {
    const { pool, made } = setUp(t)
    pool.doubt(endMs)
    pool.put(made(), NEVER)
    t.equal(pool.take(anna, false) !== null, isKept)
  }
  t.end()
})

test('the soonest end decides, not the last one', async (t) => {
  const { pool, made, clock } = setUp(t)
  pool.doubt(1000)
  pool.doubt(3000)
  pool.put(made(), NEVER)
  await clock.pass(500)
  t.equal(pool.take(anna, false), null)
})

for (const [text, hasStrays] of [
  ['HTTP/1.1 200 OK\r\n\r\n', true],
  ['HTTP/1.1 4', true],
  ['HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n', false],
] as const)
  test(`bytes that no request has asked for ${hasStrays ? 'show' : 'do not show'} a service that sends such: ${JSON.stringify(text)}`, async (t) => {
    const { pool, made, clock } = setUp(t)
    const one = made()
    pool.put(one, NEVER)
    t.equal(pool.hasStrays, false)
    await clock.pass(0)
    one.feed(text)
    await clock.pass(0)
    t.same([one.isClosed, pool.hasStrays], [true, hasStrays])
  })

test('behind strays nobody gets a connection that was kept for all, and its client keeps its own', (t) => {
  const { pool, made } = setUp(t)
  const [own, shared] = [made(), made()]
  pool.put(own, NEVER, anna)
  pool.put(shared, NEVER)
  pool.stray()
  t.equal(take(pool), own)
  t.equal(shared.isClosed, true)
  t.equal(take(pool), null)
  t.end()
})
