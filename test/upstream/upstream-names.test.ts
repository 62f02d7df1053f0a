import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { setUp, target } from './parts.ts'
import type { Sought } from './parts.ts'

/** From here on the connections are open, and each end of one is told. */
function whileOpen(...all: Sought[]): string[] {
  const ended: string[] = []
  for (const { connection, release } of all) {
    connection.phase = 'relay'
    connection.owner = {
      close: ({ reason, detail }) => {
        ended.push(`${connection.id} ${reason} ${detail}`)
        connection.end = makeClose(reason, 'upstream', 'relay')
        release()
      },
      queued: () => 0,
      lastDrainAt: () => 0,
      isPaused: () => false,
    }
  }
  return ended
}

test('all addresses of a name are used, each once, also where another entry has it too', async (t) => {
  const { upstream, answer } = setUp([target(80, 'a'), target(80, '10.0.0.1'), target(80, 'b')])
  upstream.start()
  t.same(
    upstream.targets.map(({ name }) => name),
    ['10.0.0.1:80'],
    'a literal is there from the start',
  )
  await answer('a', ['10.0.0.1', '10.0.0.2'])
  await answer('b', ['10.0.0.2', '::5'])
  t.same(upstream.targets.map(({ name }) => name).sort(), ['10.0.0.1:80', '10.0.0.2:80', '[::5]:80'])
  t.match(
    upstream.view.targets.find(({ address }) => address === '10.0.0.2:80'),
    { resolvedFrom: 'a', state: 'unknown' },
  )
  upstream.stop()
})

test('onRemoved end: an address that an answer does not have gets nothing new, and after a second such answer its connections end with upstream_unhealthy', async (t) => {
  const { clock, upstream, answer, ports, seek, open } = setUp([target(80, 'a')], {
    onRemoved: 'end',
    maxConnections: 3,
  })
  upstream.start()
  await answer('a', ['10.0.0.1', '10.0.0.2'])
  const [one, other] = [seek(), seek()]
  const ended = whileOpen(one, other)
  await answer('a', ['10.0.0.2'])
  t.match(
    upstream.view.targets.find(({ address }) => address === '10.0.0.1:80'),
    { isMissing: true, state: 'unknown', open: 1 },
  )
  t.same(ports(2), ['80', '80'])
  t.same(open(), { '10.0.0.2:80': 3 })
  const queued = seek()
  t.same([queued.places, upstream.queued], [[], 1], 'it waits for room elsewhere')
  t.same(ended, [])
  await answer('a', ['10.0.0.2'])
  t.match(upstream.view.targets.at(-1), { address: '10.0.0.1:80', state: 'gone', open: 1 })
  await clock.pass(100)
  t.same(ended, [`${one.connection.id} upstream_unhealthy 10.0.0.1:80 is gone from DNS (a)`])
  t.equal(upstream.view.targets.length, 1)
  queued.search.cancel()
  upstream.stop()
})

test('an address that is missing for one answer keeps what its health checks have found', async (t) => {
  const { upstream, answer } = setUp([target(80, 'a')], { healthCheck: { ...hourly, type: 'tcp' } })
  upstream.start()
  await answer('a', ['127.0.0.8', '127.0.0.9'])
  const [, second] = upstream.targets
  await answer('a', ['127.0.0.8'])
  await answer('a', ['127.0.0.8', '127.0.0.9'])
  t.equal(upstream.targets[1], second)
  await answer('a', ['127.0.0.8'])
  await answer('a', ['127.0.0.8'])
  await answer('a', ['127.0.0.8', '127.0.0.9'])
  t.not(upstream.targets[1], second, 'one that is gone, and has no connection, is forgotten')
  upstream.stop()
})

const hourly = {
  path: '/',
  host: null,
  headers: {},
  status: [],
  intervalMs: 3_600_000,
  timeoutMs: 1000,
  healthy: 1,
  unhealthy: 100,
} as const

