import { test } from 'tap'
import { duplexPair } from 'node:stream'
import { fakeClock } from './fake-clock.ts'
import { Sweep } from '../../src/core/clock.ts'

function recording(now = 0) {
  const clock = fakeClock({ now })
  const seen: [what: string, now: number][] = []
  return { clock, seen, note: (what: string) => () => void seen.push([what, clock.now()]) }
}

test('time stands still until it passes', async (t) => {
  const clock = fakeClock({ now: 10, wall: 5_000 })
  t.same([clock.now(), clock.wall()], [10, 5_000])
  await clock.pass(7)
  t.same([clock.now(), clock.wall()], [17, 5_007])
})

test('callbacks run in the order they fall due, each at its own now', async (t) => {
  const { clock, seen, note } = recording()
  clock.after(50, note('after'))
  clock.every(20, note('every'))
  await clock.pass(60)
  t.same(seen, [
    ['every', 20],
    ['every', 40],
    ['after', 50],
    ['every', 60],
  ])
  t.equal(clock.now(), 60)
})

test('a callback runs at its moment and not a millisecond before', async (t) => {
  const { clock, seen, note } = recording()
  clock.after(50, note('after'))
  await clock.pass(49)
  t.same(seen, [])
  await clock.pass(1)
  t.same(seen, [['after', 50]])
  await clock.pass(1000)
  t.equal(seen.length, 1)
})

test('callbacks due at the same moment run in the order they were armed', async (t) => {
  const { clock, seen, note } = recording()
  clock.after(10, note('one'))
  clock.every(10, note('two'))
  clock.after(10, note('three'))
  await clock.pass(10)
  t.same(seen, [
    ['one', 10],
    ['two', 10],
    ['three', 10],
  ])
})

test('what was stopped does not run, not even when stopped by a callback of the same moment', async (t) => {
  const { clock, seen, note } = recording()
  const stopEvery = clock.every(10, note('every'))
  clock.after(20, () => stopEvery())
  clock.after(15, () => stopSecond())
  const stopSecond = clock.after(15, note('second'))
  await clock.pass(100)
  t.same(seen, [['every', 10]])
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})

test('an interval that stops itself stays stopped', async (t) => {
  const { clock, seen, note } = recording()
  const stop = clock.every(10, () => {
    note('every')()
    stop()
  })
  await clock.pass(100)
  t.same(seen, [['every', 10]])
})

test('what a callback arms inside the passing time runs in it', async (t) => {
  const { clock, seen, note } = recording()
  clock.after(10, () => void clock.after(5, note('inner')))
  await clock.pass(20)
  t.same(seen, [['inner', 15]])
})

test('nextTurn runs between two ticks, at the time of the first', async (t) => {
  const { clock, seen, note } = recording()
  clock.every(10, () => {
    note('tick')()
    clock.nextTurn(note('turn'))
  })
  await clock.pass(20)
  t.same(seen, [
    ['tick', 10],
    ['turn', 10],
    ['tick', 20],
    ['turn', 20],
  ])
})

test('pass(0) runs a waiting nextTurn', async (t) => {
  const { clock, seen, note } = recording(5)
  clock.nextTurn(note('turn'))
  t.equal(clock.armed.nextTurn, 1)
  await clock.pass(0)
  t.same(seen, [['turn', 5]])
})

test('streams settle before time passes and between two ticks', async (t) => {
  const clock = fakeClock({ now: 0 })
  const [one, other] = duplexPair()
  let read = ''
  other.on('data', (chunk: Buffer) => (read += chunk.toString()))
  const atTick: string[] = []
  clock.every(10, () => {
    atTick.push(read)
    one.write('b')
  })
  one.write('a')
  await clock.pass(20)
  t.same(atTick, ['a', 'ab'])
  t.equal(read, 'abb')
})

test('after a freeze the missed ticks come late, as one, and the next a whole interval after it', async (t) => {
  const { clock, seen, note } = recording()
  clock.every(10, note('every'))
  clock.after(15, note('after'))
  clock.freeze(1003)
  t.same(seen, [])
  await clock.pass(20)
  t.same(seen, [
    ['every', 1003],
    ['after', 1003],
    ['every', 1013],
    ['every', 1023],
  ])
})

test('setInterval itself does so', async (t) => {
  const ticks: number[] = []
  const start = performance.now()
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      ticks.push(performance.now() - start)
      if (ticks.length < 3) return
      clearInterval(timer)
      resolve()
    }, 20)
    while (performance.now() - start < 150);
  })
  t.ok(ticks[0]! >= 150)
  // From the start: the process may stand still between a tick and its callback, and the next then seems early.
  t.ok(ticks[2]! >= 186, 'the missed ticks are not caught up with')
})

test('after a freeze what waited in the kernel arrives behind the late tick and before nextTurn', async (t) => {
  const { clock, seen, note } = recording()
  clock.every(10, () => {
    note('tick')()
    clock.nextTurn(note('turn'))
  })
  clock.freeze(500)
  clock.arrive(note('bytes'))
  await clock.pass(0)
  t.same(seen, [
    ['tick', 500],
    ['bytes', 500],
    ['turn', 500],
  ])
})

test('a late sweep is left out, and the next one sees what arrived while the process stood still', async (t) => {
  const clock = fakeClock({ now: 0 })
  const sweep = new Sweep(clock)
  const swept: { now: number; bytes: number }[] = []
  let bytes = 0
  sweep.add({ sweep: (now) => void swept.push({ now, bytes }) })
  await clock.pass(250)
  clock.freeze(5000)
  clock.arrive(() => (bytes += 1))
  await clock.pass(0)
  t.same(swept, [{ now: 250, bytes: 0 }])
  await clock.pass(250)
  t.same(swept, [
    { now: 250, bytes: 0 },
    { now: 5500, bytes: 1 },
  ])
})

test('the wall clock jumps and the monotonic one does not', (t) => {
  const clock = fakeClock({ now: 10, wall: 5_000 })
  clock.jumpWall(-3_000)
  t.same([clock.now(), clock.wall()], [10, 2_000])
  t.end()
})

test('a fraction of a millisecond is cut off and a delay too long fires at once, as with Node timers', async (t) => {
  const { clock, seen, note } = recording()
  clock.after(31.25, note('fraction'))
  clock.after(2 ** 31, note('too long'))
  await clock.pass(31)
  t.same(seen, [
    ['too long', 1],
    ['fraction', 31],
  ])
})

test('a nextTurn that calls itself for ever is an error and not a hang', async (t) => {
  const clock = fakeClock()
  const again = () => clock.nextTurn(again)
  again()
  await t.rejects(clock.pass(1), { message: 'nextTurn calls itself for ever' })
})
