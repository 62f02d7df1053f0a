import { test } from 'tap'
import { Share, SHARE, Turns, turnsOf, type Worker } from '../../src/core/turns.ts'
import { fakeClock } from '../support/fake-clock.ts'

/** A worker that spends all of its share whenever it has one, and waits again. */
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

test('who has waited is held to spend what it spent before: a turn wakes fewer of those that do much', async (t) => {
  const clock = fakeClock()
  const turns = new Turns(clock)
  let woken = 0
  for (let i = 0; i < 12; i++) {
    const share = new Share(turns, { onShare: () => void woken++ })
    share.spend(i < 8 ? 2 * SHARE : 100 * SHARE)
    share.wait()
  }
  const perTurn: number[] = []
  const count = (): void => {
    perTurn.push(woken)
    if (woken < 12) clock.nextTurn(count)
  }
  clock.nextTurn(count)
  await clock.pass(0)
  t.same(perTurn, [2, 4, 6, 8, 9, 10, 11, 12], 'two, and then one by one those that do more than a turn')
})

test('where all together have had much, one who has had much has nothing left, and one who has had little has all', async (t) => {
  const clock = fakeClock()
  const turns = new Turns(clock)
  const share = (): Share => new Share(turns, { onShare() {} })
  const many = Array.from({ length: 15 }, share)
  const [last, calm] = [share(), share()]
  for (const one of many) one.spend(SHARE)
  calm.spend(1000)
  last.spend(SHARE - 1)
  t.equal(last.left, 1, 'a byte less than 4 MiB')
  last.spend(1)
  t.same([last.left, calm.left], [0, SHARE - 1000])
  await clock.pass(0)
  t.equal(last.left, SHARE)
})

test('so with less where many wait', (t) => {
  const turns = new Turns(fakeClock())
  const share = (): Share => new Share(turns, { onShare() {} })
  const busy = Array.from({ length: 4 }, share)
  for (const one of busy) one.spend(SHARE - 1)
  busy[0]!.spend(1)
  for (let nth = 0; nth < 64; nth++) share().wait()
  t.equal(busy[1]!.left, 1, '64 wait')
  share().wait()
  t.equal(busy[1]!.left, 1, 'more than 64, and three bytes less than 1 MiB')
  for (const one of busy.slice(2)) one.spend(1)
  t.equal(busy[1]!.left, 1)
  share().spend(SHARE)
  t.equal(busy[1]!.left, 0)
  t.end()
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
