import { test } from 'tap'
import { setUp, target } from './parts.ts'
import type { Sought } from './parts.ts'

test('upstream.maxConnections is one number for all workers, and who waits in one gets what another gives back', async (t) => {
  const { clock, sweep, inWorkers } = setUp([target(1)], { maxConnections: 2 })
  const [one, other] = inWorkers(2)
  const [first] = [one!.seek(), other!.seek()]
  const waiting = other!.seek()
  t.same([waiting.places, other!.upstream.queued], [[], 1])
  first.release()
  await clock.pass(20)
  t.equal(waiting.places.length, 1)
  t.same(one!.seek().places, [], 'it is full again')
  t.same([other!.upstream.queued, sweep.size], [0, 1])
})

test('the fewest connections are counted over all workers', async (t) => {
  const { inWorkers } = setUp([target(1), target(2), target(3)])
  const [one, other] = inWorkers(2)
  t.same(one!.ports(2), ['1', '2'])
  t.same(other!.ports(1), ['3'])
  t.same(new Set(other!.ports(3)), new Set(['1', '2', '3']))
})

/** Who has just got the only place. */
const holderOf = (seekers: Sought[]): Sought | undefined =>
  seekers.find(({ connection }) => connection.place !== null)

test('who waits for a place is served in the order of coming, whichever worker each came to', async (t) => {
  const { clock, inWorkers } = setUp([target(1)], { maxConnections: 1, queueTimeoutMs: 60_000 })
  const workers = inWorkers(3)
  let holder: Sought | undefined = workers[0]!.seek()
  const came: Sought[] = []
  for (const worker of [0, 1, 2, 2, 1, 0, 0, 1]) {
    await clock.pass(60)
    came.push(workers[worker]!.seek())
  }
  t.same(
    came.map(({ places }) => places.length),
    came.map(() => 0),
  )
  const served: number[] = []
  while (holder !== undefined) {
    holder.release()
    // A place that is left to another worker is found at its next look.
    await clock.pass(20)
    holder = holderOf(came)
    if (holder !== undefined) served.push(came.indexOf(holder))
  }
  t.same(served, [0, 1, 2, 3, 4, 5, 6, 7])
  await clock.pass(20)
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 }, 'the timers end with the queues')
})

test('who came less than 50 ms later is served at once where a place comes free, and it never stands empty', async (t) => {
  const { clock, inWorkers } = setUp([target(1)], { maxConnections: 1 })
  const [here, there] = inWorkers(2)
  const holder = here!.seek()
  const earlier = there!.seek()
  await clock.pass(50)
  const later = here!.seek()
  holder.release()
  t.same([earlier.places.length, later.places.length], [0, 1])
  later.release()
  await clock.pass(20)
  t.equal(earlier.places.length, 1)
})

test('a worker whose queue is never empty does not keep the place from one that waits elsewhere', async (t) => {
  const { clock, inWorkers } = setUp([target(1)], { maxConnections: 1 })
  const [busy, other] = inWorkers(2)
  const came = [busy!.seek(), busy!.seek()]
  const waiting = other!.seek()
  for (let turn = 0; turn < 10 && waiting.places.length === 0; turn++) {
    await clock.pass(20)
    came.push(busy!.seek())
    t.same(came.at(-1)!.places, [], 'who has just come waits')
    holderOf([...came, waiting])!.release()
    await clock.pass(20)
  }
  t.equal(waiting.places.length, 1)
  t.ok(came.filter(({ places }) => places.length > 0).length <= 4, 'those who came within 50 ms')
})

test('who has just come to a worker does not overtake those who wait there for a place that came free elsewhere', async (t) => {
  const { clock, inWorkers } = setUp([target(1)], { maxConnections: 1 })
  const [one, other] = inWorkers(2)
  const holder = one!.seek()
  const waiting = other!.seek()
  holder.release()
  const late = other!.seek()
  t.same(late.places, [])
  await clock.pass(20)
  t.same([waiting.places.length, late.places.length], [1, 0])
})

for (const hasEnded of [true, false])
  test(`a worker that ${hasEnded ? 'has ended' : 'hangs'} keeps others from a place for ${hasEnded ? 'no time' : '100 ms, once'}`, async (t) => {
    const { clock, inWorkers } = setUp([target(1)], { maxConnections: 1 })
    const [one, dead] = inWorkers(2)
    const holder = one!.seek()
    // Two wait there, and nobody looks.
    dead!.cells.count('l queue').take(Infinity)
    dead!.cells.count('l queue').take(Infinity)
    dead!.cells.heads('l queue').set(clock.now())
    await clock.pass(60)
    const waiting = [one!.seek(), one!.seek()]
    if (hasEnded) t.ok(dead!.end())
    holder.release()
    if (!hasEnded) {
      await clock.pass(80)
      t.equal(waiting[0]!.places.length, 0)
      await clock.pass(40)
    }
    t.equal(waiting[0]!.places.length, 1)
    waiting[0]!.release()
    t.equal(waiting[1]!.places.length, 1)
  })
