import { test } from 'tap'
import { addressOf } from '../support/addresses.ts'
import type { Close } from '../../src/core/close.ts'
import { Connection, Registry } from '../../src/core/connection.ts'
import { BEGINS_WITHIN_MS, Drain } from '../../src/lifecycle/drain.ts'
import { Departure, noDrainCounts } from '../../src/lifecycle/departure.ts'
import type { DrainStep } from '../../src/lifecycle/departure.ts'
import type { DrainTimes } from '../../src/lifecycle/drain.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { isSettled } from '../support/eventually.ts'
import { kolmogorovSmirnov, seeded } from '../support/uniform.ts'

const TIMES: DrainTimes = { minDurationMs: 10_000, spreadMs: 30_000, timeoutMs: 60_000, tcp: 'spread' }

interface Peer {
  connection: Connection
  /** What it was told, and when. */
  told: Array<{ reason: string; at: number }>
  /** It is gone, for the reason it was told first, or for its own. */
  leave(end?: Close): void
}

function setUp() {
  const clock = fakeClock({ now: 0 })
  const registry = new Registry()
  const said: string[] = []
  const log = {
    info: (message: string) => void said.push(message),
    warn: (message: string) => void said.push(message),
  }
  let isAccepting = true
  const departure = new Departure({
    clock,
    random: seeded(1),
    registry,
    stopAccepting: () => (isAccepting = false),
    refuseArriving: () => {},
    onEmpty: () => drain.onEmpty(),
  })
  const gates = {
    get open() {
      return registry.size
    },
    drain: async (step: DrainStep) => departure.take(step),
  }
  const drain: Drain = new Drain({ clock, log, gates })

  /** A client that goes when it is asked, or only when it is reset, or never. */
  function open(manners: 'goes' | 'stays' | 'ends by itself' = 'goes'): Peer {
    const connection = new Connection(registry.nextId(), 'app', 'tcp', addressOf('192.0.2.1:1'), clock.now())
    const told: Peer['told'] = []
    const leave = (end?: Close): void => {
      connection.end ??= end ?? null
      registry.delete(connection)
      departure.onClosed(connection)
    }
    connection.owner = {
      queued: () => 0,
      lastDrainAt: () => 0,
      isPaused: () => false,
      close(close) {
        told.push({ reason: close.reason, at: clock.now() })
        connection.end ??= close
        if (manners === 'goes' || close.reason === 'drain_timeout') leave()
      },
    }
    registry.add(connection)
    return { connection, told, leave }
  }
  return { clock, registry, said, drain, departure, open, isAccepting: () => isAccepting }
}

test('it goes on to accept for minDuration, and asks nobody; a connection that comes meanwhile takes part', async (t) => {
  const { clock, drain, open, isAccepting } = setUp()
  const early = open()
  const drained = drain.begin('admin', TIMES)
  t.same([drain.state, drain.isUnderway, isAccepting()], ['announced', true, true])
  await clock.pass(5000)
  const late = open()
  await clock.pass(4999)
  t.same([drain.state, isAccepting(), early.told, late.told], ['announced', true, [], []])
  await clock.pass(1)
  t.same([drain.state, isAccepting()], ['parting', false])
  await clock.pass(TIMES.spreadMs)
  for (const { told } of [early, late]) t.match(told, [{ reason: 'drain' }])
  t.equal(drain.state, 'finished')
  t.match(await drained, { drained: 2, forced: 0, others: 0, isUndone: false })
  t.equal(clock.armed.after, 0)
})

test('connections are asked to go at uniform moments over spread, and none before or after', async (t) => {
  const { clock, drain, open } = setUp()
  const peers = Array.from({ length: 1000 }, () => open())
  void drain.begin('SIGTERM', TIMES)
  await clock.pass(60_000)
  const moments = peers.map(({ told }) => told[0]!.at - TIMES.minDurationMs)
  t.ok(Math.min(...moments) >= 0 && Math.max(...moments) <= TIMES.spreadMs)
  t.ok(kolmogorovSmirnov(moments, TIMES.spreadMs) > 0.001)
  t.ok(
    peers.every(({ told }) => told.length === 1),
    'once',
  )
})

test('what is left at the timeout is reset with drain_timeout, not a millisecond before', async (t) => {
  const { clock, drain, open } = setUp()
  const peers = [open('stays'), open('stays'), open('goes')]
  const drained = drain.begin('admin', TIMES)
  await clock.pass(TIMES.timeoutMs - 1)
  t.same(
    peers.flatMap(({ told }) => told.map(({ reason }) => reason)),
    ['drain', 'drain', 'drain'],
  )
  t.equal(drain.state, 'parting')
  await clock.pass(1)
  t.same(peers[0]!.told.at(-1), { reason: 'drain_timeout', at: TIMES.timeoutMs })
  t.equal(drain.state, 'finished')
  t.match(await drained, { drained: 3, forced: 0 }, 'those that were closing already keep their reason')
})

