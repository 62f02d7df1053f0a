import { test } from 'tap'
import { Circuit } from '../../src/fleet/circuit.ts'
import type { Answer, Command, Store } from '../../src/fleet/store.ts'
import { fakeClock } from '../support/fake-clock.ts'

/** A store whose answers the test releases. */
function setUp() {
  const clock = fakeClock()
  const told: string[] = []
  const asked: Array<{
    commands: readonly Command[]
    answer: (all: Answer[]) => void
    fail: (why: string) => void
  }> = []
  let connects = 0
  let closed = 0
  let refuses: string | null = null
  let hangs = false
  const store: Store = {
    most: 8,
    run: (commands) =>
      new Promise((answer, reject) =>
        asked.push({ commands, answer, fail: (why) => reject(new Error(why)) }),
      ),
    close: () => void closed++,
  }
  const beat: Command = { script: 'beat', key: 'k', args: [] }
  const circuit = new Circuit(
    { timeoutMs: () => 50, probe: () => beat },
    {
      clock,
      random: () => 0.5,
      connect: () => {
        connects++
        if (hangs) return new Promise(() => {})
        return refuses === null ? Promise.resolve(store) : Promise.reject(new Error(refuses))
      },
      onUp: () => void told.push('up'),
      onDown: (problem) => void told.push(problem),
      onRequests: (count, result) => void told.push(`${count} ${result}`),
    },
  )
  return {
    clock,
    told,
    asked,
    circuit,
    refuse: (why: string | null) => (refuses = why),
    hang: () => (hangs = true),
    counts: () => ({ connects, closed }),
  }
}

test('it is up once a probe was answered, not before', async (t) => {
  const { clock, circuit, asked, told } = setUp()
  circuit.start()
  await clock.pass(0)
  t.equal(circuit.isUp, false)
  t.equal(await circuit.run([]), null, 'and nothing is sent')
  asked[0]!.answer([[1]])
  await clock.pass(0)
  t.equal(circuit.isUp, true)
  t.same(told, ['1 ok', 'up'])
  circuit.stop()
})

/** Up, and a way to ask: an answer that is late may come yet. */
async function up() {
  const it = setUp()
  it.circuit.start()
  await it.clock.pass(0)
  it.asked[0]!.answer([[1]])
  await it.clock.pass(0)
  it.told.length = 0
  return { ...it, ask: () => it.circuit.run([{ script: 'draw', key: 'a', args: [] }]) }
}

test('an answer that is late may come within the time-out and half a second more, and counts as late', async (t) => {
  const { clock, circuit, asked, told, ask } = await up()
  const inTime = ask()
  await clock.pass(49)
  t.notOk(circuit.isLate)
  asked[1]!.answer([[7]])
  t.same(await inTime, [[7]])
  const late = ask()
  await clock.pass(51)
  t.ok(circuit.isLate)
  await clock.pass(548)
  asked[2]!.answer([[8]])
  t.same(await late, [[8]])
  t.notOk(circuit.isLate)
  t.same([circuit.isUp, circuit.isRetrying], [true, false])
  t.same(told, ['1 ok', '1 timeout'])
  circuit.stop()
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})

test('an answer that does not come in that time opens it, takes its connection along, and nobody waits for the probe', async (t) => {
  const { clock, circuit, told, ask, counts } = await up()
  const late = ask()
  await clock.pass(599)
  t.ok(circuit.isUp)
  await clock.pass(2)
  t.equal(await late, null)
  t.same([circuit.isUp, circuit.isLate, circuit.isRetrying], [false, false, false])
  t.same(told, ['1 timeout', 'no answer within 600 ms'])
  t.equal(counts().closed, 1)
  circuit.stop()
})

test('three answers in a row may be late, and one in ten for ever; the next one opens it at once', async (t) => {
  const { clock, circuit, asked, told, ask } = await up()
  const answered = async (ms: number): Promise<boolean> => {
    const answer = ask()
    await clock.pass(ms)
    asked.at(-1)!.answer([[1]])
    return (await answer) !== null
  }
  for (let nth = 0; nth < 20; nth++) {
    t.ok(await answered(60))
    for (let more = 0; more < 10; more++) await answered(1)
  }
  for (let nth = 0; nth < 3; nth++) t.ok(await answered(60))
  t.equal(told.filter((line) => line.startsWith('no answer')).length, 0)
  await clock.pass(10_000)
  t.notOk(await answered(60))
  t.same([circuit.isUp, circuit.isRetrying], [false, true], 'its first probe may find that it is back')
  t.same(told.slice(-2), ['1 timeout', 'no answer within 50 ms'])
  circuit.stop()
})

test('the connection that ends while an answer is late opens it at once', async (t) => {
  const { circuit, clock, asked, ask } = await up()
  const late = ask()
  await clock.pass(100)
  asked.at(-1)!.fail('gone')
  t.equal(await late, null)
  t.same([circuit.isUp, circuit.isLate], [false, false])
  circuit.stop()
})

