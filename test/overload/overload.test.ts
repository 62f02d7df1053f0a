import { test } from 'tap'
import { addressOf } from '../support/addresses.ts'
import { Connection } from '../../src/core/connection.ts'
import { idleScale, LOOK_MS, Overload } from '../../src/overload/overload.ts'
import { queuedBytes, queuesOf } from '../../src/overload/queues.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { LIMIT, MIB, overloaded, usual } from './overloaded.ts'

test('pressure is the larger of memory used and bytes queued, 0 to 1', async (t) => {
  const { overload, use, add, clock } = overloaded()
  await use(0.4)
  t.match(overload.view, {
    pressure: 0.4,
    limitBytes: LIMIT,
    usageBytes: 0.4 * LIMIT,
    bufferedLimitBytes: 25 * MIB,
  })
  add(1, 15 * MIB)
  await clock.pass(LOOK_MS)
  t.equal(overload.view.pressure, 0.6)
  await use(0.7)
  t.equal(overload.view.pressure, 0.7)
  await use(1.3)
  t.equal(overload.view.pressure, 1)
})

test('so it is of the heap with the least room, which is refused for, and not shed or collected for', async (t) => {
  const { overload, strain, heap, add, clock, closes, collected } = overloaded()
  add(1, 20 * MIB, 'moving')
  heap.share = 0.9
  await clock.pass(LOOK_MS)
  t.match(overload.view, { pressure: 0.9, heapShare: 0.9 })
  t.ok(strain.idleScale < 1)
  heap.share = 0.96
  await clock.pass(LOOK_MS)
  t.equal(strain.isRefusing, true)
  t.equal(strain.heap.refuseAt, usual.refuseAt)
  await clock.pass(60_000)
  t.same([closes, collected()], [[], 0])
  heap.share = 0.5
  await clock.pass(LOOK_MS)
  t.equal(strain.isRefusing, false)
})

test('a budget in bytes is one whatever the limit, and one that is off is none', async (t) => {
  const fixed = overloaded({ buffered: { bytes: MIB } })
  fixed.add(1, MIB / 2)
  await fixed.clock.pass(LOOK_MS)
  t.match(fixed.overload.view, { pressure: 0.5, bufferedLimitBytes: MIB })
  const off = overloaded({ buffered: { bytes: Number.POSITIVE_INFINITY } })
  off.add(1, 50 * LIMIT)
  await off.clock.pass(10 * LOOK_MS)
  t.equal(off.overload.view.pressure, 0.1)
  t.same(off.closes, [])
})

test('idle deadlines are whole up to shedAt, and shrink in a line to a tenth at refuseAt', (t) => {
  t.equal(idleScale(0.5, 0.85, 0.95), 1)
  t.equal(idleScale(0.849, 0.85, 0.95), 1)
  t.equal(idleScale(0.85, 0.85, 0.95), 1, 'it begins there')
  for (const [pressure, scale] of [
    [0.8625, 0.8875],
    [0.9, 0.55],
    [0.925, 0.325],
  ] as const)
    t.ok(Math.abs(idleScale(pressure, 0.85, 0.95) - scale) < 1e-9, `${pressure}`)
  t.equal(idleScale(0.95, 0.85, 0.95), 0.1)
  t.equal(idleScale(1, 0.85, 0.95), 0.1)
  t.equal(idleScale(1, Number.POSITIVE_INFINITY, 0.95), 1, 'off')
  t.equal(idleScale(0.9, 0.9, 0.9), 0.1, 'both at once are a step')
  t.ok(
    Math.abs(idleScale(0.95, 0.9, Number.POSITIVE_INFINITY) - 0.55) < 1e-9,
    'without refusal it ends at the limit',
  )
  t.end()
})

test('with memory to spare nothing is asked of the path, and nothing is said', async (t) => {
  const { strain, use, add, lines, closes, collected } = overloaded()
  add(1, 20 * MIB)
  await use(0.849)
  t.match(strain, { idleScale: 1, isRefusing: false, isWatching: false })
  t.same([lines, closes, collected()], [[], [], 0])
})

test('queues of stalled peers that fill memory.buffered go before any new work is refused; queues that move do not, and so it is', async (t) => {
  const stalled = overloaded()
  stalled.add(1, 12 * MIB)
  stalled.add(2, 12 * MIB)
  await stalled.clock.pass(1900)
  t.equal(stalled.strain.isRefusing, true, 'not known to be stalled yet')
  await stalled.clock.pass(3 * LOOK_MS)
  t.same([stalled.endedIds(), stalled.strain.isRefusing], [[1], false])
  stalled.add(3, 12 * MIB)
  await stalled.clock.pass(LOOK_MS)
  t.same(
    [stalled.endedIds(), stalled.strain.isRefusing],
    [[1, 2], false],
    'the older one, in the look that sees it, and nobody is refused',
  )
  const moving = overloaded()
  moving.add(1, 24 * MIB, 'moving')
  await moving.clock.pass(4000)
  t.same([moving.endedIds(), moving.strain.isRefusing], [[], true])
})

test('new work is refused from refuseAt on, until five points below it', async (t) => {
  const { strain, use } = overloaded()
  await use(0.9499)
  t.equal(strain.isRefusing, false)
  await use(0.95)
  t.equal(strain.isRefusing, true)
  await use(0.9001)
  t.equal(strain.isRefusing, true, 'it does not flap')
  await use(0.8999)
  t.equal(strain.isRefusing, false)
  await use(0.9499)
  t.equal(strain.isRefusing, false)
})

