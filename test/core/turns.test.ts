import { test } from 'tap'
import { Share, SHARE, Turns, turnsOf, type Worker } from '../../src/core/turns.ts'
import { fakeClock } from '../support/fake-clock.ts'

/** One who spends all of its share whenever it has one, and waits again. */
function greedy(turns: Turns, order: string[], name: string, rounds = Infinity): Worker {
  const worker: Worker = {
    onShare() {
      order.push(name)
      share.spend(SHARE)
      if (--rounds > 0) share.wait()
    },
  }
  const share = new Share(turns, worker)
  return worker
}

test('those that wait have their turns in the order in which they came, and again behind all others', async (t) => {
  const clock = fakeClock()
  const turns = new Turns(clock)
  const order: string[] = []
  for (const name of ['a', 'b', 'c']) turns.wait(greedy(turns, order, name, 2))
  t.same(order, [], 'not in the turn in which they came')
  await clock.pass(0)
  t.same(order, ['a', 'b', 'c', 'a', 'b', 'c'])
  t.equal(clock.armed.nextTurn, 0, 'and no turn is asked for any more')
})

test('a turn gives its share to four that use it up, however many wait', async (t) => {
  const clock = fakeClock()
  const turns = new Turns(clock)
  const order: string[] = []
  const perTurn: number[] = []
  for (let i = 0; i < 10; i++) turns.wait(greedy(turns, order, String(i), 1))
  const count = (): void => {
    perTurn.push(order.length)
    if (order.length < 10) clock.nextTurn(count)
  }
  clock.nextTurn(count)
  await clock.pass(0)
  t.same(perTurn, [4, 8, 10])
})

test('those that tell of no work are presumed to do some: a turn wakes sixteen', async (t) => {
  const clock = fakeClock()
  const turns = new Turns(clock)
  let woken = 0
  for (let i = 0; i < 40; i++) turns.wait({ onShare: () => void woken++ })
  const perTurn: number[] = []
  const count = (): void => {
    perTurn.push(woken)
    if (woken < 40) clock.nextTurn(count)
  }
  clock.nextTurn(count)
  await clock.pass(0)
  t.same(perTurn, [16, 32, 40])
})

test('a share is as large as before in the next turn, and who does little asks for no turn at all', async (t) => {
  const clock = fakeClock()
  const share = new Share(new Turns(clock), { onShare() {} })
  share.spend(1000)
  t.equal(clock.armed.nextTurn, 0)
  share.spend(SHARE)
  t.equal(share.left, 0)
  t.equal(clock.armed.nextTurn, 1)
  await clock.pass(0)
  t.equal(share.left, SHARE)
})

test('where a turn is used up, who had much to do waits to begin, and who had little does not', async (t) => {
  const clock = fakeClock()
  const turns = new Turns(clock)
  const [busy, calm] = [new Share(turns, { onShare() {} }), new Share(turns, { onShare() {} })]
  calm.spend(1000)
  for (let i = 0; i < 4; i++) {
    t.equal(busy.mayBegin, true)
    busy.spend(SHARE)
  }
  t.same([busy.mayBegin, calm.mayBegin], [false, true])
  await clock.pass(0)
  t.equal(busy.mayBegin, true)
})

test('who leaves has no turn', async (t) => {
  const clock = fakeClock()
  const turns = new Turns(clock)
  const share = new Share(turns, { onShare: () => t.fail('it left') })
  share.wait()
  share.leave()
  await clock.pass(0)
  t.equal(turns.waiting, 0)
})

test('all that belongs to one clock has the same turns', (t) => {
  const clock = fakeClock()
  t.equal(turnsOf(clock), turnsOf(clock))
  t.not(turnsOf(clock), turnsOf(fakeClock()))
  t.end()
})
