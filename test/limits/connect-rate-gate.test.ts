import { test } from 'tap'
import { localCells } from '../../src/limits/cells.ts'
import { ConnectRateGate, type ConnectRateOptions } from '../../src/limits/connect-rate-gate.ts'
import { fixed } from '../../src/core/live.ts'
import { Sweep } from '../../src/core/clock.ts'
import { TokenQueue, TURN_MS } from '../../src/limits/token-queue.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { AskedBucket } from './asked-bucket.ts'

function setUp(options: Partial<ConnectRateOptions> = {}, bucket?: AskedBucket) {
  const clock = fakeClock({ now: 0 })
  const [sweep, tokenQueue] = [new Sweep(clock), new TokenQueue(clock)]
  const acts: string[] = []
  const seen: string[] = []
  const holds: string[] = []
  const newcomers = new ConnectRateGate(
    {
      perSec: 10,
      burst: 2,
      onExceed: 'delay',
      isEnforced: true,
      deadlines: fixed({ handshakeMs: 10_000 }),
      report: (action, isEnforced) => void acts.push(`${action} ${isEnforced}`),
      ...options,
    },
    { clock, sweep, tokenQueue, ...(bucket && { cells: { ...localCells, bucket: () => bucket } }) },
  )
  const come = (name: string): void =>
    newcomers.admit({
      hold: () => void holds.push(name),
      serve: () => void seen.push(name),
      refuse: (why) => void seen.push(why === null ? `not ${name}` : `not ${name}: ${why}`),
    })
  return { clock, sweep, tokenQueue, newcomers, acts, seen, holds, come }
}

test('the burst is served at once, the rest waits for its tokens, in order', async (t) => {
  const { clock, come, seen, holds, newcomers, acts } = setUp()
  for (const name of ['a', 'b', 'c', 'd']) come(name)
  t.same(holds, ['c', 'd'])
  t.same([seen, newcomers.waiting, acts], [['a', 'b'], 2, ['delay true', 'delay true']])
  await clock.pass(99)
  t.same(seen, ['a', 'b'], 'a millisecond before the token')
  await clock.pass(1 + TURN_MS)
  t.same(seen, ['a', 'b', 'c'])
  await clock.pass(99 - TURN_MS)
  clock.freeze(5)
  come('e')
  t.same(seen, ['a', 'b', 'c'], 'nobody overtakes, though the token of the next is there')
  await clock.pass(200)
  t.same(seen, ['a', 'b', 'c', 'd', 'e'])
  t.same(clock.armed.every, 0)
})

test('who has waited for as long as may be is refused with rate_limited, a little earlier it was not', async (t) => {
  const { clock, come, seen, newcomers } = setUp({
    burst: 1,
    perSec: 1,
    deadlines: fixed({ handshakeMs: 500 }),
  })
  come('a')
  come('b')
  await clock.pass(499)
  t.same(seen, ['a'])
  await clock.pass(500)
  t.same([seen, newcomers.waiting, clock.armed.every], [['a', 'not b'], 0, 0])
  await clock.pass(2000)
  t.same(seen, ['a', 'not b'], 'once')
})

test('where the action is close, nobody waits', (t) => {
  const { come, seen, acts } = setUp({ onExceed: 'close' })
  for (const name of ['a', 'b', 'c']) come(name)
  t.same([seen, acts], [['a', 'b', 'not c'], ['close true']])
  t.end()
})

test('where it is only observed, all are served and counted', (t) => {
  const { come, seen, acts } = setUp({ isEnforced: false })
  for (const name of ['a', 'b', 'c']) come(name)
  t.same([seen, acts], [['a', 'b', 'c'], ['delay false']])
  t.end()
})

test('when the listener closes, those that wait are refused', async (t) => {
  const { clock, come, seen, newcomers } = setUp()
  for (const name of ['a', 'b', 'c', 'd']) come(name)
  newcomers.close()
  t.same([seen.slice(2), newcomers.waiting], [['not c', 'not d'], 0])
  await clock.pass(1000)
  t.same([seen.length, clock.armed.every], [4, 0])
})

test('where the action is close nobody is refused before it is known that there are no tokens', async (t) => {
  for (const tokens of [0, 1, 5]) {
    const bucket = new AskedBucket(0.001, 2, 0)
    const { clock, come, seen, newcomers, acts } = setUp({ onExceed: 'close' }, bucket)
    for (const name of ['a', 'b', 'c', 'd']) come(name)
    await clock.pass(10 * TURN_MS)
    t.same([seen, newcomers.waiting, acts], [['a', 'b'], 2, []], 'as long as nobody knows')
    bucket.answer(tokens, clock.now())
    await clock.pass(2 * TURN_MS)
    const rest = ['c', 'd'].map((name, nth) => (nth < tokens ? name : `not ${name}`))
    t.same([seen, newcomers.waiting, clock.armed.every], [['a', 'b', ...rest], 0, 0])
    t.equal(acts.length, Math.max(0, 2 - tokens), 'and only those that were refused are counted')
  }
})

test('an answer that brings tokens for some, and not the word that there are no more, refuses nobody', async (t) => {
  const bucket = new AskedBucket(0.001, 2, 0)
  const { clock, come, seen, newcomers, acts } = setUp({ onExceed: 'close' }, bucket)
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) come(name)
  bucket.answer(1, clock.now())
  // The next that is wanting is a further question.
  bucket.isAnswered = false
  await clock.pass(5 * TURN_MS)
  t.same([seen, newcomers.waiting, acts], [['a', 'b', 'c'], 3, []])
  bucket.answer(2, clock.now())
  await clock.pass(2 * TURN_MS)
  t.same([seen.slice(3), newcomers.waiting, acts], [['d', 'e', 'not f'], 0, ['close true']], 'in their order')
})

test('when the listener closes, those that wait for an answer get it, unless all are refused', async (t) => {
  for (const isRefused of [false, true]) {
    const bucket = new AskedBucket(0.001, 2, 0)
    const { clock, come, seen, newcomers } = setUp({ onExceed: 'close' }, bucket)
    for (const name of ['a', 'b', 'c']) come(name)
    newcomers.close()
    t.equal(newcomers.waiting, 1)
    if (isRefused) newcomers.refuseAll('drain')
    bucket.answer(1, clock.now())
    await clock.pass(2 * TURN_MS)
    t.same([seen[2], newcomers.waiting], [isRefused ? 'not c: drain' : 'c', 0])
  }
})

test('what is only observed waits for no answer, and is counted by what comes after it', (t) => {
  const bucket = new AskedBucket(0.001, 1, 0)
  const { come, seen, newcomers, acts } = setUp({ onExceed: 'close', isEnforced: false }, bucket)
  come('a')
  come('b')
  t.same([seen, newcomers.waiting, acts], [['a', 'b'], 0, []])
  bucket.answer(1, 0)
  come('c')
  t.same([seen, acts], [['a', 'b', 'c'], ['close false']], 'the answer has paid for b')
  t.end()
})
