import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import { note, noteEnding } from '../../src/core/timeline.ts'
import type { RecentQuery } from '../../src/admin/recent-route.ts'
import { Recent } from '../../src/gate/recent.ts'
import type { RecentEnd } from '../../src/admin/types.ts'
import { addressOf } from '../support/addresses.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { setUp } from '../admin/admin.ts'

const all = (limit: number): RecentQuery => ({ reason: null, listener: null, client: null, limit })

function gone(id: number, now: number, client = '10.0.0.7:1', listener = 'app'): Connection {
  const connection = new Connection(id, listener, 'tcp', addressOf(client), now)
  connection.end = makeClose(id % 2 === 0 ? 'eof' : 'write_timeout', 'client', 'relay', `number ${id}`)
  return connection
}

test('the last ones are kept, the newest first, and no more than was asked for', (t) => {
  const clock = fakeClock()
  const recent = new Recent(clock, 10)
  t.same(recent.view(all(100)), [])
  const ids = (limit = 100) => recent.view(all(limit)).map(({ id }) => id)
  for (let id = 1; id <= 7; id++) recent.onClosed(gone(id, clock.now()))
  t.same(ids(), [7, 6, 5, 4, 3, 2, 1])
  for (let id = 8; id <= 34; id++) recent.onClosed(gone(id, clock.now()))
  t.same(ids(), [34, 33, 32, 31, 30, 29, 28, 27, 26, 25])
  t.same(ids(3), [34, 33, 32])
  t.equal(recent.size, 10)
  t.end()
})

test('neither a flood of orderly ends nor one of others pushes out more than half, and either uses free places', (t) => {
  const clock = fakeClock()
  const recent = new Recent(clock, 10)
  const ids = () => recent.view(all(100)).map(({ id }) => id)
  for (let id = 1; id <= 15; id += 2) recent.onClosed(gone(id, clock.now()))
  t.same(ids(), [15, 13, 11, 9, 7, 5, 3, 1])
  for (let id = 100; id < 1000; id += 2) recent.onClosed(gone(id, clock.now()))
  t.same(ids(), [998, 996, 994, 992, 990, 15, 13, 11, 9, 7])
  for (let id = 1001; id < 1400; id += 2) recent.onClosed(gone(id, clock.now()))
  t.same(ids(), [1399, 1397, 1395, 1393, 1391, 998, 996, 994, 992, 990])
  recent.onClosed(gone(1400, clock.now()))
  t.same(ids(), [1400, 1399, 1397, 1395, 1393, 1391, 998, 996, 994, 992])
  t.equal(recent.size, 10)
  t.end()
})

test('a client is an address, one with its port, or a network, also where it was refused', (t) => {
  const clock = fakeClock()
  const recent = new Recent(clock, 10)
  recent.onClosed(gone(1, clock.now(), '10.0.0.7:1'))
  recent.onClosed(gone(3, clock.now(), '10.0.9.9:1'))
  recent.onClosed(gone(5, clock.now(), '[2001:db8::7]:1'))
  recent.onRefused('app', makeClose('denied', 'client', 'admit'), '10.0.0.8:2', 1)
  recent.onRefused('app', makeClose('denied', 'client', 'admit'), undefined, 5)
  const of = (client: string) => recent.view({ ...all(10), client }).map(({ client: shown }) => shown)
  t.same(of('10.0.0.0/24'), ['10.0.0.8:2', '10.0.0.7:1'])
  t.same(of('10.0.0.8'), ['10.0.0.8:2'])
  t.same(of('10.0.0.8:1'), [])
  t.same(of('2001:DB8:0::7'), ['[2001:db8::7]:1'])
  t.end()
})

test('with a size of 0 nothing is kept', (t) => {
  const clock = fakeClock()
  const recent = new Recent(clock, 0)
  recent.onClosed(gone(1, clock.now()))
  recent.onRefused('app', makeClose('denied', 'client', 'admit'), '10.0.0.7:1', 1)
  t.same(recent.view(all(10)), [])
  t.end()
})

test('an end whose connection still closes is told as of its decision, in its place among the others', async (t) => {
  const clock = fakeClock({ wall: Date.UTC(2026, 0, 1) })
  const recent = new Recent(clock, 4)
  const closing = gone(1, clock.now(), '10.0.0.9:1')
  await clock.pass(1000)
  noteEnding(closing, closing.end!, clock.now())
  await clock.pass(1000)
  for (let id = 2; id <= 5; id++) recent.onClosed(gone(id, clock.now()))
  const ids = (query: RecentQuery) => recent.view(query, [closing]).map(({ id }) => id)
  t.same(ids(all(10)), [5, 4, 3, 2, 1], 'it takes no place of those that are remembered')
  t.same(ids(all(2)), [5, 4])
  t.same(ids({ ...all(10), client: '10.0.0.9' }), [1])
  t.same(ids({ ...all(1), reason: 'eof' }), [4])
  t.match(recent.view({ ...all(10), client: '10.0.0.9' }, [closing]), [
    { closing: true, durationMs: 1000, ended: '2026-01-01T00:00:01.000Z', timeline: { length: 2 } },
  ])
  recent.onClosed(closing)
  t.match(recent.view(all(1)), [{ id: 1, closing: false, durationMs: 2000 }])
  t.same(new Recent(clock, 0).view(all(10), [closing]), [], 'where nothing is remembered')
})

