import { test } from 'tap'
import { addressOf } from '../support/addresses.ts'
import fc from 'fast-check'
import { Connection } from '../../src/core/connection.ts'
import { queueOf } from '../../src/overload/queues.ts'
import type { Queue } from '../../src/overload/queues.ts'
import { chooseVictims, STALLED_MS } from '../../src/overload/victims.ts'

const KIB = 1024
const queue = (id: number, bytes: number, quietMs: number): Queue => ({ id, bytes, quietMs })
const ids = (queues: readonly Queue[]): number[] => queues.map(({ id }) => id)

test('the largest stalled queues go first, and no more than must', (t) => {
  const queues = [
    queue(1, 10 * KIB, 5000),
    queue(2, 64 * KIB, STALLED_MS),
    queue(3, 32 * KIB, 60_000),
    queue(4, 64 * KIB, 0),
  ]
  t.same(ids(chooseVictims(queues, { stalledBytes: 1, anyBytes: 1 })), [2])
  t.same(
    ids(chooseVictims(queues, { stalledBytes: 64 * KIB, anyBytes: 64 * KIB })),
    [2],
    'it is exactly enough',
  )
  t.same(ids(chooseVictims(queues, { stalledBytes: 64 * KIB + 1, anyBytes: 0 })), [2, 3])
  t.same(ids(chooseVictims(queues, { stalledBytes: 0, anyBytes: 0 })), [])
  t.end()
})

test('who makes progress goes last, and only where nothing else helps', (t) => {
  const queues = [queue(1, 128 * KIB, 0), queue(2, 64 * KIB, 250), queue(3, KIB, STALLED_MS)]
  t.same(
    ids(chooseVictims(queues, { stalledBytes: 1024 * KIB, anyBytes: 0 })),
    [3],
    'a goal for stalled ones alone spares it',
  )
  t.same(ids(chooseVictims(queues, { stalledBytes: 0, anyBytes: KIB })), [3])
  t.same(
    ids(chooseVictims(queues, { stalledBytes: 0, anyBytes: KIB + 1 })),
    [3, 2],
    'the quieter one before the larger one',
  )
  t.same(ids(chooseVictims(queues, { stalledBytes: 0, anyBytes: 1024 * KIB })), [3, 2, 1])
  t.end()
})

test('of those that moved a moment ago the largest queue goes first, and spares those that would free nothing', (t) => {
  const queues = [queue(1, 19, 131), queue(2, 64 * KIB, 129), queue(3, 17, 249), queue(4, 60 * KIB, 0)]
  t.same(ids(chooseVictims(queues, { stalledBytes: 0, anyBytes: 60 * KIB })), [2])
  t.same(ids(chooseVictims(queues, { stalledBytes: 0, anyBytes: 100 * KIB })), [2, 4])
  t.end()
})

test('a peer is stalled from two seconds on, not before', (t) => {
  const goal = { stalledBytes: 1, anyBytes: 0 }
  t.same(ids(chooseVictims([queue(1, KIB, STALLED_MS - 1)], goal)), [])
  t.same(ids(chooseVictims([queue(1, KIB, STALLED_MS)], goal)), [1])
  t.end()
})

test('whatever waits, what is freed is enough where it can be, and with one less it is not', (t) => {
  const queues = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 1e6 }), quietMs: fc.nat(3000) }), {
    maxLength: 50,
  })
  fc.assert(
    fc.property(queues, fc.nat(1e7), fc.nat(1e7), (raw, stalledBytes, anyBytes) => {
      const all = raw.map(({ bytes, quietMs }, index) => queue(index, bytes, quietMs))
      const victims = chooseVictims(all, { stalledBytes, anyBytes })
      const sum = (some: readonly Queue[]): number => some.reduce((total, { bytes }) => total + bytes, 0)
      t.equal(new Set(victims).size, victims.length)
      t.ok(sum(victims) >= Math.min(anyBytes, sum(all)))
      const stalled = all.filter(({ quietMs }) => quietMs >= STALLED_MS)
      t.ok(sum(victims) >= Math.min(stalledBytes, sum(stalled)))
      if (victims.length > 0) t.ok(sum(victims.slice(0, -1)) < Math.max(stalledBytes, anyBytes))
      if (victims.some(({ quietMs }) => quietMs < STALLED_MS))
        t.ok(stalled.every((one) => victims.includes(one)))
    }),
    { numRuns: 100 },
  )
  t.end()
})

test('a connection counts with both of its queues, and as quiet as the quieter of those who are owed some', (t) => {
  const connection = new Connection(1, 'app', 'tcp', addressOf('192.0.2.1:1'), 0)
  t.equal(queueOf(connection, 5000), null, 'nobody serves it yet')
  const queued = { client: 0, upstream: 0 }
  const lastDrainAt = { client: 1000, upstream: 4000 }
  connection.owner = {
    close() {},
    queued: (side) => queued[side],
    lastDrainAt: (side) => lastDrainAt[side],
    isPaused: () => false,
  }
  t.equal(queueOf(connection, 5000), null, 'nothing waits')
  queued.upstream = 7
  t.match(queueOf(connection, 5000), { bytes: 7, quietMs: 1000 }, 'the client is owed nothing')
  queued.client = 5
  t.match(queueOf(connection, 5000), { bytes: 12, quietMs: 4000 })
  lastDrainAt.client = lastDrainAt.upstream = Number.POSITIVE_INFINITY
  t.match(queueOf(connection, 5000), { bytes: 12, quietMs: 0 })
  t.end()
})