test('a connection that was asked but did not even begin to close counts as forced', async (t) => {
  const { clock, registry, drain, departure } = setUp()
  const connection = new Connection(registry.nextId(), 'app', 'http', addressOf('192.0.2.1:1'), 0)
  connection.owner = {
    queued: () => 0,
    lastDrainAt: () => 0,
    isPaused: () => false,
    close(close) {
      if (close.reason !== 'drain_timeout') return // an answer in flight is finished first
      connection.end = close
      registry.delete(connection)
      departure.onClosed(connection)
    },
  }
  registry.add(connection)
  const drained = drain.begin('admin', TIMES)
  await clock.pass(TIMES.timeoutMs)
  t.match(await drained, { drained: 0, forced: 1, tookMs: TIMES.timeoutMs })
})

test('it is over as soon as none is left, and without connections after minDuration', async (t) => {
  const { clock, drain, open } = setUp()
  const peer = open('stays')
  const drained = drain.begin('admin', TIMES)
  await clock.pass(TIMES.minDurationMs + TIMES.spreadMs)
  t.equal(drain.state, 'parting')
  peer.leave()
  t.equal(drain.state, 'finished')
  t.match(await drained, { tookMs: 40_000 })

  const empty = setUp()
  void empty.drain.begin('admin', TIMES)
  await empty.clock.pass(TIMES.minDurationMs - 1)
  t.equal(empty.drain.state, 'announced', 'somebody may still come')
  await empty.clock.pass(1)
  t.equal(empty.drain.state, 'finished')
})

test('without minDuration and spread an empty gate is done at once, and others are asked at once', async (t) => {
  const atOnce = { minDurationMs: 0, spreadMs: 0, timeoutMs: 1000, tcp: 'spread' } as const
  const { drain, isAccepting } = setUp()
  await drain.begin('SIGINT', atOnce)
  t.same([drain.state, isAccepting()], ['finished', false])
  const other = setUp()
  const peers = Array.from({ length: 5 }, () => other.open())
  t.match(await other.drain.begin('SIGINT', atOnce), { drained: 5, tookMs: 0 })
  t.ok(peers.every(({ told }) => told[0]!.at === 0))
})

test('connections that end for a reason of their own are counted apart', async (t) => {
  const { clock, drain, open } = setUp()
  const peer = open('stays')
  const drained = drain.begin('admin', TIMES)
  peer.leave({ reason: 'eof', side: 'client', phase: 'relay' })
  await clock.pass(TIMES.minDurationMs)
  t.match(await drained, { drained: 0, forced: 0, others: 1 })
})

test('it can be undone until the listeners close, and begun again', async (t) => {
  const { clock, drain, open, isAccepting } = setUp()
  const peer = open()
  t.equal(drain.undo(), false, 'there is none')
  const undone = drain.begin('admin', TIMES)
  await clock.pass(TIMES.minDurationMs - 1)
  t.equal(drain.undo(), true)
  t.match(await undone, { isUndone: true })
  t.same([drain.state, drain.isUnderway, clock.armed.after], ['none', false, 0])
  await clock.pass(120_000)
  t.same([isAccepting(), peer.told], [true, []])
  const drained = drain.begin('admin', TIMES)
  await clock.pass(TIMES.minDurationMs)
  t.equal(drain.undo(), false, 'the listeners are closed')
  await clock.pass(TIMES.spreadMs)
  t.match(await drained, { drained: 1, isUndone: false })
  t.equal(drain.undo(), false)
})

test('a drain that a signal asked for, first or later, cannot be undone: the process was told to end', async (t) => {
  const { drain } = setUp()
  void drain.begin('SIGTERM', TIMES)
  t.equal(drain.undo(), false)
  drain.stop()
  const other = setUp().drain
  void other.begin('admin', TIMES)
  void other.begin('SIGTERM', TIMES)
  t.equal(other.undo(), false)
  other.stop()
})

test('whoever begins it again waits for the one that is under way, or is over', async (t) => {
  const { clock, drain, open, said } = setUp()
  open()
  const first = drain.begin('admin', TIMES)
  t.equal(drain.begin('SIGTERM', { minDurationMs: 0, spreadMs: 0, timeoutMs: 1, tcp: 'spread' }), first)
  await clock.pass(40_000)
  t.equal(await drain.begin('SIGTERM', TIMES), await first)
  t.same(said, ['drain begins', 'drain: listeners closed', 'drain finished'])
})

