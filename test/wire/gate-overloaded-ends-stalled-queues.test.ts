import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate, type Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { connect, echo, flooder } from '../support/peers.ts'
import { trickleReader } from '../support/processes.ts'
import type { Wire } from '../support/wire.ts'

const RESET = { kind: 'reset', code: 'ECONNRESET' }
const KIB = 1024
const MIB = 1024 * KIB
/** The gate looks into the kernel less often where there are many thousands of sockets. */
const PATIENCE_MS = 20_000

const queued = ({ registry }: Gate): number =>
  [...registry].reduce((sum, { owner }) => sum + owner!.queued('client') + owner!.queued('upstream'), 0)

/** The time since the client of that connection last took a byte of its queue. */
function quietMs({ registry }: Gate, id: number): number {
  return performance.now() - registry.get(id)!.owner!.lastDrainAt('client')
}

/** A client that reads nothing, once it has stopped its upstream, or another has ended for its queue. */
async function stalled(t: Test, gate: Gate, port: number): Promise<Wire> {
  const [before, ended] = [queued(gate), gate.lines.length]
  const client = await connect(t, port, { unread: true })
  await eventually(() => queued(gate) > before || gate.lines.length > ended, { what: 'a queue, or an end' })
  return client
}

/** A paused client is blind to RST until it reads. */
async function sawReset(t: Test, client: Wire): Promise<void> {
  client.resumeReading()
  t.same(await within(client.closed), RESET)
}

test('over memory.buffered the largest stalled pair is overloaded and gets RST, while smaller ones and a live echo go on', async (t) => {
  watchLeaks(t)
  const [flood, answers] = [await flooder(t), await echo(t)]
  const to = (port: number, high: string): string =>
    `protocol: tcp, upstream: "127.0.0.1:${port}", buffers: { high: ${high} }`
  const gate = await startGate(
    t,
    [to(flood.port, '512KiB'), to(flood.port, '64KiB'), to(answers.port, '64KiB')],
    {},
    'memory: { buffered: 512KiB, refuseAt: off }',
  )
  const [large, small, live] = gate.ports
  const alive = await connect(t, live!)
  const largest = await stalled(t, gate, large!)
  await eventually(() => queued(gate) > 256 * KIB, { what: 'the largest queue' })
  const others = [await stalled(t, gate, small!)]
  // One client alone never holds more than the budget, so the queues stay within it until enough of the others have come.
  while (queued(gate) <= 512 * KIB && gate.lines.length === 0) others.push(await stalled(t, gate, small!))
  t.match(await gate.end(), {
    reason: 'overloaded',
    side: 'sidegate',
    phase: 'relay',
    line: { listener: 'l0' },
  })
  await sawReset(t, largest)
  for (let round = 0; round < 20; round++) {
    await alive.write('ping')
    t.equal((await alive.read(4)).toString(), 'ping')
  }
  const samples = readSamples(await gate.metrics())
  t.equal(samples.get('sidegate_memory_buffered_limit_bytes'), 512 * KIB)
  t.equal(samples.get('sidegate_connections_closed_total', { reason: 'overloaded', listener: 'l1' }), 0)
  t.ok(gate.registry.get(1), 'the echo is still there')
})

test('a single pair that holds more than the budget is overloaded, and its upstream gets RST as well', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", buffers: { high: 512KiB }`],
    {},
    'memory: { buffered: 128KiB, refuseAt: off }',
  )
  const client = await connect(t, gate.port, { unread: true })
  t.match(await gate.end(), { reason: 'overloaded', side: 'sidegate' })
  await sawReset(t, client)
  const seen = await upstream.connection()
  t.same(await within(seen.closed), RESET)
})

test('just within memory.buffered nobody is ended', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", buffers: { high: 64KiB }`],
    {},
    'memory: { buffered: 192KiB, refuseAt: off }',
  )
  const clients = [
    await stalled(t, gate, gate.port),
    await stalled(t, gate, gate.port),
    await stalled(t, gate, gate.port),
  ]
  await eventually(() => [1, 2, 3].every((id) => quietMs(gate, id) >= 1000), {
    what: 'them to be stalled for long',
  })
  t.same([gate.lines.length, clients.map(({ outcome }) => outcome)], [0, [null, null, null]])
})

test('while memory is used up, stalled pairs are overloaded one after the other, and a big transfer that progresses arrives whole', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const total = 32 * MIB
  const [flood, transfer] = [await flooder(t), await flooder(t, { total, seed: 7 })]
  const listeners = [flood, transfer].map(
    ({ port }) => `protocol: tcp, upstream: "127.0.0.1:${port}", buffers: { high: 256KiB }`,
  )
  const gate = await startGate(t, listeners, { memory })
  const reader = await connect(t, gate.ports[1]!, { into: { write: () => {} } })
  // Slower than its service sends: its queue is as long as that of the others.
  let isPaced = true
  reader.socket.on('data', () => isPaced && reader.stopReading())
  const pace = setInterval(() => reader.resumeReading(), 25)
  t.teardown(() => clearInterval(pace))
  const clients = [
    await stalled(t, gate, gate.port),
    await stalled(t, gate, gate.port),
    await stalled(t, gate, gate.port),
  ]
  memory.use(0.96)
  await eventually(() => gate.lines.length >= 3 && gate.lines, {
    what: 'the stalled ones to end',
    withinMs: PATIENCE_MS,
  })
  t.same(
    gate.lines.map((line) => [line['close'], line['listener']]),
    Array.from({ length: 3 }, () => ['overloaded', 'l0']),
  )
  for (const client of clients) await sawReset(t, client)
  isPaced = false
  t.equal(await within(reader.ended, { withinMs: 20_000 }), true)
  t.equal(reader.bytes, total)
})

test('a reader of few bytes a second, whom the kernel shows as stalled, is told from those that are', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const upstream = await flooder(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], { memory })
  const slow = await trickleReader(t, gate.port, { bytes: 2000, everyMs: 50 })
  await stalled(t, gate, gate.port)
  await eventually(() => quietMs(gate, 1) >= 1000 && quietMs(gate, 2) >= 1000, {
    what: 'both to look stalled',
  })
  // From here on the gate looks into the kernel, and ends no connection without a look.
  memory.use(0.96)
  await eventually(() => gate.lines.length > 0, { what: 'an end', withinMs: PATIENCE_MS })
  t.match(await gate.end(), { reason: 'overloaded', line: { id: 2 } })
  await eventually(() => (gate.registry.get(1)?.toClient.sent ?? 0) > 0 && slow.bytes > 100_000, {
    what: 'the slow one to go on',
  })
  t.equal(gate.lines.length, 1)
})
