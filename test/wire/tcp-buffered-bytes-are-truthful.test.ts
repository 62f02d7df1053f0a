import { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, flooder, listen } from '../support/peers.ts'
import { kernelQueues } from '../support/netstat.ts'

const LARGEST_WRITE = 65_536

/** The kernel still moves bytes from one queue to the other, and the test does not read the two at once. */
async function settled(look: () => number): Promise<number> {
  let last = Number.NaN
  let times = 0
  await eventually(() => {
    const now = look()
    times = now === last ? times + 1 : 0
    last = now
    return times === 5
  })
  return last
}

for (const high of [4096, 65_536, 1_048_576]) {
  test(`sidegate_buffered_bytes is what the gate holds for a stalled client, and 0 after its end: high ${high}`, async (t) => {
    watchLeaks(t)
    const upstream = await flooder(t)
    const gate = await startGate(t, [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", buffers: { high: ${high / 1024}KiB }`,
    ])
    const client = await connect(t, gate.port, { unread: true })
    const seen = await upstream.connection()
    const connection = await eventually(() => gate.registry.get(1))
    await heldBack(connection, 'to_client')
    const clientPort = client.socket.localPort!
    const { toClient } = connection
    const held = await settled(
      () =>
        toClient.received -
        kernelQueues(clientPort, gate.port)!.unread -
        kernelQueues(gate.port, clientPort)!.unsent,
    )
    const samples = readSamples(await gate.metrics())
    const buffered = samples.get('sidegate_buffered_bytes', { side: 'client' })!
    t.ok(held > 0 && held <= high, `${held} bytes are held`)
    // The gate holds a write whole until the kernel has taken all of it.
    t.ok(buffered >= held && buffered <= Math.min(high, held + LARGEST_WRITE), `${buffered} are counted`)
    t.equal(samples.get('sidegate_buffered_bytes', { side: 'upstream' }), 0)
    t.equal(samples.get('sidegate_backpressured_connections'), 1)
    client.reset()
    t.match(await gate.end(), { reason: 'reset', side: 'client' })
    await within(seen.closed)
    const after = readSamples(await gate.metrics())
    t.equal(after.sum('sidegate_buffered_bytes'), 0)
    t.equal(after.get('sidegate_backpressured_connections'), 0)
  })
}

test('sidegate_buffered_bytes is what the gate holds for a stalled upstream, and 0 once it has taken it', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {}, { unread: true, into: { write: () => {} } })
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  const total = 100_000_000
  void client.flood({ total, keepOpen: true })
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_upstream')
  const buffered = async (): Promise<number> =>
    readSamples(await gate.metrics()).get('sidegate_buffered_bytes', { side: 'upstream' })!
  const held = await buffered()
  t.ok(held > 0 && held <= 65_536, `${held} bytes`)
  const seen = await upstream.connection()
  seen.resumeReading()
  await eventually(() => seen.bytes === total, { withinMs: 20_000 })
  await eventually(async () => (await buffered()) === 0)
})
