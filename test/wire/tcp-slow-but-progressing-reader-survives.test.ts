import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { flooder } from '../support/peers.ts'
import { trickleReader } from '../support/processes.ts'

const WRITE_MS = 800

test('a client that takes little at a time outlives ten write deadlines', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: ${WRITE_MS}ms }`,
  ])
  const client = await trickleReader(t, gate.port, { bytes: 60_000, everyMs: 5, rcvbuf: 65_536 })
  const seen = await upstream.connection()
  const start = performance.now()
  await eventually(() => seen.outcome !== null || performance.now() - start > 10 * WRITE_MS, {
    withinMs: 20_000,
  })
  t.same(gate.lines, [])
  const { toClient } = gate.open()
  t.ok(toClient.pauses > 0, 'it did hold the upstream back')
  t.ok(client.bytes > 1_000_000, `${client.bytes} bytes`)
  client.trickle(1, 60_000)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client' }, 'once it stops, it is ended')
  await within(seen.closed)
})
