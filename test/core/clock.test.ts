import { test } from 'tap'
import { Sweep, SWEEP_MS, Sweeps, systemClock } from '../../src/core/clock.ts'
import type { Swept } from '../../src/core/clock.ts'
import { fakeClock } from '../support/fake-clock.ts'

function setUp(shortestMs?: number) {
  const clock = fakeClock({ now: 0 })
  const sweep = new Sweep(clock, shortestMs)
  return { clock, sweep }
}

/** Records the times of its sweeps. */
function swept(run: (now: number) => void = () => {}): Swept & { at: number[] } {
  const at: number[] = []
  return { at, sweep: (now) => (at.push(now), run(now)) }
}

test('an item is swept four times a second from when it was added', async (t) => {
  const { clock, sweep } = setUp()
  await clock.pass(100)
  const item = swept()
  sweep.add(item)
  await clock.pass(1000)
  t.same(item.at, [350, 600, 850, 1100])
  t.equal(SWEEP_MS, 250)
})

test('short deadlines are swept at an eighth of the shortest, never more often than every 5 ms nor less than every 250', async (t) => {
  for (const [shortestMs, everyMs] of [
    [800, 100],
    [10, 5],
    [1, 5],
    [3_600_000, 250],
    [Infinity, 250],
  ] as const) {
    const { clock, sweep } = setUp(shortestMs)
    const item = swept()
    sweep.add(item)
    await clock.pass(2 * everyMs)
    t.same(item.at, [everyMs, 2 * everyMs], `${shortestMs} ms`)
  }
})

test('there is a timer while there are items, and none before the first or after the last', async (t) => {
  const { clock, sweep } = setUp()
  const [one, other] = [swept(), swept()]
  t.equal(clock.armed.every, 0)
  sweep.add(one)
  sweep.add(other)
  sweep.add(other)
  t.same([clock.armed.every, sweep.size], [1, 2])
  sweep.delete(one)
  t.equal(clock.armed.every, 1)
  sweep.delete(other)
  sweep.delete(other)
  t.same([clock.armed.every, sweep.size], [0, 0])
  await clock.pass(1000)
  t.same(one.at.concat(other.at), [])
  sweep.add(one)
  await clock.pass(250)
  t.same(one.at, [1250])
})

test('an item that was deleted during a sweep is not swept any more, and its neighbours are', async (t) => {
  const { clock, sweep } = setUp()
  const victim = swept()
  const first = swept(() => sweep.delete(victim))
  const last = swept()
  for (const item of [first, victim, last]) sweep.add(item)
  await clock.pass(500)
  t.same([first.at, victim.at, last.at], [[250, 500], [], [250, 500]])
})

test('an item that deletes itself as the last one stops the timer', async (t) => {
  const { clock, sweep } = setUp()
  const item: Swept & { at: number[] } = swept(() => sweep.delete(item))
  sweep.add(item)
  await clock.pass(1000)
  t.same(item.at, [250])
  t.equal(clock.armed.every, 0)
})

test('an item that was added during a sweep is swept', async (t) => {
  const { clock, sweep } = setUp()
  const late = swept()
  sweep.add(swept(() => sweep.add(late)))
  await clock.pass(500)
  t.ok(late.at.includes(500))
  t.equal(new Set(late.at).size, late.at.length, 'at most once in each')
})

test('an item replaced by a new one in each sweep does not make the sweep endless', async (t) => {
  const { clock, sweep } = setUp()
  let made = 0
  const add = (): void => {
    if (++made > 100) throw new Error('endless')
    const item: Swept = {
      sweep() {
        sweep.delete(item)
        add()
      },
    }
    sweep.add(item)
  }
  add()
  await clock.pass(1000)
  t.equal(made, 5)
})

test('a sweep that is late by less than a whole one is made at once', async (t) => {
  const { clock, sweep } = setUp()
  const item = swept()
  sweep.add(item)
  await clock.pass(250)
  clock.freeze(499)
  await clock.pass(0)
  t.same(item.at, [250, 749])
})

test('a sweep that is later than that is left out: until the next one the kernel gives what it kept, and a round trip is made', async (t) => {
  const { clock, sweep } = setUp()
  let bytes = 0
  const seen: { now: number; bytes: number }[] = []
  sweep.add({ sweep: (now) => void seen.push({ now, bytes }) })
  await clock.pass(250)
  clock.freeze(501)
  // The gate reads now what a client sent meanwhile; the answer of its upstream comes two turns later.
  clock.arrive(() => clock.nextTurn(() => clock.arrive(() => (bytes += 1))))
  await clock.pass(249)
  t.same(seen, [{ now: 250, bytes: 0 }], 'not judged yet')
  await clock.pass(1)
  t.same(seen, [
    { now: 250, bytes: 0 },
    { now: 1001, bytes: 1 },
  ])
})

test('after a sweep that was left out the next ones are in time again', async (t) => {
  const { clock, sweep } = setUp()
  const item = swept()
  sweep.add(item)
  clock.freeze(10_000)
  await clock.pass(500)
  t.same(item.at, [10_250, 10_500])
  t.equal(clock.armed.nextTurn, 0)
})