test('while it is open one probe at a time is made, after pauses that double up to five seconds, and it is told once', async (t) => {
  const { clock, circuit, told, counts, refuse } = setUp()
  refuse('ECONNREFUSED')
  circuit.start()
  await clock.pass(0)
  const at: number[] = []
  let known = counts().connects
  for (let ms = 0; ms < 20_000; ms += 50) {
    await clock.pass(50)
    if (counts().connects > known) at.push(ms + 50)
    known = counts().connects
  }
  t.same(
    at.map((time, nth) => time - (at[nth - 1] ?? 0)),
    [100, 200, 400, 800, 1600, 3200, 5000, 5000],
  )
  t.same(told, ['ECONNREFUSED'])
  circuit.stop()
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})

test('the pauses of a store that answers each probe and fails soon after grow as well, until it has answered for ten seconds', async (t) => {
  const { clock, circuit, counts, asked } = setUp()
  circuit.start()
  await clock.pass(0)
  const pauseAfter = async (upMs: number): Promise<number> => {
    asked.at(-1)!.answer([[1]])
    await clock.pass(upMs)
    const { connects } = counts()
    const late = circuit.run([{ script: 'draw', key: 'a', args: [] }])
    asked.at(-1)!.fail('gone')
    t.equal(await late, null)
    let ms = 0
    for (; counts().connects === connects; ms += 50) await clock.pass(50)
    return ms
  }
  const pauses: number[] = []
  for (const upMs of [0, 5, 100, 1000, 9999, 10_000, 5]) pauses.push(await pauseAfter(upMs))
  t.same(pauses, [100, 200, 400, 800, 1600, 100, 200])
  circuit.stop()
})

test('after the first failure in a while it is retrying until its first probe ends, and no longer than that may take', async (t) => {
  const { clock, circuit, asked, refuse } = setUp()
  t.notOk(circuit.isRetrying)
  circuit.start()
  await clock.pass(0)
  t.notOk(circuit.isRetrying, 'one that has never answered is no late answer')
  asked.at(-1)!.answer([[1]])
  const fail = async (): Promise<void> => {
    await clock.pass(0)
    t.notOk(circuit.isRetrying, 'it is up')
    const lost = circuit.run([{ script: 'draw', key: 'a', args: [] }])
    asked.at(-1)!.fail('gone')
    await lost
  }
  await fail()
  t.ok(circuit.isRetrying)
  await clock.pass(99)
  t.ok(circuit.isRetrying, 'the probe is yet to come')
  await clock.pass(1)
  t.ok(circuit.isRetrying, 'it is under way')
  asked.at(-1)!.answer([[1]])
  await fail()
  t.notOk(circuit.isRetrying, 'it fails again within ten seconds')
  await clock.pass(200)
  asked.at(-1)!.answer([[1]])
  await clock.pass(10_000)
  await fail()
  t.ok(circuit.isRetrying, 'it has answered for ten')
  refuse('ECONNREFUSED')
  await clock.pass(100)
  t.notOk(circuit.isRetrying, 'the probe has failed')
  refuse(null)
  await clock.pass(200)
  asked.at(-1)!.answer([[1]])
  await clock.pass(10_000)
  await fail()
  await clock.pass(100)
  t.equal(asked.at(-1)!.commands[0]!.script, 'beat')
  await clock.pass(49)
  t.ok(circuit.isRetrying)
  await clock.pass(2)
  t.notOk(circuit.isRetrying, 'no answer')
  circuit.stop()
})

test('a circuit that replaces another is retrying until its first probe ends', async (t) => {
  const { clock, circuit, asked } = setUp()
  circuit.start(true)
  await clock.pass(0)
  t.ok(circuit.isRetrying)
  asked.at(-1)!.answer([[1]])
  await clock.pass(0)
  t.same([circuit.isRetrying, circuit.isUp], [false, true])
  circuit.stop()
  const next = setUp()
  next.refuse('ECONNREFUSED')
  next.circuit.start(true)
  await next.clock.pass(0)
  t.notOk(next.circuit.isRetrying)
  next.circuit.stop()
})

test('a probe that cannot connect is waited for no longer than 500 ms and the time-out', async (t) => {
  const { clock, circuit, asked, hang } = setUp()
  circuit.start()
  await clock.pass(0)
  asked.at(-1)!.answer([[1]])
  await clock.pass(0)
  hang()
  const lost = circuit.run([{ script: 'draw', key: 'a', args: [] }])
  asked.at(-1)!.fail('gone')
  await lost
  await clock.pass(549)
  t.ok(circuit.isRetrying)
  await clock.pass(1)
  t.notOk(circuit.isRetrying)
  circuit.stop()
  t.notOk(circuit.isRetrying)
})

test('a circuit that is stopped while it connects gives no sign of life any more', async (t) => {
  const { clock, circuit, asked, counts } = setUp()
  circuit.start()
  circuit.stop()
  await clock.pass(0)
  t.same([asked.length, counts().closed], [0, 1])
})

test('each other problem of an outage is told once, and no more than eight', async (t) => {
  const { clock, circuit, told, refuse } = setUp()
  const problems = ['closed', 'certificate', 'closed', ...Array.from({ length: 20 }, (_, nth) => `p${nth}`)]
  refuse(problems[0]!)
  circuit.start()
  for (const problem of problems) {
    refuse(problem)
    await clock.pass(8000)
  }
  t.same(told.slice(0, 3), ['closed', 'certificate', 'p0'])
  t.equal(told.length, 8)
  circuit.stop()
})
