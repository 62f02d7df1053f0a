// The findings of one thread about an address hold for all: health checks, which one thread makes, and dials
// that fail.

import { test } from 'tap'
import type { Test } from 'tap'
import { Findings } from '../../src/upstream/findings.ts'
import type { Finding } from '../../src/upstream/finding.ts'
import { eventually } from '../support/eventually.ts'
import { watchLeaks } from '../support/leaks.ts'
import { echo } from '../support/peers.ts'
import { setUp, target } from './parts.ts'

const INTERVAL_MS = 10_000
const AVOID_MS = 10_000
const healthCheck = {
  type: 'tcp' as const,
  path: '/',
  host: null,
  headers: {},
  status: [],
  intervalMs: INTERVAL_MS,
  timeoutMs: 2000,
  healthy: 2,
  unhealthy: 2,
}

async function checkedByThree(t: Test) {
  watchLeaks(t)
  const service = await echo(t)
  const parts = setUp([target(service.port, '127.0.0.1')], { healthCheck })
  const workers = parts.inWorkers(3)
  for (const { upstream } of workers) upstream.start()
  t.teardown(() => {
    for (const { upstream } of workers) upstream.stop()
  })
  /** A round of checks, which is one check. */
  const round = async (ms = INTERVAL_MS): Promise<void> => {
    const before = parts.checked.length
    await parts.clock.pass(ms)
    await eventually(() => parts.checked.length > before, { what: 'a check' })
  }
  const states = () => workers.map(({ upstream }) => upstream.view.targets[0]!.state)
  return { ...parts, service, workers, round, states }
}

test('an address is checked by one of the workers, and all hold to what it finds', async (t) => {
  const { round, states, checked, service, told } = await checkedByThree(t)
  await round(500)
  t.same(states(), ['healthy', 'healthy', 'healthy'])
  for (let nth = 0; nth < 4; nth++) await round()
  t.same([checked.length, service.connections.length], [5, 5], 'one check in a round')
  service.stopAccepting()
  await round()
  t.same(states(), ['healthy', 'healthy', 'healthy'])
  await round()
  t.same(states(), ['unhealthy', 'unhealthy', 'unhealthy'])
  t.equal(told.length, 3, 'each is told so that it ends its own connections')
  t.equal(checked.length, 7)
})

test('when the one that checks goes, or its thread ends, another goes on within an interval, from what was found', async (t) => {
  const { round, states, service, workers, checked, clock } = await checkedByThree(t)
  service.stopAccepting()
  await round(500)
  await round()
  t.same(states(), ['unhealthy', 'unhealthy', 'unhealthy'])
  const [first, second, third] = workers
  first!.upstream.stop()
  t.ok(first!.end())
  await round()
  t.same([states()[1], states()[2], checked.length], ['unhealthy', 'unhealthy', 3])
  const next = first!.again()
  t.teardown(() => next.upstream.stop())
  next.upstream.start()
  t.equal(next.upstream.view.targets[0]!.state, 'unhealthy', 'the one in its place begins with that')
  second!.upstream.stop()
  third!.upstream.stop()
  await round()
  t.equal(next.upstream.view.targets[0]!.state, 'unhealthy')
  next.upstream.stop()
  await clock.pass(5 * INTERVAL_MS)
  t.equal(checked.length, 4, 'nobody is left')
})

test('what was found long ago holds no more', async (t) => {
  const { round, workers, service, clock } = await checkedByThree(t)
  service.stopAccepting()
  await round(500)
  await round()
  for (const { upstream } of workers) upstream.stop()
  await clock.pass(2 * INTERVAL_MS + 4001)
  const next = workers[0]!.again()
  next.upstream.start()
  t.teardown(() => next.upstream.stop())
  t.equal(next.upstream.view.targets[0]!.state, 'unknown')
})

test('an address whose dial failed in one worker is avoided by all, and by none once a dial stood', async (t) => {
  watchLeaks(t)
  const service = await echo(t)
  const { inWorkers, clock } = setUp([target(service.port, '127.0.0.1'), target(2)])
  const [one, other] = inWorkers(2)
  const failing = one!.seek()
  t.match(failing.places, [{ name: `127.0.0.1:${service.port}` }])
  failing.fail()
  failing.search.succeed()
  t.same(other!.ports(4), ['2', '2', '2', '2'])
  t.match(other!.upstream.view.targets[0], { lastFailure: { problem: 'ECONNREFUSED' } })
  const joined = other!.again()
  t.same(joined.ports(2), ['2', '2'], 'and by one that has just come')
  await clock.pass(AVOID_MS)
  t.same([...other!.ports(1), ...one!.ports(2)], ['2', '2', '2'], 'then one looks')
  await eventually(() => !other!.upstream.targets[0]!.isAvoided)
  t.equal(service.connections.length, 1, 'and no other worker does')
  const all = new Set([...one!.ports(2), ...joined.ports(2)])
  t.same(all, new Set([`${service.port}`]), 'it stands: all come back')
})

test('a storm of dials that fail is told once in a second', async (t) => {
  const { inWorkers, clock, passedOn } = setUp([target(1)])
  const [one, other] = inWorkers(2)
  for (let nth = 0; nth < 100; nth++) {
    const seeker = one!.seek()
    seeker.fail()
    seeker.search.cancel()
    await clock.pass(10)
  }
  t.equal(passedOn.length, 1)
  const [seeker] = [one!.seek()]
  seeker.fail()
  seeker.search.cancel()
  t.equal(passedOn.length, 2)
  await clock.pass(9999)
  t.notOk(other!.upstream.targets[0]!.isDue(clock.now()))
  await clock.pass(1)
  t.ok(other!.upstream.targets[0]!.isDue(clock.now()))
})

test('findings are remembered by key, the latest of each, of a bounded number of keys', (t) => {
  const findings = new Findings()
  const heard: Finding[] = []
  const of = (key: string, at = 0): Finding => ({ kind: 'dial', key, failure: null, at })
  const stop = findings.follow('0', (finding) => heard.push(finding))
  for (let nth = 0; nth < 4096; nth++) findings.learn(of(String(nth)))
  findings.learn(of('0', 1))
  findings.learn(of('more'))
  t.equal(findings.all.length, 4096)
  t.same([findings.known('0'), findings.known('1')], [of('0', 1), null])
  stop()
  findings.learn(of('0', 2))
  t.equal(heard.length, 2)
  t.end()
})