test('in a process that stumbles all the time every second sweep is made, a turn later', async (t) => {
  const { clock, sweep } = setUp()
  let bytes = 0
  const seen: { now: number; bytes: number }[] = []
  sweep.add({ sweep: (now) => void seen.push({ now, bytes }) })
  for (let round = 1; round <= 4; round += 1) {
    clock.freeze(1000)
    clock.arrive(() => (bytes += 1))
    await clock.pass(0)
  }
  t.same(seen, [
    { now: 2000, bytes: 2 },
    { now: 4000, bytes: 4 },
  ])
})

test('a shorter deadline makes the sweeps of live items finer, a longer one coarser', async (t) => {
  const { clock, sweep } = setUp(1600)
  const item = swept()
  sweep.add(item)
  sweep.retune(1600)
  await clock.pass(200)
  sweep.retune(80)
  await clock.pass(30)
  t.same(item.at, [200, 210, 220, 230])
  t.equal(clock.armed.every, 1)
  sweep.retune(Infinity)
  await clock.pass(500)
  t.same(item.at.slice(4), [480, 730])
  sweep.delete(item)
  sweep.retune(80)
  t.equal(clock.armed.every, 0, 'no timer without items')
})

test('a gap without items is not lateness', async (t) => {
  const { clock, sweep } = setUp()
  const one = swept()
  sweep.add(one)
  sweep.delete(one)
  clock.freeze(10_000)
  const order: string[] = []
  sweep.add({ sweep: () => void order.push('sweep') })
  clock.every(250, () => order.push('tick'))
  await clock.pass(250)
  t.same(order, ['sweep', 'tick'], 'at once, and not a turn later')
})

test('items that are gone before a sweep that is late again is made are not swept', async (t) => {
  const { clock, sweep } = setUp()
  const item = swept()
  sweep.add(item)
  clock.freeze(10_000)
  await clock.pass(0)
  clock.freeze(10_000)
  clock.arrive(() => sweep.delete(item))
  await clock.pass(500)
  t.same(item.at, [])
  t.equal(clock.armed.every, 0)
})

test('the system clock does not jump, and counts whole milliseconds', (t) => {
  const before = systemClock.now()
  t.ok(Number.isInteger(before))
  t.ok(systemClock.now() >= before)
  t.ok(Math.abs(systemClock.wall() - Date.now()) < 1000)
  t.end()
})

test('timers of the system clock run, stop when told, and a repeated one does not keep the process alive', async (t) => {
  const order: string[] = []
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const before = timers()
  const stopEvery = systemClock.every(1, () => order.push('every'))
  t.equal(timers(), before, 'unref')
  systemClock.after(1, () => order.push('never'))()
  await new Promise<void>((resolve) => void systemClock.after(20, resolve))
  stopEvery()
  t.ok(order.length > 0 && order.every((what) => what === 'every'))
  const ran = order.length
  await new Promise<void>((resolve) => void systemClock.after(10, resolve))
  t.equal(order.length, ran)
  await new Promise<void>((resolve) => systemClock.nextTurn(resolve))
})

test('an item whose sweep throws is told so, and the others are swept all the same', async (t) => {
  const { clock, sweep } = setUp()
  const told: unknown[] = []
  const error = new TypeError('undefined is not a function')
  const broken: Swept = {
    sweep: () => {
      throw error
    },
    onBroken(thrown) {
      told.push(thrown)
      sweep.delete(broken)
    },
  }
  const [before, after] = [swept(), swept()]
  for (const item of [before, broken, after]) sweep.add(item)
  await clock.pass(500)
  t.same(
    [before.at, after.at],
    [
      [250, 500],
      [250, 500],
    ],
  )
  t.same(told, [error])
})

test('an error that no item answers for ends the process, once the others were swept', async (t) => {
  const { clock, sweep } = setUp()
  const error = new TypeError('undefined is not a function')
  const after = swept()
  sweep.add({
    sweep: () => {
      throw error
    },
  })
  sweep.add(after)
  await t.rejects(clock.pass(250), error)
  await clock.pass(250)
  t.same(after.at, [250, 500], 'and it is swept no more')
})

test('a sweep for each name: the short deadlines of one are no reason to look at another as often', async (t) => {
  const clock = fakeClock({ now: 0 })
  const sweeps = new Sweeps(clock)
  const [fast, slow] = [swept(), swept()]
  sweeps.of('fast', 80).add(fast)
  sweeps.of('slow', Infinity).add(slow)
  await clock.pass(500)
  t.same([fast.at.length, slow.at.length], [50, 2])
  t.equal(sweeps.of('slow', 80), sweeps.of('slow', Infinity), 'whoever asks again gets the same, as it is')
  sweeps.of('slow', 80).retune(800)
  await clock.pass(500)
  t.same([fast.at.length, slow.at.length], [100, 7])
})

test('a timer never comes before its time, however long the turn that armed it had lasted', async (t) => {
  await new Promise((resolve) => setTimeout(resolve, 1))
  const from = systemClock.now()
  while (systemClock.now() < from + 50);
  for (const ms of [0.4, 7.9, 20]) {
    const armedAt = systemClock.now()
    await new Promise<void>((resolve) => void systemClock.after(ms, resolve))
    t.ok(systemClock.now() - armedAt >= ms, `${ms} ms`)
    while (systemClock.now() < armedAt + 60);
  }
})

test('a timer of more than 24 days waits, and can be called off', async (t) => {
  let ran = false
  const cancel = systemClock.after(2 ** 40, () => (ran = true))
  await new Promise<void>((resolve) => void systemClock.after(5, resolve))
  cancel()
  t.notOk(ran)
})