test('onRemoved keep: a resolver that answers with a changing sample ends nothing, and every answer alone says where new ones go', async (t) => {
  const { clock, upstream, answer, ports, seek } = setUp([target(80, 'a')], {
    healthCheck: { ...hourly, type: 'tcp' },
  })
  upstream.start()
  await answer('a', ['127.0.0.7', '127.0.0.8', '127.0.0.9'])
  const ended = whileOpen(seek(), seek(), seek())
  for (let nth = 0; nth < 5; nth++) await answer('a', ['127.0.0.8'])
  t.same(
    upstream.targets.map(({ name }) => name),
    ['127.0.0.8:80'],
  )
  t.same(
    upstream.view.targets.map(({ state }) => state),
    ['unknown', 'gone', 'gone'],
  )
  await answer('a', ['127.0.0.9'])
  t.same([ports(3).length, upstream.targets[0]!.open], [3, 4])
  await clock.pass(60_000)
  t.same(ended, [])
  upstream.stop()
})

test('one answer without it, or a resolver that fails, ends nothing', async (t) => {
  const { upstream, answer, seek, told } = setUp([target(80, 'a')], { onRemoved: 'end' })
  upstream.start()
  await answer('a', ['10.0.0.1', '10.0.0.2'])
  await answer('a', ['10.0.0.1'])
  await answer('a', ['10.0.0.2', '10.0.0.1'])
  await answer('a', 'EAI_AGAIN')
  await answer('a', 'EAI_AGAIN')
  t.same(
    upstream.targets.map(({ presence }) => presence),
    ['there', 'there'],
  )
  t.same(seek().places.length, 1)
  t.match(upstream.view.names, [{ name: 'a', state: 'stale', addresses: 2, problem: 'EAI_AGAIN' }])
  await answer('a', ['10.0.0.1'])
  t.same(told, ['a EAI_AGAIN', 'a null'], 'a change is told once')
  upstream.stop()
})

test('"no such name" keeps the last good addresses for upstream.staleFor, and not longer: then new connections end with no_upstream', async (t) => {
  const { clock, upstream, answers, answer, seek, told } = setUp([target(80, 'a')], {
    onRemoved: 'end',
    staleForMs: 30_000,
  })
  upstream.start()
  await answer('a', ['10.0.0.1'])
  const ended = whileOpen(seek())
  answers.set('a', 'ENOTFOUND')
  await clock.pass(1000)
  t.match(upstream.view.names, [{ state: 'stale', addresses: 1, problem: 'ENOTFOUND' }])
  t.type(upstream.view.names[0]!.absentSince, 'string')
  await clock.pass(29_999)
  const last = seek()
  t.same(last.places.length, 1, 'a moment before')
  last.release()
  await clock.pass(1)
  const detail = 'a: there is no such name any more (ENOTFOUND, upstream.staleFor)'
  t.match(seek().end, { reason: 'no_upstream', side: 'upstream', phase: 'connect', detail })
  t.match(upstream.view, {
    names: [{ state: 'absent', addresses: 0 }],
    targets: [{ address: '10.0.0.1:80', state: 'gone', open: 1 }],
  })
  t.same(told, ['a ENOTFOUND', `a ${detail}`])
  await clock.pass(100)
  t.match(ended, [/upstream_unhealthy/], 'and where onRemoved is end, so do those that are open')
  await answer('a', ['10.0.0.1'])
  t.same([seek().places.length, upstream.view.names[0]!.state, told.at(-1)], [1, 'resolved', 'a null'])
  upstream.stop()
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})

test('an empty answer is as good as "no such name"', async (t) => {
  const { clock, upstream, answers, answer, seek } = setUp([target(80, 'a')])
  upstream.start()
  await answer('a', ['10.0.0.1'])
  answers.set('a', [])
  await clock.pass(31_000)
  t.match(seek().end, {
    reason: 'no_upstream',
    detail: 'a: there is no such name any more (no addresses, upstream.staleFor)',
  })
  upstream.stop()
})

test('SERVFAIL and a resolver that does not answer keep the last good addresses for ever, also after one "no such name" of a resolver that starts', async (t) => {
  const { clock, upstream, answers, answer, seek } = setUp([target(80, 'a')])
  upstream.start()
  await answer('a', ['10.0.0.1'])
  await answer('a', 'ENOTFOUND')
  answers.set('a', 'EAI_AGAIN')
  await clock.pass(3_600_000)
  t.same(seek().places.length, 1)
  answers.delete('a')
  await clock.pass(3_600_000)
  t.match(upstream.view.names, [{ state: 'stale', problem: 'no answer within 5s' }])
  t.same(seek().places.length, 1)
  upstream.stop()
})

