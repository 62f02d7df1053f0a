// A worker that throws, hangs, fills its heap or ends: its connections end, those of the others notice
// nothing, and another worker takes its place.

import { test } from 'tap'
import type { Test } from 'tap'
import { ask } from '../admin/admin.ts'
import type { Row } from '../admin/admin.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { bring, holdStill } from '../support/faults.ts'
import type { EndKind } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { threadFile } from '../support/threads.ts'

const WORKERS = 3
const CLIENTS = 30
const LONG = { withinMs: 60_000 }

interface Client {
  wire: Wire
  id: number
}

async function say(wire: Wire): Promise<void> {
  await wire.write('x')
  await within(wire.read(1), LONG)
}

async function rowsOf(gate: Gate): Promise<Row[]> {
  return JSON.parse((await ask(gate.adminPort, '/connections', {}, 'GET')).body) as Row[]
}

async function setUp(
  t: Test,
  broken = (): void => {},
): Promise<{ gate: Gate; clients: Client[]; lines: Row[] }> {
  watchLeaks(t, LONG)
  const upstream = await echo(t)
  const lines: Row[] = []
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
    workers: WORKERS,
    threadFile: threadFile('faulty-thread'),
    // Quickly full.
    heapMb: 64,
    onBroken: broken,
    onLine: (line) => void lines.push(line),
  })
  const clients: Client[] = []
  for (let nth = 0; nth < CLIENTS; nth++) {
    const wire = await connect(t, gate.port)
    await say(wire)
    const known = new Set(clients.map(({ id }) => id))
    const { id } = (await rowsOf(gate)).find((row) => !known.has(Number(row['id'])))!
    clients.push({ wire, id: Number(id) })
  }
  return { gate, clients, lines }
}

const isOf =
  (worker: number) =>
  ({ id }: Client): boolean =>
    id % WORKERS === worker

const saw = (lines: readonly Row[], message: string): Row[] => lines.filter(({ msg }) => msg === message)

const workersOf = (rows: readonly Row[]): Set<number> => new Set(rows.map(({ id }) => Number(id) % WORKERS))

/** A worker that hangs does not hold up views: they leave out its connections, and its counters keep their last values. */
async function isToldWithout(
  t: Test,
  worker: number,
  others: number,
  { gate, lines }: { gate: Gate; lines: readonly Row[] },
): Promise<void> {
  await eventually(async () => !workersOf(await rowsOf(gate)).has(worker), LONG)
  const [rows, text, info] = await Promise.all([
    rowsOf(gate),
    gate.metrics(),
    ask(gate.adminPort, '/info', {}, 'GET'),
  ])
  t.same(saw(lines, 'worker ended'), [], 'while it hangs')
  t.equal(rows.length, others)
  t.equal(info.status, 200, info.body)
  const labels = { listener: 'l0', protocol: 'tcp' }
  t.equal(readSamples(text).sum('sidegate_connections_opened_total', labels), CLIENTS)
}

for (const kind of ['throw', 'exit', 'heap', 'hang'] as const satisfies ReadonlyArray<EndKind>)
  test(
    `${kind}: clients of other workers feel nothing, and the worker is replaced`,
    { timeout: 120_000 },
    async (t) => {
      const { gate, clients, lines } = await setUp(t)
      const worker = 1
      const [lost, kept] = [clients.filter(isOf(worker)), clients.filter((one) => !isOf(worker)(one))]
      await gate.metrics()
      bring({ worker, kind })
      if (kind === 'hang') await isToldWithout(t, worker, kept.length, { gate, lines })
      for (const { wire } of kept) await say(wire)
      for (const { wire } of lost) await within(wire.closed, LONG)
      await eventually(() => saw(lines, 'worker replaced').length === 1, LONG)
      t.match(saw(lines, 'worker ended'), [{ worker, level: 'error' }])
      for (const { wire } of kept) await say(wire)
      const { body, status } = await ask(gate.healthPort, '/readyz', {}, 'GET')
      t.same([status, body], [200, 'ok\n'])
      await eventually(() => gate.operator.open === kept.length, LONG)
      for (let nth = 0; nth < CLIENTS; nth++) await say(await connect(t, gate.port))
      const ids = (await rowsOf(gate)).map(({ id }) => Number(id))
      t.ok(
        ids.some((id) => id % WORKERS === worker),
        'the new one has some',
      )
      const old = new Set(clients.map(({ id }) => id))
      t.equal(ids.filter((id) => old.has(id)).length, kept.length, 'no id is given twice')
      const samples = readSamples(await gate.metrics())
      const labels = { listener: 'l0', protocol: 'tcp' }
      const opened = samples.sum('sidegate_connections_opened_total', labels)
      const closed = samples.sum('sidegate_connections_closed_total', labels)
      t.equal(opened - closed, kept.length + CLIENTS, 'the account balances')
      t.equal(samples.sum('sidegate_connections_closed_total', { reason: 'internal_error' }), lost.length)
      if (kind === 'throw')
        t.equal(
          gate.lines.filter(({ close }) => close === 'internal_error').length,
          lost.length,
          'and is told',
        )
    },
  )

