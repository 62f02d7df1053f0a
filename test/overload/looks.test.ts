// How often the watch over memory looks, and what it leaves to the next look.

import { test } from 'tap'
import { LOOK_MS, Overload } from '../../src/overload/overload.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { LIMIT, MIB, overloaded, usual } from './overloaded.ts'

test('a look that ends nobody keeps none of those that follow from it', async (t) => {
  const { add, use, endedIds } = overloaded()
  add(1, 5 * MIB, 'moving')
  await use(0.96)
  t.same(endedIds(), [], 'it moves')
  await use(0.98)
  t.same(endedIds(), [1], 'a quarter of a second later memory is used up, and nobody was ended before')
})

test('connections that end for memory.buffered defer nothing that memory itself asks for', async (t) => {
  const { add, use, endedIds } = overloaded()
  add(1, 26 * MIB, 'moving')
  await use(0.5)
  add(2, 5 * MIB, 'moving')
  await use(0.98)
  t.same(endedIds(), [1, 2])
})

test('while memory is short looks come every 50 ms', async (t) => {
  const { add, clock, usage, use, endedIds, strain } = overloaded()
  add(1, 5 * MIB, 'moving')
  await use(0.86)
  usage.usageBytes = 0.98 * LIMIT
  await clock.pass(50)
  t.same([endedIds(), strain.isRefusing], [[1], true])
  await use(0.5)
  await clock.pass(50)
  usage.usageBytes = 0.98 * LIMIT
  await clock.pass(LOOK_MS - 1)
  t.equal(strain.isRefusing, false, 'and every 250 ms again afterwards')
  await clock.pass(1)
  t.equal(strain.isRefusing, true)
})

test('a watch that is stopped amid a look, in which memory has run short, looks no more', async (t) => {
  const clock = fakeClock()
  let looks = 0
  const overload: Overload = new Overload(usual, {
    clock,
    log: { warn: () => {} },
    gates: {
      async memory() {
        looks++
        overload.stop()
        return { queuedBytes: 0, heapShare: 0 }
      },
      queues: async () => [],
      shed: () => {},
      strain: () => {},
      collectGarbage: () => {},
    },
    read: () => ({ limitBytes: LIMIT, usageBytes: 0.9 * LIMIT }),
  })
  overload.start()
  await clock.pass(4 * LOOK_MS)
  t.equal(looks, 1)
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})

test('garbage is collected while memory is used up, once a second, and not for queues', async (t) => {
  const { use, collected, add, clock, strain } = overloaded()
  await use(0.949)
  t.equal(collected(), 0)
  await use(0.95)
  t.equal(collected(), 1)
  for (let look = 0; look < 3; look++) await use(0.95)
  t.equal(collected(), 1)
  await use(0.95)
  t.equal(collected(), 2)
  await use(0.1)
  add(1, 24 * MIB, 'moving')
  await clock.pass(60 * LOOK_MS)
  t.equal(strain.isRefusing, true)
  t.equal(collected(), 2)
})

test('collections take at most a twentieth of the time', async (t) => {
  const { use, collected, collectFor, clock } = overloaded()
  collectFor(500)
  await use(0.95)
  t.equal(collected(), 1)
  await clock.pass(9000)
  t.equal(collected(), 1)
  await clock.pass(2000)
  t.equal(collected(), 2)
})

test('the room for streams is what is left up to refuseAt, less 12 MiB, in whole MiB', async (t) => {
  const { use, strain, overload } = overloaded()
  await use(0.5)
  t.equal(strain.claims.roomBytes, 33 * MIB)
  await use(0.505)
  t.equal(strain.claims.roomBytes, 32 * MIB)
  await use(0.84)
  t.equal(strain.claims.roomBytes, MIB, 'never less')
  overload.options = { ...usual, refuseAt: Number.POSITIVE_INFINITY }
  await use(0.84)
  t.equal(strain.claims.roomBytes, Number.POSITIVE_INFINITY, 'off')
})
