import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { flooder } from '../support/peers.ts'
import { slowReader } from '../support/processes.ts'

const WRITE_MS = 1000

test('a reader that takes a byte at a time is alive after ten write deadlines, and gone with write_timeout once it stops', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: ${WRITE_MS}ms }`,
  ])
  const reader = await slowReader(t, gate.port, { rcvbuf: 4096 })
  const connection = await eventually(() => [...gate.registry][0], { what: 'the connection' })
  await eventually(() => connection.owner?.isPaused('to_client'), { what: 'the upstream to be paused' })
  const startedAt = performance.now()
  while (performance.now() - startedAt < 10 * WRITE_MS) {
    await reader.read(1)
    await eventually(() => true)
    t.equal(connection.end, null)
    await new Promise((resolve) => setTimeout(resolve, WRITE_MS / 10))
  }
  const end = await gate.end()
  t.match(end, { reason: 'write_timeout', side: 'client', phase: 'relay' })
  t.match(await reader.closed, { kind: 'reset' })
})
