import { test } from 'tap'
import { Findings } from '../../src/upstream/findings.ts'
import type { Finding } from '../../src/upstream/finding.ts'
import { IdleEnds, MEMORY_MS, STRAYS_MS } from '../../src/upstream/idle-ends.ts'
import { fakeClock } from '../support/fake-clock.ts'

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

test('strays that one thread has seen are known in all, now and in a thread that joins, and reported once a minute', async (t) => {
  const clock = fakeClock()
  const told: Finding[] = []
  const findings = new Findings((finding) => told.push(finding))
  const one = new IdleEnds({ findings, clock }).of('a:1', clock.now())
  const elsewhere = new Findings()
  const other = new IdleEnds({ findings: elsewhere, clock })
  const [same, foreign] = [other.of('a:1', clock.now()), other.of('b:1', clock.now())]
  for (let nth = 0; nth < 3; nth++) one.stray(clock.now())
  t.equal(told.length, 1)
  elsewhere.learn(told[0]!)
  t.same([same.hasStrays(clock.now()), foreign.hasStrays(clock.now())], [true, false])
  await clock.pass(STRAYS_MS / 10)
  one.stray(clock.now())
  t.equal(told.length, 2)
  const joined = new IdleEnds({ findings: elsewhere, clock }).of('a:1', clock.now())
  t.equal(joined.hasStrays(clock.now()), true)
  await clock.pass(STRAYS_MS - STRAYS_MS / 10)
  t.same(
    [same.hasStrays(clock.now()), joined.hasStrays(clock.now())],
    [false, false],
    'from when they were seen',
  )
})

test('what another thread has seen is not reported to it again', (t) => {
  const clock = fakeClock()
  const told: Finding[] = []
  const findings = new Findings((finding) => told.push(finding))
  const one = new IdleEnds({ findings, clock }).of('a:1', clock.now())
  findings.learn({ kind: 'stray', key: 'strays a:1', at: clock.wall() })
  one.stray(clock.now())
  t.same(told, [])
  t.end()
})

test('addresses that are forgotten follow nobody', (t) => {
  const clock = fakeClock()
  const findings = new Findings()
  const ends = new IdleEnds({ findings, clock })
  const quiet = ends.of('quiet', clock.now())
  for (let nth = 0; nth < 2000; nth++) ends.of(`address ${nth}`, clock.now())
  findings.learn({ kind: 'stray', key: 'strays quiet', at: clock.wall() })
  t.equal(quiet.hasStrays(clock.now()), false)
  t.end()
})
