import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { pattern, sha256, Verifier } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, flooder, sink } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import { stopwatch } from '../support/stopwatch.ts'

const KIB = 1024
const MIB = 1024 * KIB
const FIN = { kind: 'fin', code: null }

interface Flow {
  /** Bytes received. */
  count: () => number
  /** The time at which none had come. */
  since: number
  /** Bytes a second. */
  rate: number
  /** The least that a bucket of that rate holds: a read, and the tokens of 40 ms. */
  burst?: number
  forMs: number
}

/** Waits; resolves with how long a busy machine has let this process stand still, beyond what a burst makes up for. */
async function stallsIn(forMs: number): Promise<number> {
  let lostMs = 0
  const end = performance.now() + forMs
  for (let before = performance.now(); before < end;) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    const now = performance.now()
    lostMs += Math.max(0, now - before - 20)
    before = now
  }
  return lostMs
}

/** After `forMs` no byte more has come than the bound allows, which is 4 to 7 % over the rate in that time, and not much less. */
async function isAtRate(
  t: Test,
  { count, since, rate, burst = 64 * KIB + rate * 0.04, forMs }: Flow,
): Promise<void> {
  const lostMs = await stallsIn(forMs)
  const came = count()
  const flowed = ((performance.now() - since) * rate) / 1000
  t.ok(
    came <= flowed + burst,
    `${came} bytes, at most ${flowed.toFixed(0)} and the burst of ${burst.toFixed(0)}`,
  )
  const least = 0.9 * (flowed - (lostMs * rate) / 1000) - 256 * KIB
  t.ok(came >= least, `${came} bytes, no less than ${least.toFixed(0)} (stalled for ${lostMs.toFixed(0)} ms)`)
}

test('a client at ten times its rate gets the rate, loses nothing, and its neighbour is not slowed down', async (t) => {
  watchLeaks(t)
  const upstream = await sink(t)
  const other = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { bytes: { rate: 2MiB, burst: 64KiB } }`,
    `protocol: tcp, upstream: "127.0.0.1:${other.port}"`,
  ])
  const [client, neighbour] = [await connect(t, gate.ports[0]!), await connect(t, gate.ports[1]!)]
  const total = 4 * MIB
  const since = performance.now()
  const sent = client.flood({ total, seed: 1 })
  const served = await upstream.connection()
  await isAtRate(t, { count: () => served.bytes, since, rate: 2 * MIB, forMs: 1800 })
  const watch = stopwatch(t)
  await neighbour.write('?')
  await neighbour.read(1)
  t.ok(watch.livedMs < 2000, `${watch.livedMs} of ${watch.ms} ms for an echo`)
  t.equal(gate.lines.length, 0)
  await sent
  t.match(await gate.end(), { reason: 'eof' })
  t.same(
    [upstream.connections.length, served.bytes, served.sha256],
    [1, total, sha256(pattern(total, 1))],
    'every byte, in order',
  )
  const samples = readSamples(await gate.metrics())
  t.ok(
    (samples.get('sidegate_rate_limited_total', { listener: 'l0', limit: 'bytes', action: 'delay' }) ?? 0) >
      20,
  )
  t.equal(samples.get('sidegate_backpressured_connections', {}), 0, 'a delay is no back-pressure')
})

test('an upstream is held to the rate in its direction, and the other direction has a bucket of its own', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t, { total: MIB, seed: 2, keepOpen: true })
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { bytes: { rate: 1MiB, burst: 64KiB } }`,
  ])
  const verifier = new Verifier(2)
  const since = performance.now()
  const client = await connect(t, gate.port, { into: verifier })
  await isAtRate(t, { count: () => verifier.bytes, since, rate: MIB, forMs: 700 })
  await client.flood({ total: 64 * KIB, keepOpen: true })
  await eventually(() => upstream.connections[0]?.bytes === 64 * KIB, { what: 'the other direction' })
  await eventually(() => verifier.bytes === MIB)
  t.equal(verifier.problem(), null)
  client.end()
  upstream.connections[0]?.end()
  await gate.end()
})

test('over a limit whose action is close a tcp client is rate_limited, and what came before is delivered', async (t) => {
  watchLeaks(t)
  const upstream = await sink(t)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { bytes: { rate: 1KiB, burst: 64KiB, onExceed: close } }`,
    ],
    { clock: stillClock() },
  )
  const client = await connect(t, gate.port)
  await client.write(Buffer.alloc(60 * KIB))
  await eventually(() => upstream.connections[0]?.bytes === 60 * KIB)
  t.equal(gate.lines.length, 0, 'within the burst')
  await client.write(Buffer.alloc(8 * KIB))
  t.match(await gate.end(), {
    reason: 'rate_limited',
    side: 'client',
    phase: 'relay',
    detail: 'limits.bytes',
  })
  t.same(await within(client.closed), FIN)
  t.equal(upstream.connections[0]?.bytes, 60 * KIB)
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_rate_limited_total', {
      listener: 'l0',
      limit: 'bytes',
      action: 'close',
    }),
    1,
  )
})

for (const per of ['client', 'listener'] as const) {
  test(`two connections share the rate of their ${per}, and take turns`, async (t) => {
    watchLeaks(t)
    const upstream = await sink(t)
    const gate = await startGate(t, [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { bytes: { rate: 2MiB, burst: 64KiB, per: ${per} } }`,
    ])
    const clients = [await connect(t, gate.port), await connect(t, gate.port)]
    const since = performance.now()
    for (const client of clients) void client.flood()
    const count = (): number => upstream.connections.reduce((sum, { bytes }) => sum + bytes, 0)
    // One read more for the second connection, which was reading when the bucket ran dry.
    await isAtRate(t, { count, since, rate: 2 * MIB, burst: 212 * KIB, forMs: 1000 })
    const [one = 0, other = 0] = upstream.connections.map(({ bytes }) => bytes)
    t.ok(Math.min(one, other) >= (one + other) / 4, `${one} and ${other} bytes`)
    for (const client of clients) client.reset()
    await gate.end(1)
  })
}

test('a limit that is observed counts and slows nothing down', async (t) => {
  watchLeaks(t)
  const upstream = await sink(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { mode: observe, bytes: { rate: 1KiB, burst: 64KiB } }`,
  ])
  const none = readSamples(await gate.metrics())
  t.equal(none.get('sidegate_observed_total', { listener: 'l0', limit: 'bytes' }), 0, 'from the start')
  const client = await connect(t, gate.port)
  await client.flood({ total: MIB })
  t.match(await gate.end(), { reason: 'eof' })
  t.equal(upstream.connections[0]?.bytes, MIB)
  const samples = readSamples(await gate.metrics())
  t.ok((samples.get('sidegate_observed_total', { listener: 'l0', limit: 'bytes' }) ?? 0) >= 10)
  t.equal(samples.count('sidegate_rate_limited_total', { limit: 'bytes' }), 0)
})
