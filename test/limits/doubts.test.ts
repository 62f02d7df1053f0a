import { test } from 'tap'
import { Doubts, LOOK_MS } from '../../src/limits/doubts.ts'
import { fakeClock } from '../support/fake-clock.ts'

test('who is in doubt is told once it is over, in order, and then no timer runs', async (t) => {
  const clock = fakeClock({ now: 0 })
  const doubts = new Doubts(clock)
  const seen: string[] = []
  let isOpen = true
  doubts.wait(
    () => isOpen,
    () => void seen.push('a'),
  )
  doubts.wait(
    () => isOpen,
    () => void seen.push('b'),
  )
  await clock.pass(10 * LOOK_MS)
  t.same([seen, doubts.waiting], [[], 2], 'as long as nobody knows')
  isOpen = false
  await clock.pass(LOOK_MS)
  t.same([seen, doubts.waiting, clock.armed.every], [['a', 'b'], 0, 0])
})

test('who leaves is told nothing, also where another of the same turn makes it leave', async (t) => {
  const clock = fakeClock({ now: 0 })
  const doubts = new Doubts(clock)
  const seen: string[] = []
  const leaves: Array<() => void> = []
  doubts.wait(
    () => false,
    () => (seen.push('a'), leaves[0]!()),
  )
  leaves.push(
    doubts.wait(
      () => false,
      () => void seen.push('b'),
    ),
  )
  const left = doubts.wait(
    () => false,
    () => void seen.push('c'),
  )
  left()
  left()
  await clock.pass(LOOK_MS)
  t.same([seen, doubts.waiting, clock.armed.every], [['a'], 0, 0])
  doubts.wait(
    () => false,
    () => void seen.push('d'),
  )
  await clock.pass(LOOK_MS)
  t.same(seen, ['a', 'd'], 'the timer runs again for who comes later')
})

test('who is told may wait once more', async (t) => {
  const clock = fakeClock({ now: 0 })
  const doubts = new Doubts(clock)
  let told = 0
  const again = (): void => {
    if (++told < 3) doubts.wait(() => false, again)
  }
  doubts.wait(() => false, again)
  await clock.pass(LOOK_MS)
  t.equal(told, 1, 'not in the same turn')
  await clock.pass(5 * LOOK_MS)
  t.same([told, clock.armed.every], [3, 0])
})