test('a worker that gets no turn for some seconds is left out meanwhile, and goes on with all that it had', async (t) => {
  const { gate, clients, lines } = await setUp(t)
  const worker = 1
  await gate.metrics()
  const [its, kept] = [clients.filter(isOf(worker)), clients.filter((one) => !isOf(worker)(one))]
  const letGo = holdStill(worker)
  t.teardown(letGo)
  await isToldWithout(t, worker, kept.length, { gate, lines })
  // Who asks for that worker alone hears that it does not answer; orders stand, and those for all wait for it.
  const killed = ask(gate.adminPort, `/connections/${its[0]!.id}`, {}, 'DELETE')
  const told = ask(gate.adminPort, `/connections/${its[1]!.id}`, {}, 'GET')
  const reloaded = gate.reload([`protocol: tcp, upstream: "127.0.0.1:${gate.port}", noDelay: false`])
  for (const { wire } of kept) await say(wire)
  await its[1]!.wire.write('y')
  t.equal((await within(killed, LONG)).status, 504)
  t.equal((await within(told, LONG)).status, 504)
  letGo()
  t.match(await within(reloaded, LONG), { result: 'success' })
  t.equal((await its[1]!.wire.read(1)).toString(), 'y', 'what was sent meanwhile was not lost')
  await within(its[0]!.wire.closed, LONG)
  const left = clients.filter(({ id }) => id !== its[0]!.id)
  for (const { wire } of left) await say(wire)
  await eventually(async () => workersOf(await rowsOf(gate)).has(worker), LONG)
  t.same(
    (await rowsOf(gate)).map(({ id }) => Number(id)).sort((one, other) => one - other),
    left.map(({ id }) => id).sort((one, other) => one - other),
  )
  const samples = readSamples(await gate.metrics())
  t.equal(samples.sum('sidegate_connections_opened_total', {}), CLIENTS)
  t.equal(samples.sum('sidegate_connections_closed_total', { reason: 'killed' }), 1)
  t.equal(samples.get('sidegate_workers_ended_total', {}), 0)
  t.same([saw(lines, 'worker ended'), saw(lines, 'worker replaced')], [[], []])
})

test('five ends in a minute are given up on', async (t) => {
  const broken = Promise.withResolvers<number>()
  const { lines } = await setUp(t, () => broken.resolve(saw(lines, 'worker ended').length))
  for (let nth = 0; nth < 5; nth++) {
    bring({ worker: nth % WORKERS, kind: 'exit' })
    await eventually(() => saw(lines, 'worker ended').length === nth + 1, LONG)
    if (nth < 4) await eventually(() => saw(lines, 'worker replaced').length === nth + 1, LONG)
  }
  t.equal(await broken.promise, 5)
})

test('a drain that is under way goes on when a worker ends, and nobody takes its place', async (t) => {
  const { gate, clients, lines } = await setUp(t)
  const drained = gate.operator.drain('admin', {
    minDurationMs: 0,
    spreadMs: 0,
    timeoutMs: 60_000,
    tcp: 'wait',
  })
  await eventually(() => gate.operator.drainState === 'parting')
  bring({ worker: 1, kind: 'exit' })
  await eventually(() => saw(lines, 'worker ended').length === 1, LONG)
  t.equal(gate.operator.drainState, 'parting')
  for (const { wire } of clients.filter((one) => !isOf(1)(one))) {
    await say(wire)
    wire.reset()
  }
  await within(drained, LONG)
  t.equal(gate.operator.drainState, 'finished')
  t.equal(saw(lines, 'worker replaced').length, 0)
})

for (const end of ['its timeout', 'a second signal'] as const)
  test(`a drain that ends by ${end} does not wait for a worker that gets no turn`, async (t) => {
    const { gate, clients, lines } = await setUp(t)
    const lost = clients.filter(isOf(1)).length
    t.teardown(holdStill(1))
    const times = { minDurationMs: 0, spreadMs: 0, tcp: 'wait' as const }
    const timeoutMs = end === 'its timeout' ? 300 : 60_000
    const drained = gate.operator.drain('SIGTERM', { ...times, timeoutMs })
    await eventually(() => gate.operator.drainState === 'parting')
    if (end === 'its timeout') await within(drained, LONG)
    await within(gate.operator.stop(), LONG)
    await within(drained, LONG)
    t.match(saw(lines, 'worker ended'), [
      { worker: 1, level: 'error', why: 'it did not answer while the process ended', connections: lost },
    ])
    for (const { wire } of clients) await within(wire.closed, LONG)
  })
