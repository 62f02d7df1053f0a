import { test } from 'tap'
import { IdleEnds, MEMORY_MS, STRAYS_MS } from '../../src/upstream/idle-ends.ts'

const NEVER = Number.POSITIVE_INFINITY

test('the shortest idle time counts, for a minute; each address has its own', (t) => {
  const ends = new IdleEnds()
  const one = ends.of('a:1', 0)
  t.equal(one.afterMs(0), NEVER)
  one.learn(5000, 0)
  one.learn(2000, 10)
  one.learn(9000, 20)
  t.equal(ends.of('a:1', 30).afterMs(30), 2000)
  t.equal(ends.of('b:1', 30).afterMs(30), NEVER)
  t.equal(one.afterMs(10 + MEMORY_MS - 1), 2000)
  t.equal(one.afterMs(10 + MEMORY_MS), NEVER)
  one.learn(9000, 10 + MEMORY_MS)
  t.equal(one.afterMs(10 + MEMORY_MS), 9000, 'a longer one counts once the shorter is forgotten')
  t.end()
})

test('addresses that come and go are forgotten, and none that has taught something lately', (t) => {
  const ends = new IdleEnds()
  const taught = ends.of('taught', 0)
  taught.learn(100, 0)
  const quiet = ends.of('quiet', 0)
  for (let nth = 0; nth < 2000; nth++) ends.of(`address ${nth}`, 1)
  t.equal(ends.of('taught', 1), taught)
  t.not(ends.of('quiet', 1), quiet)
  t.end()
})

test('a service that has sent bytes unasked is known for ten minutes, also where its idle ends are forgotten', (t) => {
  const ends = new IdleEnds()
  const one = ends.of('a:1', 0)
  t.equal(one.hasStrays(0), false)
  one.stray(0)
  for (let nth = 0; nth < 2000; nth++) ends.of(`address ${nth}`, MEMORY_MS)
  t.equal(ends.of('a:1', MEMORY_MS), one)
  t.same([one.hasStrays(STRAYS_MS - 1), one.afterMs(MEMORY_MS)], [true, NEVER])
  t.same([one.hasStrays(STRAYS_MS), one.isForgotten(STRAYS_MS)], [false, true])
  t.end()
})
