// One set of limits, whichever worker a client meets: counts never exceed theirs, rates stay within a burst,
// and the places of a worker that ended are free again.

import { once } from 'node:events'
import net from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { bring } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import type { Upstream } from '../support/peers.ts'
import { readSamples } from '../metrics/samples.ts'
import type { Wire } from '../support/wire.ts'
import { threadFile } from '../support/threads.ts'

const WORKERS = 3
const CLIENTS = 200
const LONG = { withinMs: 60_000 }

async function gateWith(
  t: Test,
  limits: string,
  upstreamKeys = '',
): Promise<{ gate: Gate; upstream: Upstream }> {
  watchLeaks(t, LONG)
  const upstream = await echo(t)
  const to =
    upstreamKeys === ''
      ? `"127.0.0.1:${upstream.port}"`
      : `{ addresses: ["127.0.0.1:${upstream.port}"], ${upstreamKeys} }`
  const gate = await startGate(t, [`protocol: tcp, upstream: ${to}${limits}`], {
    workers: WORKERS,
    threadFile: threadFile('faulty-thread'),
  })
  return { gate, upstream }
}

/** Starts clients at once; returns those with an answer, once the gate has refused the others. */
async function storm(t: Test, port: number, clients: number): Promise<Wire[]> {
  const answers = await Promise.all(
    Array.from({ length: clients }, async () => {
      const wire = await connect(t, port).catch(() => null)
      return wire !== null && (await isAnswered(wire)) ? [wire] : []
    }),
  )
  return answers.flat()
}

async function isAnswered(wire: Wire): Promise<boolean> {
  wire.write('x').catch(() => {})
  return Promise.race([
    wire.read(1).then(
      () => true,
      () => false,
    ),
    wire.closed.then(() => false),
  ])
}

test('limits.connections holds for all workers together, exactly, again and again', async (t) => {
  const { gate } = await gateWith(t, ', limits: { connections: 50 }')
  for (let round = 0; round < 3; round++) {
    const served = await within(storm(t, gate.port, CLIENTS), LONG)
    t.equal(served.length, 50)
    for (const wire of served) wire.reset()
    await eventually(() => gate.operator.open === 0, LONG)
  }
})

test('limits.connectionsPerClient holds for all workers together', async (t) => {
  const { gate } = await gateWith(t, ', limits: { connectionsPerClient: 20 }')
  const served = await within(storm(t, gate.port, CLIENTS), LONG)
  t.equal(served.length, 20)
  served.pop()!.reset()
  await eventually(() => gate.operator.open === 19, LONG)
  t.equal((await within(storm(t, gate.port, 10), LONG)).length, 1, 'the place that came free')
})

test('what a worker held that ended is free for the others', async (t) => {
  const { gate } = await gateWith(t, ', limits: { connections: 60 }')
  const served = await within(storm(t, gate.port, CLIENTS), LONG)
  t.equal(served.length, 60)
  bring({ worker: 1, kind: 'exit' })
  await eventually(() => gate.operator.open < 60, LONG)
  const left = gate.operator.open
  await eventually(async () => {
    await storm(t, gate.port, 20)
    return gate.operator.open === 60
  }, LONG)
  t.ok(left > 0 && left < 60, `${left} were left`)
  t.equal((await within(storm(t, gate.port, 20), LONG)).length, 0, 'and no more than that')
})

test('limits.newConnections holds for all workers together, within its burst', async (t) => {
  for (const per of ['listener', 'client']) {
    const { gate } = await gateWith(
      t,
      `, limits: { newConnections: { rate: 10, burst: 30, per: ${per}, onExceed: close } }`,
    )
    const startedAt = performance.now()
    const served = await within(storm(t, gate.port, CLIENTS), LONG)
    const most = 30 + (10 * (performance.now() - startedAt + 100)) / 1000
    t.ok(
      served.length >= 30 && served.length <= most,
      `${served.length} of at most ${most.toFixed(1)} (${per})`,
    )
  }
})

test('limits.bytes of a client holds over its connections in all workers', async (t) => {
  const [each, wires] = [256 * 1024, 12]
  const { gate } = await gateWith(t, ', limits: { bytes: { rate: 1MiB, burst: 256KiB, per: client } }')
  const clients = await Promise.all(Array.from({ length: wires }, () => connect(t, gate.port)))
  const startedAt = performance.now()
  await within(
    Promise.all(
      clients.map(async (wire) => {
        void wire.write(Buffer.alloc(each))
        await wire.read(each)
      }),
    ),
    LONG,
  )
  const tookMs = performance.now() - startedAt
  // Less the burst, and one read of each connection, which may be a debt. Each worker for itself would be three times as fast.
  const atLeastMs = ((wires * each - 256 * 1024 - wires * 64 * 1024) / 2 ** 20) * 1000
  t.ok(tookMs >= atLeastMs, `${Math.round(tookMs)} of at least ${Math.round(atLeastMs)} ms`)
})

test('upstream.maxConnections holds for all workers together, and who waits in one gets the place that another gives up', async (t) => {
  watchLeaks(t, LONG)
  let open = 0
  let most = 0
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    most = Math.max(most, ++open)
    socket.on('error', () => {}).once('close', () => open--)
    socket.pipe(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as net.AddressInfo
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: { addresses: ["127.0.0.1:${port}"], maxConnections: 5, queueTimeout: 1m }, deadlines: { connect: 5s }`,
    ],
    { workers: WORKERS },
  )
  const rounds = Array.from({ length: CLIENTS }, async () => {
    const wire = await connect(t, gate.port)
    t.ok(await isAnswered(wire))
    wire.end()
    await wire.ended
  })
  await within(Promise.all(rounds), LONG)
  t.ok(most <= 5, `${most} at a time at the upstream`)
  t.equal(readSamples(await gate.metrics()).get('sidegate_upstream_queued', { listener: 'l0' }), 0)
})
