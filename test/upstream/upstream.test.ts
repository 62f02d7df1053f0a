import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { watchLeaks } from '../support/leaks.ts'
import { echo, refuser } from '../support/peers.ts'
import { setUp, target } from './parts.ts'

test('leastConnections: the address with the fewest open connections, and in turn among equals', async (t) => {
  const { ports, seek, open } = setUp([target(1), target(2), target(3)])
  const first = seek()
  t.same(ports(5), ['2', '3', '1', '2', '3'])
  t.same(open(), { '10.0.0.1:1': 2, '10.0.0.1:2': 2, '10.0.0.1:3': 2 })
  first.release()
  t.same(ports(1), ['1'])
})

test('roundRobin: one after the other, whatever is open there', async (t) => {
  const { ports, seek } = setUp([target(1), target(2)], { balance: 'roundRobin' })
  seek().release()
  seek().release()
  t.same(ports(4), ['1', '2', '1', '2'])
})

test('a place is given back once', async (t) => {
  const { seek, open } = setUp([target(1)])
  const one = seek()
  seek()
  one.release()
  one.release()
  t.same(open(), { '10.0.0.1:1': 1 })
})

test('an address that could not be dialled is looked at after 10 s, and avoided until a look finds it well', async (t) => {
  watchLeaks(t)
  const service = await echo(t)
  const { clock, ports, seek, upstream } = setUp([target(service.port, '127.0.0.1'), target(2)])
  const first = seek()
  first.fail()
  t.same(
    first.places.map(({ name }) => name),
    [`127.0.0.1:${service.port}`, '10.0.0.1:2'],
  )
  t.match(upstream.view.targets[0], { open: 0, lastFailure: { problem: 'ECONNREFUSED' } })
  await clock.pass(9999)
  t.same(ports(3), ['2', '2', '2'])
  t.equal(service.connections.length, 0)
  await clock.pass(1)
  t.same(ports(2), ['2', '2'], 'and the next ones wait for what comes of it')
  await eventually(() => !upstream.targets[0]!.isAvoided)
  t.equal(service.connections.length, 1, 'one look')
  t.same(ports(2), [`${service.port}`, `${service.port}`])
  upstream.stop()
})

test('an address that a look finds dead is avoided for another 10 s; a look ends with its upstream', async (t) => {
  watchLeaks(t)
  const { clock, ports, seek, upstream, sweep } = setUp([target(refuser(t).port, '127.0.0.1'), target(2)])
  seek().fail('connect_timeout', 'deadlines.connect')
  await clock.pass(10_000)
  t.same(ports(1), ['2'])
  await eventually(() => upstream.view.targets[0]!.lastFailure!.problem === 'ECONNREFUSED')
  await clock.pass(9999)
  t.same(ports(2), ['2', '2'])
  t.equal(sweep.size, 0, 'no look')
  await clock.pass(1)
  t.same(ports(2), ['2', '2'])
  t.equal(sweep.size, 1, 'one look')
  upstream.stop()
  t.equal(sweep.size, 0)
})

test('the only address is used although it could not be dialled a moment ago', async (t) => {
  const { seek, ports } = setUp([target(1)])
  seek().fail()
  t.same(ports(2), ['1', '1'])
})

test('a literal, a unix socket and localhost need no resolver, and localhost is one address', async (t) => {
  const { upstream, seek } = setUp([{ host: 'localhost', port: 80 }, { path: '/run/a' }, target(1, '::1')])
  upstream.start()
  t.same(
    upstream.targets.map(({ name }) => name),
    ['localhost:80', 'unix:/run/a', '[::1]:1'],
  )
  t.same([seek().places.length, upstream.view.names], [1, []])
  upstream.stop()
})

test('a stopped upstream leaves no timer and nothing that is swept', async (t) => {
  const { clock, sweep, upstream, answer } = setUp([target(80, 'a'), target(80, 'b')], {
    healthCheck: {
      type: 'tcp',
      path: '/',
      host: null,
      headers: {},
      status: [],
      intervalMs: 60_000,
      timeoutMs: 1000,
      healthy: 1,
      unhealthy: 1,
    },
  })
  upstream.start()
  await answer('a', ['10.0.0.1'])
  upstream.stop()
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
  t.equal(sweep.size, 0)
})
