import { test } from 'tap'
import { Bucket } from '../../src/limits/bucket.ts'
import { TokenQueue, roomyBurst, TURN_MS } from '../../src/limits/token-queue.ts'
import type { Waiter } from '../../src/limits/token-queue.ts'
import { fakeClock, type FakeClock } from '../support/fake-clock.ts'

function setUp(perSec: number, burst: number) {
  const clock = fakeClock({ now: 0 })
  const bucket = new Bucket(perSec, burst, 0)
  bucket.spend(burst, 0)
  const tokenQueue = new TokenQueue(clock)
  return { clock, bucket, tokenQueue, turns: [] as string[] }
}

/** Takes `needs` in each turn and queues up again, `times` times. */
function greedy(
  name: string,
  needs: number,
  times: number,
  { clock, bucket, tokenQueue, turns }: ReturnType<typeof setUp>,
): Waiter {
  const waiter: Waiter = {
    needs,
    onTurn() {
      turns.push(name)
      bucket.spend(needs, clock.now())
      if (--times > 0) tokenQueue.wait(bucket, waiter)
      return 0
    },
  }
  tokenQueue.wait(bucket, waiter)
  return waiter
}

const armed = (clock: FakeClock): number => clock.armed.every

test('those that wait for one bucket take turns, however greedy they are', async (t) => {
  const it = setUp(100, 10)
  for (const name of ['a', 'b', 'c']) greedy(name, 10, 3, it)
  await it.clock.pass(1000)
  t.same(it.turns, ['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c'])
})

test('who queues up again waits for the next round, also where the bucket has enough', async (t) => {
  const it = setUp(100, 10)
  await it.clock.pass(1000)
  greedy('a', 1, 3, it)
  greedy('b', 1, 3, it)
  await it.clock.pass(TURN_MS)
  t.same(it.turns, ['a', 'b'])
  await it.clock.pass(TURN_MS)
  t.same(it.turns, ['a', 'b', 'a', 'b'])
})

test('a turn comes when the bucket holds what is needed, not a round earlier, and a round later at the latest', async (t) => {
  const it = setUp(100, 10)
  greedy('a', 10, 1, it)
  await it.clock.pass(99)
  t.same(it.turns, [])
  await it.clock.pass(TURN_MS)
  t.same(it.turns, ['a'])
})

test('what one will take later is not promised to another in the same round', async (t) => {
  const it = setUp(1000, 10)
  const later = (name: string): Waiter => ({ needs: 6, onTurn: () => (it.turns.push(name), 6) })
  it.tokenQueue.wait(it.bucket, later('a'))
  it.tokenQueue.wait(it.bucket, later('b'))
  await it.clock.pass(TURN_MS)
  t.same(it.turns, ['a'])
  await it.clock.pass(TURN_MS)
  t.same(it.turns, ['a', 'b'])
})

test('the timer runs only while somebody waits', async (t) => {
  const it = setUp(100, 10)
  t.equal(armed(it.clock), 0)
  greedy('a', 1, 1, it)
  const gone = greedy('b', 1, 1, it)
  t.same([armed(it.clock), it.tokenQueue.waiting], [1, 2], 'one timer for all')
  it.tokenQueue.leave(it.bucket, gone)
  await it.clock.pass(100)
  t.same([armed(it.clock), it.turns], [0, ['a']])
  const alone = greedy('c', 1, 1, it)
  it.tokenQueue.leave(it.bucket, alone)
  t.same([armed(it.clock), it.tokenQueue.waiting], [0, 0], 'nor when the last one leaves')
})

test('buckets do not wait for each other', async (t) => {
  const it = setUp(100, 10)
  const slow = new Bucket(1, 10, 0)
  slow.spend(10, 0)
  it.tokenQueue.wait(slow, { needs: 10, onTurn: () => (it.turns.push('slow'), 0) })
  greedy('a', 1, 2, it)
  await it.clock.pass(100)
  t.same(it.turns, ['a', 'a'])
  await it.clock.pass(10_000)
  t.same([it.turns.at(-1), armed(it.clock)], ['slow', 0])
})

test('a burst that would overflow between two rounds is widened, a wide one is left', (t) => {
  t.equal(roomyBurst(100, 1000, 100), 100 + 2 * TURN_MS)
  t.equal(roomyBurst(1000, 1000, 100), 1000)
  t.end()
})