test('who waits for a drain is answered when it is finished, or undone', async (t) => {
  const { clock, drain, open } = setUp()
  open()
  const before = drain.waitDrained()
  await clock.pass(BEGINS_WITHIN_MS - 1)
  void drain.begin('admin', TIMES)
  const during = drain.waitDrained()
  await clock.pass(TIMES.minDurationMs)
  t.same([await isSettled(before), await isSettled(during)], [false, false])
  await clock.pass(TIMES.spreadMs)
  t.equal(drain.state, 'finished')
  await Promise.all([before, during, drain.waitDrained()])
  t.equal(clock.armed.after, 0)

  const other = setUp()
  void other.drain.begin('admin', TIMES)
  const undone = other.drain.waitDrained()
  await other.clock.pass(6000)
  other.drain.undo()
  await undone
  t.equal(other.clock.armed.after, 0)
})

test('who waits while no drain begins is answered after five seconds, not before: the hook of a container that is only restarted', async (t) => {
  const { clock, drain } = setUp()
  const waiting = drain.waitDrained()
  await clock.pass(BEGINS_WITHIN_MS - 1)
  t.equal(await isSettled(waiting), false)
  await clock.pass(1)
  await waiting
})

test('who leaves while it waits is forgotten, timer and all', async (t) => {
  const { clock, drain } = setUp()
  let leave = (): void => {}
  const waiting = drain.waitDrained((run) => (leave = run))
  t.equal(clock.armed.after, 1)
  leave()
  await waiting
  t.equal(clock.armed.after, 0)
})

test('a stop ends all waits and timers', async (t) => {
  const { clock, drain, open } = setUp()
  const peer = open('stays')
  const waiting = drain.waitDrained()
  const drained = drain.begin('SIGTERM', TIMES)
  await clock.pass(TIMES.minDurationMs)
  drain.stop()
  await Promise.all([waiting, drained])
  t.equal(clock.armed.after, 0)
  await clock.pass(120_000)
  t.match(peer.told, [{ reason: 'drain_timeout', at: TIMES.minDurationMs }], 'once')
})

test('a timeout shorter than minDuration still asks before it resets', async (t) => {
  const { clock, drain, open } = setUp()
  const peer = open('stays')
  void drain.begin('admin', { minDurationMs: 5000, spreadMs: 5000, timeoutMs: 1000, tcp: 'spread' })
  await clock.pass(1000)
  t.same(
    peer.told.map(({ reason }) => reason),
    ['drain', 'drain_timeout'],
  )
  t.equal(drain.state, 'finished')
})

test('tcp waits for the last spread before the timeout, and all of it has got its FIN a second before the reset', async (t) => {
  const { clock, drain, open } = setUp()
  const peers = Array.from({ length: 200 }, () => open())
  const drained = drain.begin('SIGTERM', { ...TIMES, tcp: 'wait' })
  await clock.pass(TIMES.timeoutMs)
  const moments = peers.map(({ told }) => told[0]!.at)
  t.ok(
    Math.min(...moments) >= TIMES.timeoutMs - TIMES.spreadMs && Math.max(...moments) <= TIMES.timeoutMs - 999,
  )
  t.match(await drained, { drained: 200, forced: 0 })

  const short = setUp()
  const [one] = [short.open()]
  void short.drain.begin('admin', { minDurationMs: 0, spreadMs: 0, timeoutMs: 20_000, tcp: 'wait' })
  await short.clock.pass(18_999)
  t.same(one.told, [], 'without a spread')
  await short.clock.pass(2)
  t.match(one.told, [{ reason: 'drain' }])
})

test('a step that comes after the end of the drain closes the listeners, and asks nobody', async (t) => {
  const { clock, departure, open, isAccepting } = setUp()
  const stuck = open('stays')
  departure.take({ step: 'announce' })
  departure.take({ step: 'end' })
  const late = open('stays')
  departure.take({ step: 'part', spreadMs: 0, leftMs: 1000, tcp: 'spread' })
  await clock.pass(2000)
  t.notOk(isAccepting())
  t.same(late.told, [])
  t.same(
    stuck.told.map(({ reason }) => reason),
    ['drain_timeout'],
  )
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})

test('a gate that does not answer holds up no drain that has nobody left', async (t) => {
  const clock = fakeClock({ now: 0 })
  const log = { info: () => {}, warn: () => {} }
  const drain = new Drain({
    clock,
    log,
    gates: {
      open: 0,
      drain: ({ step }) => (step === 'part' ? new Promise(() => {}) : Promise.resolve(noDrainCounts())),
    },
  })
  void drain.begin('admin', { ...TIMES, minDurationMs: 0 })
  await clock.pass(999)
  t.equal(drain.state, 'parting', 'its last clients may come yet')
  await clock.pass(1)
  t.equal(drain.state, 'finished')
})
