import { test } from 'tap'
import { Connection } from '../../src/core/connection.ts'
import { idleFirst, IDLE_MS, NEW_MS, SpreadClose, spreadMoments } from '../../src/lifecycle/spread-close.ts'
import { makeClose } from '../../src/core/close.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { kolmogorovSmirnov, seeded } from '../support/uniform.ts'
import { addressOf } from '../support/addresses.ts'

const SPREAD_MS = 30_000

function connections(
  count: number,
  quietMs: (id: number) => number | undefined = () => undefined,
): Connection[] {
  return Array.from({ length: count }, (_, id) => {
    const connection = new Connection(id, 'app', 'tcp', addressOf('192.0.2.1:1'), 0)
    connection.owner = {
      close() {},
      queued: () => 0,
      lastDrainAt: () => 0,
      isPaused: () => false,
      quietMs: () => quietMs(id) ?? 0,
    }
    return connection
  })
}

test('moments are uniform over the window, for whatever chance', async (t) => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const moments = spreadMoments(2000, SPREAD_MS, seeded(seed))
    t.equal(moments.length, 2000)
    t.same(
      moments,
      [...moments].sort((one, other) => one - other),
      'in order',
    )
    t.ok(kolmogorovSmirnov(moments, SPREAD_MS) > 0.001, `seed ${seed}`)
  }
})

test('a herd, or a spread over half of the window, does not pass for uniform', async (t) => {
  const random = seeded(1)
  const half = spreadMoments(100, SPREAD_MS / 2, random)
  t.ok(kolmogorovSmirnov(half, SPREAD_MS) < 0.001)
  t.ok(kolmogorovSmirnov(new Float64Array(100).fill(0), SPREAD_MS) < 0.001)
})

test('moments that were seen late pass for uniform within what is allowed, and either half of the window does not', async (t) => {
  const late = SPREAD_MS / 3
  const moments = spreadMoments(500, SPREAD_MS, seeded(1))
  const lumps = moments.map((moment) => Math.ceil(moment / late) * late)
  t.ok(kolmogorovSmirnov(lumps, SPREAD_MS) < 0.001)
  t.ok(kolmogorovSmirnov(lumps, SPREAD_MS, late) > 0.001)
  const half = moments.map((moment) => moment / 2)
  t.ok(kolmogorovSmirnov(half, SPREAD_MS, late) < 0.001, 'the first')
  t.ok(
    kolmogorovSmirnov(
      half.map((moment) => moment + SPREAD_MS / 2),
      SPREAD_MS,
      late,
    ) < 0.001,
    'the second',
  )
})

test('each connection is asked at its moment, once, and those that ended before are not', async (t) => {
  const clock = fakeClock({ now: 5000 })
  const all = connections(500)
  const asked: { id: number; at: number }[] = []
  const parting = new SpreadClose({
    clock,
    random: seeded(7),
    connections: all,
    spreadMs: SPREAD_MS,
    ask: ({ id }) => void asked.push({ id, at: clock.now() - 5000 }),
  })
  await clock.pass(SPREAD_MS / 2)
  t.ok(asked.length > 200 && asked.length < 300, `${asked.length} in half of the time`)
  t.equal(parting.isOver, false)
  const gone = all.filter(({ id }) => !asked.some((one) => one.id === id)).slice(0, 50)
  for (const connection of gone) connection.end = makeClose('eof', 'client', 'relay')
  await clock.pass(SPREAD_MS / 2)
  t.equal(parting.isOver, true)
  t.equal(asked.length, 450)
  t.equal(new Set(asked.map(({ id }) => id)).size, 450)
  t.equal(clock.armed.after, 0)
})

test('in a window of nothing all are asked at once', async (t) => {
  const clock = fakeClock()
  let asked = 0
  const parting = new SpreadClose({
    clock,
    random: Math.random,
    connections: connections(10),
    spreadMs: 0,
    ask: () => void asked++,
  })
  t.same([asked, parting.isOver, clock.armed.after], [10, true, 0])
})

test('a parting that is cancelled asks no more', async (t) => {
  const clock = fakeClock()
  let asked = 0
  const parting = new SpreadClose({
    clock,
    random: seeded(1),
    connections: connections(100),
    spreadMs: 1000,
    ask: () => void asked++,
  })
  await clock.pass(500)
  parting.cancel()
  const before = asked
  t.ok(before > 0 && before < 100)
  await clock.pass(1000)
  t.same([asked, clock.armed.after], [before, 0])
})

test('idle ones go first, those a millisecond short of it with the busy, and chance decides within each', async (t) => {
  const all = connections(200, (id) => (id % 2 === 0 ? IDLE_MS : IDLE_MS - 1))
  const order = idleFirst(all, 0, seeded(3)).map(({ id }) => id)
  t.ok(order.slice(0, 100).every((id) => id % 2 === 0))
  t.ok(order.slice(100).every((id) => id % 2 === 1))
  t.not(
    order.slice(0, 100).join(),
    all
      .filter(({ id }) => id % 2 === 0)
      .map(({ id }) => id)
      .join(),
  )
  t.equal(new Set(order).size, 200)
})

test('one whose protocol does not say how quiet it is goes with the busy: it may just be opening', async (t) => {
  const [opening, idle] = connections(2, () => IDLE_MS)
  opening!.owner = { close() {}, queued: () => 0, lastDrainAt: () => 0, isPaused: () => false }
  t.same(
    idleFirst([opening!, idle!], 0, seeded(1)).map(({ id }) => id),
    [1, 0],
  )
})

test('one that has just been admitted is asked a second later; not one that is served, nor one that has brought nothing for longer', async (t) => {
  const clock = fakeClock()
  const [fresh, dialling, served, silent] = connections(4)
  await clock.pass(NEW_MS)
  for (const connection of [fresh!, dialling!, served!]) connection.admittedMs = clock.now()
  for (const connection of [fresh!, silent!]) connection.phase = 'handshake'
  dialling!.phase = 'connect'
  served!.phase = 'relay'
  const asked: number[] = []
  const parting = new SpreadClose({
    clock,
    random: Math.random,
    connections: [fresh!, dialling!, served!, silent!],
    spreadMs: 0,
    ask: ({ id }) => asked.push(id),
  })
  t.same(new Set(asked), new Set([2, 3]))
  await clock.pass(NEW_MS - 1)
  t.same([asked.length, parting.isOver], [2, false])
  await clock.pass(1)
  t.same([new Set(asked), parting.isOver], [new Set([0, 1, 2, 3]), true])
})

test('one that is gone by then is not asked, and none after the end of the asking', async (t) => {
  const clock = fakeClock()
  const all = connections(2)
  for (const connection of all) Object.assign(connection, { phase: 'handshake', admittedMs: clock.now() })
  const asked: number[] = []
  const options = { clock, random: Math.random, spreadMs: 0, ask: ({ id }: Connection) => asked.push(id) }
  const [one, other] = all.map((connection) => new SpreadClose({ ...options, connections: [connection] }))
  all[0]!.end = makeClose('eof', 'client', 'handshake')
  other!.cancel()
  await clock.pass(NEW_MS)
  t.same([asked, one!.isOver, other!.isOver], [[], true, true])
})