test('a record tells the end, its times and bytes, and the whole timeline', async (t) => {
  const clock = fakeClock({ wall: Date.UTC(2026, 0, 1) })
  const recent = new Recent(clock, 10)
  const connection = gone(1, clock.now())
  connection.upstreamAddress = '127.0.0.1:8080'
  connection.connectedAt = clock.now() + 3
  connection.toUpstream.received = 12
  connection.toClient.messages = 2
  connection.isCut = true
  await clock.pass(1000)
  note(connection, 'stalled', clock.now(), 'client')
  await clock.pass(500)
  recent.onClosed(connection)
  await clock.pass(60_000)
  t.same(recent.view(all(1)), [
    {
      id: 1,
      listener: 'app',
      protocol: 'tcp',
      client: '10.0.0.7:1',
      peer: null,
      upstream: '127.0.0.1:8080',
      reason: 'write_timeout',
      side: 'client',
      phase: 'relay',
      detail: 'number 1',
      cut: true,
      closing: false,
      count: 1,
      started: '2026-01-01T00:00:00.000Z',
      ended: '2026-01-01T00:00:01.500Z',
      durationMs: 1500,
      connectMs: 3,
      bytesToUpstream: 12,
      bytesToClient: 0,
      messagesToUpstream: 0,
      messagesToClient: 2,
      timeline: [
        { at: '2026-01-01T00:00:00.000Z', afterMs: 0, event: 'accepted', detail: '10.0.0.7:1' },
        { at: '2026-01-01T00:00:00.003Z', afterMs: 3, event: 'connected', detail: '127.0.0.1:8080' },
        { at: '2026-01-01T00:00:01.000Z', afterMs: 1000, event: 'stalled', detail: 'client' },
        {
          at: '2026-01-01T00:00:01.500Z',
          afterMs: 1500,
          event: 'ended',
          detail: 'write_timeout by the client',
        },
      ],
    },
  ])
})

test('they are asked for by reason, listener and client, and a question that is not understood is refused', async (t) => {
  const clock = fakeClock()
  const recent = new Recent(clock, 100)
  recent.onClosed(gone(1, clock.now(), '10.0.0.7:1'))
  recent.onClosed(gone(2, clock.now(), '10.0.0.7:2', 'raw'))
  recent.onClosed(gone(3, clock.now(), '[2001:db8::7]:3'))
  recent.onClosed(gone(4, clock.now(), '10.0.0.99:3', 'gone'))
  recent.onRefused('app', makeClose('denied', 'client', 'admit', 'access.deny'), '10.0.0.9:9', 1)
  recent.onRefused('app', makeClose('denied', 'client', 'admit', 'access.deny'), undefined, 41)
  const { get } = await setUp(t, { recent: async (query) => recent.view(query) })
  const ask = async (query: string) =>
    (JSON.parse((await get(`/recent${query}`)).body) as RecentEnd[]).map(
      ({ id, count }) => id ?? `refused ${count}`,
    )
  const table: [string, unknown[]][] = [
    ['', ['refused 41', 'refused 1', 4, 3, 2, 1]],
    ['?limit=2', ['refused 41', 'refused 1']],
    ['?reason=denied', ['refused 41', 'refused 1']],
    ['?reason=eof', [4, 2]],
    ['?listener=raw', [2]],
    ['?listener=raw&reason=denied', []],
    ['?client=10.0.0.0/29', [2, 1]],
    ['?listener=gone', [4]],
    ['?client=10.0.0.7', [2, 1]],
    ['?client=10.0.0.7:1', [1]],
    ['?client=10.0.0.9', ['refused 1']],
    ['?client=2001:db8::7', [3]],
    ['?client=10.0.0.7&reason=write_timeout', [1]],
  ]
  for (const [query, expected] of table) t.same(await ask(query), expected, query)
  for (const [query, words] of [
    ['?side=client', /unknown parameter/],
    ['?reason=nonsense', /unknown reason/],
    ['?listener=none', /no such listener, known are app, raw/],
    ['?client=foo', /client must be an address/],
    ['?client=10.0.0.0/33', /client must be an address/],
    ['?limit=0', /limit must be/],
    ['?limit=10001', /limit must be/],
    ['?limit=1&limit=2', /given twice/],
  ] as const) {
    const reply = await get(`/recent${query}`)
    t.equal(reply.status, 400)
    t.match(reply.body, words)
  }
})