test('addresses that were given up stay given up while the resolver fails', async (t) => {
  const { clock, upstream, answers, answer, seek } = setUp([target(80, 'a')])
  upstream.start()
  await answer('a', ['10.0.0.1'])
  answers.set('a', 'ENOTFOUND')
  await clock.pass(31_000)
  answers.set('a', 'EAI_AGAIN')
  await clock.pass(100_000)
  t.match(seek().end, { reason: 'no_upstream' })
  upstream.stop()
})

test('with staleFor off the addresses of a name that is gone are used for ever', async (t) => {
  const { clock, upstream, answers, answer, seek } = setUp([target(80, 'a')], { staleForMs: Infinity })
  upstream.start()
  await answer('a', ['10.0.0.1'])
  answers.set('a', 'ENOTFOUND')
  await clock.pass(3_600_000)
  t.same(seek().places.length, 1)
  upstream.stop()
})

test('a name that is gone takes its own addresses along, not those of another name', async (t) => {
  const { clock, upstream, answers, answer, open } = setUp([target(80, 'a'), target(80, 'b')])
  upstream.start()
  await answer('b', ['10.0.0.1', '10.0.0.2'])
  await answer('a', ['10.0.0.2', '10.0.0.3'])
  answers.set('a', 'ENOTFOUND')
  await clock.pass(31_000)
  t.same(open(), { '10.0.0.2:80': 0, '10.0.0.1:80': 0 })
  upstream.stop()
})

test('a name that was never there ends connections with connect_failed and, once upstream.staleFor is over, with no_upstream', async (t) => {
  const { clock, upstream, answers, seek } = setUp([target(80, 'a')])
  answers.set('a', 'ENOTFOUND')
  upstream.start()
  await clock.pass(0)
  t.match(seek().end, { reason: 'connect_failed', detail: 'ENOTFOUND' })
  await clock.pass(30_000)
  t.match(seek().end, { reason: 'no_upstream' })
  upstream.stop()
})

test('a successor has what its predecessor knew of a name, whatever the resolver says by then', async (t) => {
  const { clock, upstream, answers, answer, another } = setUp([target(80, 'a')])
  upstream.start()
  await answer('a', ['10.0.0.1'])
  answers.delete('a')
  await clock.pass(1000)
  const successor = another()
  successor.upstream.start()
  upstream.stop()
  t.same(
    successor.seek().places.map(({ name }) => name),
    ['10.0.0.1:80'],
    'in the same turn, while the resolver hangs',
  )
  await clock.pass(3_600_000)
  t.same(successor.seek().places.length, 1)
  successor.upstream.stop()
})

test('one that comes after a while waits for its question, and has what was known if that fails', async (t) => {
  const { clock, upstream, answers, answer, another } = setUp([target(80, 'a')])
  upstream.start()
  await answer('a', ['10.0.0.1'])
  upstream.stop()
  await clock.pass(60_000)
  t.same(clock.armed.after, 0)
  answers.set('a', 'EAI_AGAIN')
  const later = another()
  later.upstream.start()
  const waiting = later.seek()
  t.same([waiting.places, waiting.end], [[], null])
  await clock.pass(0)
  t.same(
    waiting.places.map(({ name }) => name),
    ['10.0.0.1:80'],
  )
  later.upstream.stop()
  answers.set('a', ['10.0.0.2'])
  const last = another()
  last.upstream.start()
  await clock.pass(0)
  t.same(last.ports(1).length, 1)
  t.same(
    last.upstream.targets.map(({ name }) => name),
    ['10.0.0.2:80'],
    'an answer replaces what was known long ago',
  )
  last.upstream.stop()
})

test('an address that comes back to DNS before its last connection has ended spares those that are left', async (t) => {
  const { clock, upstream, answer, seek, open } = setUp([target(80, 'a')], {
    onRemoved: 'end',
    healthCheck: { ...hourly, type: 'tcp' },
  })
  upstream.start()
  await answer('a', ['127.0.0.9'])
  const sought = seek()
  sought.connection.phase = 'relay'
  const ended: number[] = []
  sought.connection.owner = {
    close: () => void ended.push(1),
    queued: () => 0,
    lastDrainAt: () => 0,
    isPaused: () => false,
  }
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