test('slow readers are looked at closely from shedAt on, until five points below it', async (t) => {
  const { strain, use } = overloaded()
  await use(0.85)
  t.equal(strain.isWatching, true)
  await use(0.8001)
  t.match(strain, { isWatching: true, idleScale: 1 })
  await use(0.7999)
  t.equal(strain.isWatching, false)
})

test('one line is written when a state begins and one when it ends, however long it lasts', async (t) => {
  const { use, lines } = overloaded()
  for (const share of [0.86, 0.87, 0.84, 0.96, 0.97, 0.91, 0.96, 0.86, 0.82, 0.1, 0.2]) await use(share)
  t.same(
    lines.map((line) => line.split(':')[0]),
    ['memory runs short', 'overloaded', 'no longer overloaded', 'memory is no longer short'],
  )
})

test('a threshold that is off is never reached', async (t) => {
  const { strain, use, closes, add } = overloaded({
    shedAt: Number.POSITIVE_INFINITY,
    refuseAt: Number.POSITIVE_INFINITY,
  })
  add(1, 10 * MIB)
  await use(1)
  await use(1)
  t.match(strain, { idleScale: 1, isRefusing: false })
  t.same(closes, [])
})

test('over memory.buffered the largest stalled queue ends with overloaded, and others stay', async (t) => {
  const { add, clock, closes, endedIds } = overloaded({ refuseAt: Number.POSITIVE_INFINITY })
  add(1, 8 * MIB)
  add(2, 12 * MIB)
  add(3, 5 * MIB)
  await clock.pass(8 * LOOK_MS)
  t.same(closes, [], 'all of it is within the budget')
  add(4, 1, 'moving')
  await clock.pass(LOOK_MS)
  t.match(closes, [{ id: 2, reason: 'overloaded', side: 'sidegate', phase: 'relay' }])
  t.match(closes[0]!.detail, /^held 12582912 bytes, of which none was taken for 2\.\ds \(memory\.buffered\)$/)
  await clock.pass(8 * LOOK_MS)
  t.same(endedIds(), [2])
})

test('a big queue that makes progress stays while stalled ones are enough, and goes when they are not', async (t) => {
  const { add, clock, endedIds } = overloaded({ refuseAt: Number.POSITIVE_INFINITY })
  add(1, 20 * MIB, 'moving')
  add(2, 2 * MIB)
  add(3, 1 * MIB)
  await clock.pass(8 * LOOK_MS)
  add(4, 3 * MIB, 'moving')
  await clock.pass(LOOK_MS)
  t.same(endedIds(), [2])
  add(5, 10 * MIB, 'moving')
  await clock.pass(LOOK_MS)
  t.same(endedIds(), [2, 3, 1], 'the budget holds, whoever holds it up')
})

test('while it refuses, stalled queues go until refusal can end, and those that move stay', async (t) => {
  const { add, clock, endedIds, strain } = overloaded()
  add(1, 11 * MIB)
  add(2, 1 * MIB)
  add(3, 12 * MIB, 'moving')
  await clock.pass(7 * LOOK_MS)
  t.equal(strain.isRefusing, true, '24 of 25 MiB')
  t.same(endedIds(), [], 'not stalled yet')
  await clock.pass(LOOK_MS)
  t.same(endedIds(), [1])
  await clock.pass(LOOK_MS)
  t.equal(strain.isRefusing, false)
  t.same(endedIds(), [1])
})

test('memory that is used up is taken back from stalled queues, a second apart, and from moving ones only at the last', async (t) => {
  const { add, use, endedIds, strain } = overloaded()
  add(1, 3 * MIB)
  add(2, 4 * MIB)
  add(3, 2 * MIB)
  add(4, 5 * MIB, 'moving')
  for (let look = 0; look < 8; look++) await use(0.5)
  await use(0.96)
  t.same(endedIds(), [2, 1], '6 MiB above where refusal ends')
  t.equal(strain.isRefusing, true)
  for (let look = 0; look < 3; look++) await use(0.96)
  t.same(endedIds(), [2, 1], 'what was freed needs a while to show')
  await use(0.96)
  t.same(endedIds(), [2, 1, 3])
  for (let look = 0; look < 8; look++) await use(0.97)
  t.same(endedIds(), [2, 1, 3], 'one that moves stays')
  for (let look = 0; look < 4; look++) await use(0.975)
  t.same(endedIds(), [2, 1, 3, 4], 'half way to the limit the kernel is about to end all')
})

test('after the process stood still nobody is ended for having been still: the next look decides', async (t) => {
  const { add, clock, endedIds } = overloaded()
  add(1, 26 * MIB)
  clock.freeze(60_000)
  await clock.pass(0)
  t.same(endedIds(), [])
  await clock.pass(LOOK_MS)
  t.same(endedIds(), [1])
})

test('a connection that nobody serves yet is no victim and no obstacle', async (t) => {
  const clock = fakeClock()
  const unserved = [new Connection(1, 'app', 'tcp', addressOf('192.0.2.1:1'), 0)]
  const overload = new Overload(usual, {
    clock,
    log: { warn: () => {} },
    gates: {
      memory: async () => ({ queuedBytes: queuedBytes(unserved), heapShare: 0 }),
      queues: async () => queuesOf(unserved, clock.now()),
      shed: (victims) => t.same(victims, []),
      strain: () => {},
      collectGarbage: () => {},
    },
    read: () => ({ limitBytes: LIMIT, usageBytes: LIMIT }),
  })
  overload.start()
  await clock.pass(LOOK_MS)
  t.equal(overload.view.pressure, 1)
  overload.stop()
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})
