import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import { silentObserver } from '../support/silent-observer.ts'
import { classOf, raised } from '../../src/core/log-counts.ts'
import { Habits, HabitsObserver, sumHabits } from '../../src/metrics/habits.ts'
import { addressOf } from '../support/addresses.ts'
import { fakeClock } from '../support/fake-clock.ts'

let lastId = 0

function opened(now: number, client = '10.0.0.7:1', listener = 'app'): Connection {
  return new Connection(++lastId, listener, 'http', addressOf(client), now)
}

test('connections are counted as they begin: at a time, a second, and of each client', async (t) => {
  const clock = fakeClock()
  const habits = new Habits('app', clock)
  const first = opened(clock.now())
  habits.onBegun(first)
  habits.onBegun(opened(clock.now(), '10.0.0.7:2'))
  habits.onBegun(opened(clock.now(), '10.0.0.8:3'))
  await clock.pass(1000)
  habits.onClosed(
    Object.assign(first, {
      end: makeClose('write_timeout', 'client', 'relay', 'took nothing (deadlines.write)'),
    }),
  )
  habits.onBegun(opened(clock.now(), '10.0.0.7:4'))
  const { counts, cuts } = habits.data([])
  t.equal(counts.connections?.max, 3)
  t.equal(counts.connectionsOfClient?.max, 2)
  t.match(counts.newConnections, { count: 1, max: 3 })
  t.match(counts.newConnectionsOfClient, { count: 2, max: 2 })
  t.same(cuts, { 'deadlines.write': 1 })
  await clock.pass(1000)
  t.match(habits.data([]).counts.newConnections, { count: 2, max: 3 })
})

test('streams are no connections: neither at a time, nor of a client, nor as old as theirs', async (t) => {
  const clock = fakeClock()
  const habits = new Habits('app', clock)
  const carrier = opened(clock.now(), '10.0.0.7:1')
  habits.onBegun(carrier)
  for (let nth = 0; nth < 3; nth++) {
    const stream = opened(clock.now(), '10.0.0.7:1')
    stream.session = { id: carrier.id, onStreamClosed() {} }
    habits.onBegun(stream)
    await clock.pass(1000)
    stream.end = makeClose('write_timeout', 'client', 'relay', 'took nothing (deadlines.write)')
    habits.onClosed(stream)
  }
  habits.onClosed(carrier)
  const { counts, cuts } = habits.data([])
  t.same([counts.connections?.max, counts.connectionsOfClient?.max], [1, 1])
  t.equal(counts.lifetime?.max, 3000)
  t.same(cuts, { 'deadlines.write': 3 }, 'their ends count')
})

test('what the sweep saw of a connection is counted once, at its end, and of an open one when somebody asks', (t) => {
  const clock = fakeClock()
  const habits = new Habits('app', clock)
  const connection = opened(clock.now())
  connection.toUpstream.peaks = raised(0, 0, 5000)
  connection.toClient.peaks = raised(0, 3, 9000)
  connection.peaks = raised(0, 0, 70_000)
  const foreign = Object.assign(opened(clock.now(), '10.0.0.7:1', 'raw'), { peaks: raised(0, 0, 1) })
  const open = habits.data([connection, foreign])
  t.equal(open.counts.bytesToUpstream?.count, 1)
  t.equal(open.counts.quiet?.classes[classOf(70_000)], 1)
  t.equal(open.quietNow.count, 1)
  habits.onClosed(connection)
  const { counts, quietNow } = habits.data([])
  t.equal(counts.bytesToUpstream?.count, 1)
  t.equal(counts.stallClient?.classes[classOf(9000)], 1)
  t.equal(counts.quiet?.count, 1)
  t.equal(quietNow.count, 0)
  t.equal(counts.stallUpstream, undefined, 'what it never did is not counted as nothing')
  t.end()
})

test('the observer counts and passes on', (t) => {
  const clock = fakeClock()
  const habits = new Habits('app', clock)
  const passed: string[] = []
  const next = new Proxy(silentObserver, { get: (_target, name) => () => passed.push(String(name)) })
  const observer = new HabitsObserver(habits, next, clock)
  const connection = opened(clock.now() - 30)
  observer.onOpened(connection)
  observer.onHead(connection, 'client', 300)
  connection.phase = 'relay'
  observer.onHead(connection, 'client', 400)
  observer.onHead(connection, 'upstream', 200)
  observer.onAnswer(connection, 12)
  observer.onConnected(connection, 3)
  observer.onMessage(connection, 'to_upstream', 1000, 2)
  observer.onMessage(connection, 'to_client', 2000, 1)
  observer.onPong(connection, 40)
  observer.onRequest(connection, { method: 'POST', status: 200, durationMs: 5, end: null, bodyBytes: 77 })
  const { counts } = habits.data([])
  t.match(counts, {
    requestHead: { count: 2, max: 400 },
    handshake: { count: 1, max: 30 },
    answerHead: { count: 1, max: 200 },
    answer: { max: 12 },
    connect: { max: 3 },
    messageToUpstream: { max: 1000 },
    fragments: { max: 2 },
    messageToClient: { max: 2000 },
    pong: { max: 40 },
    requestBody: { max: 77 },
  })
  t.ok(['onOpened', 'onConnected', 'onPong', 'onRequest'].every((name) => passed.includes(name)))
  t.end()
})

test('a reset begins anew but knows who is open; sums are of listeners of one name', async (t) => {
  const clock = fakeClock()
  const habits = new Habits('app', clock)
  habits.onBegun(opened(clock.now()))
  await clock.pass(5000)
  const before = habits.data([]).since
  habits.reset()
  habits.onBegun(opened(clock.now()))
  const data = habits.data([])
  t.equal(data.since, before + 5000)
  t.match(data.counts.connections, { count: 1, max: 2 })
  const other = structuredClone({
    ...data,
    since: data.since - 1,
    cuts: { 'deadlines.idle': 4 },
    delays: { 'limits.bytes': 2 },
  })
  const [sum, raw] = sumHabits([data, other, { ...data, listener: 'raw' }])
  t.match(sum, {
    listener: 'app',
    since: data.since - 1,
    cuts: { 'deadlines.idle': 4 },
    delays: { 'limits.bytes': 2 },
  })
  t.equal(sum!.counts.connections?.count, 2)
  t.equal(raw!.counts.connections?.count, 1)
})
