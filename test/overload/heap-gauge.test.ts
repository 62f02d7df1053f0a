import { test } from 'tap'
import { HeapGauge } from '../../src/overload/heap-gauge.ts'
import { fakeClock } from '../support/fake-clock.ts'

const MIB = 1024 * 1024
const KIB_256 = 256 * 1024

/** A heap of 64 MiB and the young generation, of which V8 can use 51.2 MiB; sizes are in those. */
function setUp() {
  const clock = fakeClock()
  const heap = { live: 0, garbage: 0, collected: 0, collectionMs: 0 }
  const gauge = new HeapGauge(clock, {
    read: () => ({ usedBytes: (heap.live + heap.garbage) * 0.8 * 64 * MIB, limitBytes: 76 * MIB }),
    collect() {
      heap.collected++
      heap.garbage = 0
      clock.freeze(heap.collectionMs)
    },
  })
  gauge.refuseAt = 0.95
  const read = (): number => Math.round(gauge.read() * 100) / 100
  return { clock, gauge, heap, read }
}

test('the share is of what V8 can use, and nothing is collected while there is plenty', (t) => {
  const { gauge, heap, read } = setUp()
  heap.live = 0.3
  heap.garbage = 0.45
  t.equal(read(), 0.75)
  t.equal(heap.collected, 0)
  t.equal(gauge.isShort(0), false)
  t.end()
})

test('near the limit garbage is collected before it counts', (t) => {
  const { gauge, heap, read } = setUp()
  heap.live = 0.4
  heap.garbage = 0.59
  t.equal(read(), 0.4)
  t.equal(heap.collected, 1)
  t.equal(gauge.isShort(0), false)
  t.end()
})

test('collections come once a second, and in between the last one is believed, up to the brink', async (t) => {
  const { clock, heap, read } = setUp()
  heap.live = 0.81
  t.equal(read(), 0.81)
  heap.garbage = 0.18
  t.equal(read(), 0.81, 'garbage for all that is known')
  heap.garbage = 0.2
  t.equal(read(), 1.01, 'V8 may end the process')
  t.equal(heap.collected, 1)
  await clock.pass(1000)
  t.equal(read(), 0.81)
  t.equal(heap.collected, 2)
})

test('collections take a twentieth of the time at most', async (t) => {
  const { clock, heap, read } = setUp()
  heap.live = 0.9
  heap.collectionMs = 100
  read()
  await clock.pass(1999)
  read()
  t.equal(heap.collected, 1)
  await clock.pass(1)
  read()
  t.equal(heap.collected, 2)
})

test('work that brings bytes has the heap read anew every 256 KiB, between two looks', (t) => {
  const { gauge, heap } = setUp()
  gauge.read()
  heap.live = 0.96
  t.equal(gauge.isShort(KIB_256 - 1), false)
  t.equal(gauge.isShort(1), true)
  heap.live = 0.5
  t.equal(gauge.isShort(0), true, 'as last read')
  t.equal(gauge.isShort(KIB_256), false)
  t.end()
})

test('without memory.refuseAt it is never short', (t) => {
  const { gauge, heap } = setUp()
  gauge.refuseAt = Number.POSITIVE_INFINITY
  heap.live = 1.2
  t.equal(gauge.isShort(KIB_256), false)
  t.end()
})

test('the heap of this process has a share', (t) => {
  const share = new HeapGauge(fakeClock()).read()
  t.ok(share > 0 && share < 1, `${share}`)
  t.end()
})
