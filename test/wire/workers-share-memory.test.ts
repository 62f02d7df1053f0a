// Bounds of memory and of slowness with three workers and many clients at once: a client that is too slow
// ends at any worker, the queues of all workers together stay within `memory.buffered`, and no other client
// notices.

import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, flooder } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import { rawClient, wsServer } from '../support/websocket.ts'
import type { Wire } from '../support/wire.ts'
import { readSamples } from '../metrics/samples.ts'

const WORKERS = 3
const CLIENTS = 200
const KIB = 1024
const MIB = 1024 * KIB
const LONG = { withinMs: 60_000 }

const samplesOf = async (gate: Gate) => readSamples(await gate.metrics())

/** Bytes in the queues of all workers. */
async function buffered(gate: Gate): Promise<number> {
  return (await samplesOf(gate)).sum('sidegate_buffered_bytes', {})
}

async function say(wire: Wire): Promise<void> {
  await wire.write('x')
  await within(wire.read(1, LONG), LONG)
}

/** Of so many, each worker has some. */
const someOfEach = async (gate: Gate): Promise<boolean> => {
  const samples = await samplesOf(gate)
  const counts = Array.from({ length: WORKERS }, (_, worker) =>
    samples.get('sidegate_worker_connections', { worker: String(worker) }),
  )
  return counts.every((count) => (count ?? 0) > 0)
}

test('limits.minRate: of 200 clients of 3 workers those who are too slow end, and nobody else', async (t) => {
  watchLeaks(t, LONG)
  const upstream = await wsServer(t, { echo: false })
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { minRate: { bytes: 1KiB, after: 1s } }`,
    ],
    { workers: WORKERS },
  )
  const clients = []
  for (let nth = 0; nth < CLIENTS; nth++) clients.push(await rawClient(t, gate.port))
  t.ok(await someOfEach(gate))
  const begun = encodeFrame({ opcode: 'binary', declares: 10_000, mask: true })
  const slow = clients.filter((_, nth) => nth % 2 === 0)
  const innocent = clients.filter((_, nth) => nth % 2 === 1)
  for (const client of slow) void client.send(begun)
  const timer = setInterval(() => {
    for (const client of slow) void client.send(Buffer.alloc(1))
    for (const client of innocent) void client.sendFrame({ opcode: 'text', payload: 'a whole one' })
  }, 50)
  t.teardown(() => clearInterval(timer))
  await eventually(() => gate.lines.length >= slow.length, LONG)
  for (const client of slow) t.equal((await within(client.closed, LONG)).kind, 'reset')
  clearInterval(timer)
  t.same(
    new Set(gate.lines.map(({ close, side }) => `${String(close)} ${String(side)}`)),
    new Set(['too_slow client']),
  )
  t.same([gate.lines.length, gate.operator.open], [slow.length, innocent.length])
  const acts = (await samplesOf(gate)).get('sidegate_rate_limited_total', {
    listener: 'l0',
    limit: 'minRate',
    action: 'close',
  })
  t.equal(acts, slow.length)
})

test('memory.buffered: what waits in 3 workers together is brought below it, by the stalled, and no more of them than it takes', async (t) => {
  watchLeaks(t, LONG)
  // Each stalled reader of a flood costs the kernel 4 MB.
  const [stalled, limit, each] = [60, 2 * MIB, 64 * KIB]
  const [flood, answers] = [await flooder(t), await echo(t)]
  const gate = await startGate(
    t,
    [flood, answers].map(
      ({ port }) => `protocol: tcp, upstream: "127.0.0.1:${port}", buffers: { high: 64KiB }`,
    ),
    { workers: WORKERS },
    'memory: { buffered: 2MiB, refuseAt: off }',
  )
  const alive = await Promise.all(Array.from({ length: 20 }, () => connect(t, gate.ports[1]!)))
  for (const wire of alive) await say(wire)
  const readers = await Promise.all(
    Array.from({ length: stalled }, () => connect(t, gate.ports[0]!, { unread: true })),
  )
  t.ok(await someOfEach(gate))
  // All remaining clients are stalled by then: as many as have room, in any worker.
  await eventually(async () => {
    for (const wire of alive) await say(wire)
    return gate.lines.length > 0 && (await buffered(gate)) <= limit
  }, LONG)
  t.same(
    new Set(gate.lines.map(({ close, listener }) => `${String(close)} ${String(listener)}`)),
    new Set(['overloaded l0']),
  )
  const left = stalled - gate.lines.length
  // The bytes of a read go over the watermark.
  const most = 2 * each
  t.ok(left * most >= limit / 2, `${left} of ${stalled} are left`)
  for (const wire of alive) await say(wire)
  for (const wire of [...readers, ...alive]) wire.reset()
  await eventually(() => gate.operator.open === 0, LONG)
  t.equal(await buffered(gate), 0, 'no queue is counted that nobody has')
})

test('memory.buffered: what 200 clients of 3 workers send before there is an upstream stays within its share', async (t) => {
  watchLeaks(t, LONG)
  const nobody = await backlogFull(t)
  const [share, read] = [MIB, 64 * KIB]
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${nobody.port}", deadlines: { connect: 5m }`],
    { workers: WORKERS },
    // A quarter of it.
    'memory: { buffered: 4MiB }',
  )
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(t, gate.port)))
  for (const client of clients) void client.write(Buffer.alloc(read))
  let most = 0
  await eventually(async () => {
    most = Math.max(most, await buffered(gate))
    return most >= share - read
  }, LONG)
  for (let nth = 0; nth < 20; nth++) most = Math.max(most, await buffered(gate))
  // Each worker looks before it reads, and two may look at once.
  t.ok(most <= share + (WORKERS - 1) * read, `${Math.round(most / KIB)} KiB at the most`)
  const received = (await samplesOf(gate)).sum('sidegate_receive_bytes_total', { side: 'client' })
  t.ok(received <= share + (WORKERS - 1) * read, `${Math.round(received / KIB)} KiB were read in all`)
  await gate.operator.reset('killed')
  await eventually(() => gate.operator.open === 0, LONG)
  t.equal(await buffered(gate), 0)
})
