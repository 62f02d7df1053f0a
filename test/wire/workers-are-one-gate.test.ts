// Several gates, each in a thread, seen from outside: one listening port, one view, one drain, one reload.

import { test } from 'tap'
import type { Test } from 'tap'
import { ask } from '../admin/admin.ts'
import type { Row } from '../admin/admin.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { allTransports, forEachTransport, openLine } from '../support/transports.ts'
import type { Wire } from '../support/wire.ts'

const CLIENTS = 60
/** Threads take their time to begin and to end where the machine is busy. */
const LONG = { withinMs: 30_000 }

async function json<T = Row>(gate: Gate, path: string, method = 'GET'): Promise<T> {
  return JSON.parse((await ask(gate.adminPort, path, {}, method)).body) as T
}

async function talk(t: Test, port: number): Promise<Wire> {
  const wire = await connect(t, port)
  await say(wire)
  return wire
}

async function say(wire: Wire): Promise<void> {
  await wire.write('x')
  await within(wire.read(1), LONG)
}

/** So many clients of a gate with so many workers, each of which has some. */
async function shared(t: Test, workers: number, keys = ''): Promise<{ gate: Gate; clients: Wire[] }> {
  const upstream = await echo(t)
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"${keys}`
  const gate = await startGate(t, [listener], { workers })
  const clients: Wire[] = []
  for (let nth = 0; nth < CLIENTS; nth++) clients.push(await talk(t, gate.port))
  return { gate, clients }
}

const workerOf = (id: unknown, workers: number): number => Number(id) % workers

test('every transport carries every byte both ways through a gate with two workers', (t) =>
  forEachTransport(t, allTransports, async (t, transport) => {
    const { gate, client, service } = await openLine(t, transport, '', { parts: { workers: 2 } })
    await client.send(200_000)
    await service.send(200_000)
    await eventually(() => client.got.bytes === 200_001 && service.got.bytes === 200_001, LONG)
    t.same([client.got.problem(), service.got.problem()], [null, null])
    client.reset()
    t.match(await gate.end(), { phase: 'relay' })
  }))

for (const workers of [2, 3, 4])
  test(`connections are shared by ${workers} workers, and shown, described and killed as those of one`, async (t) => {
    watchLeaks(t, LONG)
    const { gate, clients } = await shared(t, workers)
    const rows = await json<Row[]>(gate, '/connections?sort=age')
    t.equal(new Set(rows.map(({ id }) => id)).size, CLIENTS, 'no id twice')
    const of = rows.map(({ id }) => workerOf(id, workers))
    t.same(
      [...new Set(of)].toSorted((one, other) => one - other),
      Array.from({ length: workers }, (_, worker) => worker),
      'each has some',
    )
    // Clients came one after the other, and the kernel chose the worker: those of one worker are not adjacent.
    const changes = of.filter((worker, nth) => nth > 0 && worker !== of[nth - 1]).length
    t.ok(changes >= 2 * workers, `in order of age, whoever has it: ${of.join(' ')}`)
    t.equal((await json<Row[]>(gate, '/connections?limit=7')).length, 7)
    t.match(await json(gate, '/info'), { connections: CLIENTS, phases: { relay: CLIENTS } })
    t.match(await json(gate, '/listeners'), [{ name: 'l0', connections: CLIENTS }])
    t.match(await json(gate, '/upstreams'), [{ listener: 'l0', targets: [{ open: CLIENTS }] }])
    for (let worker = 0; worker < workers; worker++) {
      const { id, client } = rows.find((row) => workerOf(row['id'], workers) === worker)!
      t.match(await json(gate, `/connections/${String(id)}`), { id, client, listener: 'l0' })
      t.match(await json(gate, `/connections/${String(id)}`, 'DELETE'), { id, close: { reason: 'killed' } })
    }
    await eventually(() => gate.lines.length === workers, LONG)
    const samples = readSamples(await gate.metrics())
    const labels = { listener: 'l0', protocol: 'tcp' }
    t.equal(samples.get('sidegate_connections', { ...labels, side: 'client' }), CLIENTS - workers)
    t.equal(samples.get('sidegate_connections_opened_total', labels), CLIENTS)
    t.equal(samples.sum('sidegate_connections_closed_total', { ...labels, reason: 'killed' }), workers)
    t.equal(samples.get('sidegate_receive_bytes_total', { listener: 'l0', side: 'client' }), CLIENTS)
    for (const client of clients) client.reset()
    await eventually(() => gate.operator.open === 0, LONG)
  })

test('a drain asks the connections of all workers to go, and counts them once', async (t) => {
  watchLeaks(t, LONG)
  const { gate, clients } = await shared(t, 3, ', deadlines: { close: 300ms }')
  const drained = gate.drain(20_000)
  for (const client of clients) {
    await within(client.ended, LONG)
    client.end()
  }
  t.match(await drained, { drained: CLIENTS, forced: 0, others: 0 })
  t.equal(gate.operator.drainState, 'finished')
  await t.rejects(connect(t, gate.port), { code: 'ECONNREFUSED' }, 'no worker accepts')
})

test('a drain that is undone leaves all workers as they were', async (t) => {
  watchLeaks(t, LONG)
  const { gate, clients } = await shared(t, 2)
  const drained = gate.operator.drain('admin', { minDurationMs: 60_000 })
  t.equal(gate.operator.undrain(), true)
  t.match(await drained, { isUndone: true })
  for (const client of clients) await say(client)
  await talk(t, gate.port)
})

test('a profile is of the worker that is asked for', async (t) => {
  watchLeaks(t, LONG)
  const { gate } = await shared(t, 2)
  const post = (path: string) => ask(gate.adminPort, path, {}, 'POST')
  const profile = await post('/debug/cpuprofile?seconds=1&worker=1')
  t.equal(profile.status, 200)
  t.match(JSON.parse(profile.body), { nodes: [{ callFrame: { functionName: '(root)' } }] })
  const heap = await post('/debug/heapsnapshot?force=1&worker=0')
  t.equal(heap.status, 200)
  t.ok(JSON.parse(heap.body), 'a whole snapshot')
  t.ok(heap.body.includes('"LogLine"'), 'of a thread with a gate')
  t.equal((await post('/debug/cpuprofile?seconds=1')).status, 200)
  for (const worker of ['2', '-1', 'x', ''])
    t.match(await post(`/debug/cpuprofile?seconds=1&worker=${worker}`), {
      status: 400,
      body: /worker must be 0 to 1/,
    })
  const alone = await startGate(t, ['protocol: tcp, upstream: "127.0.0.1:1"'])
  t.match(await ask(alone.adminPort, '/debug/cpuprofile?worker=0', {}, 'POST'), { status: 400 })
})

test('a level that is set holds in every worker', async (t) => {
  watchLeaks(t, LONG)
  const { gate, clients } = await shared(t, 2)
  await json(gate, '/log?level=warn', 'POST')
  for (const client of clients.slice(0, CLIENTS / 2)) client.reset()
  await eventually(() => gate.operator.open === CLIENTS / 2, LONG)
  await json(gate, '/log?level=info', 'POST')
  for (const client of clients.slice(CLIENTS / 2)) client.reset()
  await eventually(() => gate.operator.open === 0 && gate.lines.length === CLIENTS / 2, LONG)
})
