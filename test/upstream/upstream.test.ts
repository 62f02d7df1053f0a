import { test } from 'tap'
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

test('an address that could not be dialled is avoided for 10 s, then one connection tries it', async (t) => {
  const { clock, ports, seek, upstream } = setUp([target(1), target(2)])
  const first = seek()
  first.fail()
  t.same(first.places.map(({ name }) => name), ['10.0.0.1:1', '10.0.0.1:2'])
  t.match(upstream.view.targets[0], { open: 0, lastFailure: { problem: 'ECONNREFUSED' } })
  t.same(ports(3), ['2', '2', '2'])
  await clock.pass(9999)
  t.same(ports(1), ['2'])
  await clock.pass(1)
  const trial = seek()
  t.same(trial.places[0]!.name, '10.0.0.1:1')
  t.same(ports(1), ['2'], 'and the next ones wait for what comes of it')
  trial.search.succeed()
  t.same(ports(2), ['1', '1'])
})

test('the only address is used although it could not be dialled a moment ago', async (t) => {
  const { seek, ports } = setUp([target(1)])
  seek().fail()
  t.same(ports(2), ['1', '1'])
})

test('a literal, a unix socket and localhost need no resolver, and localhost is one address', async (t) => {
  const { upstream, seek } = setUp([{ host: 'localhost', port: 80 }, { path: '/run/a' }, target(1, '::1')])
  upstream.start()
  t.same(upstream.targets.map(({ name }) => name), ['localhost:80', 'unix:/run/a', '[::1]:1'])
  t.same([seek().places.length, upstream.view.names], [1, []])
  upstream.stop()
})

test('all addresses of a name are used, each once, also where another entry has it too', async (t) => {
  const { upstream, answer } = setUp([target(80, 'a'), target(80, '10.0.0.1'), target(80, 'b')])
  upstream.start()
  t.same(upstream.targets.map(({ name }) => name), ['10.0.0.1:80'], 'a literal is there from the start')
  await answer('a', ['10.0.0.1', '10.0.0.2'])
  await answer('b', ['10.0.0.2', '::5'])
  t.same(upstream.targets.map(({ name }) => name).sort(), ['10.0.0.1:80', '10.0.0.2:80', '[::5]:80'])
  t.match(upstream.view.targets.find(({ address }) => address === '10.0.0.2:80'), { resolvedFrom: 'a', state: 'unknown' })
  upstream.stop()
})

test('an address that an answer does not have gets nothing new, is gone after a second, and its connections end with upstream_unhealthy', async (t) => {
  const { clock, upstream, answer, ports, seek, open } = setUp([target(80, 'a')])
  upstream.start()
  await answer('a', ['10.0.0.1', '10.0.0.2'])
  const [one, other] = [seek(), seek()]
  const ended: string[] = []
  for (const { connection } of [one, other]) {
    connection.phase = 'relay'
    connection.owner = { close: ({ reason, detail }) => void ended.push(`${connection.id} ${reason} ${detail}`), queued: () => 0, takenAt: () => 0, isPaused: () => false }
  }
  await answer('a', ['10.0.0.2'])
  t.match(upstream.view.targets.find(({ address }) => address === '10.0.0.1:80'), { isMissing: true, open: 1 })
  t.same(ports(2), ['80', '80'])
  t.same(open(), { '10.0.0.1:80': 1, '10.0.0.2:80': 3 })
  t.same(ended, [])
  await answer('a', ['10.0.0.2'])
  t.same(open(), { '10.0.0.2:80': 3 })
  t.match(upstream.view.targets.at(-1), { address: '10.0.0.1:80', state: 'gone', open: 1 })
  await clock.pass(100)
  t.same(ended, [`${one.connection.id} upstream_unhealthy 10.0.0.1:80 is gone from DNS (a)`])
  one.release()
  t.equal(upstream.view.targets.length, 1)
  upstream.stop()
})

test('one answer without it, or a resolver that fails, ends nothing', async (t) => {
  const { upstream, answer, seek, told } = setUp([target(80, 'a')])
  upstream.start()
  await answer('a', ['10.0.0.1', '10.0.0.2'])
  await answer('a', ['10.0.0.1'])
  await answer('a', ['10.0.0.2', '10.0.0.1'])
  await answer('a', 'EAI_AGAIN')
  await answer('a', 'EAI_AGAIN')
  t.same(upstream.targets.map(({ isMissing }) => isMissing), [false, false])
  t.same(seek().places.length, 1)
  t.match(upstream.view.names, [{ name: 'a', addresses: 2, problem: 'EAI_AGAIN' }])
  await answer('a', ['10.0.0.1'])
  t.same(told, ['a EAI_AGAIN', 'a null'], 'a change is told once')
  upstream.stop()
})

test('an address that comes back to DNS before its last connection has ended spares those that are left', async (t) => {
  const { clock, upstream, answer, seek, open } = setUp([target(80, 'a')], { healthCheck: { type: 'tcp', path: '/', intervalMs: 3_600_000, timeoutMs: 1000, healthy: 1, unhealthy: 100 } })
  upstream.start()
  await answer('a', ['127.0.0.9'])
  const sought = seek()
  sought.connection.phase = 'relay'
  const ended: number[] = []
  sought.connection.owner = { close: () => void ended.push(1), queued: () => 0, takenAt: () => 0, isPaused: () => false }
  await answer('a', ['127.0.0.8'])
  await answer('a', ['127.0.0.8'])
  t.same(open(), { '127.0.0.8:80': 0 })
  t.equal(upstream.view.targets.length, 2)
  await answer('a', ['127.0.0.8', '127.0.0.9'])
  t.same(open(), { '127.0.0.8:80': 0, '127.0.0.9:80': 1 })
  t.equal(upstream.view.targets.length, 2)
  const before = ended.length
  await clock.pass(900)
  t.equal(ended.length, before)
  upstream.stop()
  t.same(clock.armed.after, 0)
})

test('of an answer with too many addresses always the same 256 are used, and it is said', async (t) => {
  const { upstream, answer } = setUp([target(80, 'a')])
  upstream.start()
  const many = Array.from({ length: 300 }, (_, index) => `10.0.${index >> 8}.${index & 255}`)
  await answer('a', many)
  const before = upstream.targets.map(({ name }) => name).sort()
  await answer('a', many.toReversed())
  t.same(upstream.targets.map(({ name }) => name).sort(), before)
  t.equal(before.length, 256)
  t.match(upstream.view.names[0]!.problem, '300 addresses, of which 256 are used')
  upstream.stop()
})

test('a stopped upstream leaves no timer and nothing that is swept', async (t) => {
  const { clock, sweep, upstream, answer } = setUp([target(80, 'a'), target(80, 'b')], { healthCheck: { type: 'tcp', path: '/', intervalMs: 60_000, timeoutMs: 1000, healthy: 1, unhealthy: 1 } })
  upstream.start()
  await answer('a', ['10.0.0.1'])
  upstream.stop()
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
  t.equal(sweep.size, 0)
})
