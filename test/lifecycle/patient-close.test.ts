import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import { PatientClose } from '../../src/lifecycle/patient-close.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { seeded } from '../support/uniform.ts'
import { addressOf } from '../support/addresses.ts'

const [WAIT_MS, WINDOW_MS] = [20_000, 30_000]

interface State {
  quietMs: number
  isOwed: boolean
}

function setUp(states: State[]) {
  const clock = fakeClock({ now: 0 })
  const connections = states.map((state, id) => {
    const connection = new Connection(id, 'app', 'tcp', addressOf('192.0.2.1:1'), 0)
    connection.owner = {
      close() {},
      queued: () => 0,
      lastDrainAt: () => 0,
      isPaused: () => false,
      quietMs: () => state.quietMs,
      isOwed: () => state.isOwed,
    }
    return connection
  })
  const asked: Array<{ id: number; at: number }> = []
  const leave = (id: number): void => void (connections[id]!.end = makeClose('eof', 'client', 'relay'))
  const parting = new PatientClose({
    clock,
    random: seeded(3),
    connections,
    waitMs: WAIT_MS,
    windowMs: WINDOW_MS,
    ask(connection) {
      asked.push({ id: connection.id, at: clock.now() })
      connection.end = makeClose('drain', 'sidegate', 'relay')
    },
  })
  return { clock, asked, parting, leave, ids: () => asked.map(({ id }) => id) }
}

test('nobody is asked before the window, and all are by its end', async (t) => {
  const { clock, asked } = setUp(Array.from({ length: 50 }, (_, id) => ({ quietMs: id, isOwed: false })))
  await clock.pass(WAIT_MS)
  t.same(asked, [])
  await clock.pass(WINDOW_MS)
  t.equal(asked.length, 50)
  t.ok(asked.every(({ at }) => at > WAIT_MS && at <= WAIT_MS + WINDOW_MS + 1))
  t.equal(clock.armed.after, 0)
})

test('the longest quiet go first, and one that waits for an answer never before one that does not', async (t) => {
  const { clock, ids } = setUp([
    { quietMs: 9000, isOwed: true },
    { quietMs: 100, isOwed: false },
    { quietMs: 60_000, isOwed: true },
    { quietMs: 5000, isOwed: false },
    { quietMs: 0, isOwed: false },
  ])
  await clock.pass(WAIT_MS + WINDOW_MS)
  t.same(ids(), [3, 1, 4, 2, 0])
})

test('one that has got its answer while the window runs goes before those that have not, one that asks anew after them', async (t) => {
  const states = [
    { quietMs: 9000, isOwed: true },
    { quietMs: 8000, isOwed: true },
    { quietMs: 1, isOwed: false },
    { quietMs: 0, isOwed: false },
  ]
  const { clock, ids } = setUp(states)
  await clock.pass(WAIT_MS)
  states[1]!.isOwed = false
  states[2]!.isOwed = true
  await clock.pass(WINDOW_MS)
  t.same(ids(), [1, 3, 0, 2])
})

test('those that go by themselves leave their time to the others', async (t) => {
  const { clock, asked, leave } = setUp(Array.from({ length: 100 }, () => ({ quietMs: 0, isOwed: true })))
  await clock.pass(WAIT_MS + 1)
  for (let id = 0; id < 99; id++) leave(id)
  await clock.pass(WINDOW_MS / 2)
  t.same(asked, [])
  await clock.pass(WINDOW_MS / 2)
  t.same(
    asked.map(({ id }) => id),
    [99],
  )
})

test('once it is cancelled nobody is asked, and no timer is left', async (t) => {
  for (const ms of [0, WAIT_MS - 1, WAIT_MS + WINDOW_MS / 2]) {
    const { clock, asked, parting } = setUp(Array.from({ length: 20 }, () => ({ quietMs: 0, isOwed: false })))
    await clock.pass(ms)
    parting.cancel()
    const before = asked.length
    await clock.pass(WAIT_MS + WINDOW_MS)
    t.same([asked.length, clock.armed.after], [before, 0])
  }
})
