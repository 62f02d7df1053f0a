import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { finsFirst } from '../support/peers.ts'
import { slowReader } from '../support/processes.ts'
import { pattern, sha256 } from '../support/bytes.ts'

const HALF_CLOSE_MS = 2000

test('a client that still reads what the kernel holds after the upstream has ended gets all of it, however long it takes', async (t) => {
  watchLeaks(t)
  const answer = pattern(2_000_000)
  const upstream = await finsFirst(t, answer)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { halfClose: ${HALF_CLOSE_MS}ms, write: ${HALF_CLOSE_MS}ms }`,
  ])
  const reader = await slowReader(t, gate.port, { rcvbuf: 65_536 })
  await eventually(() => gate.registry.size === 1, { what: 'the connection' })
  reader.trickle(40_000, 100)
  await eventually(() => reader.bytes >= 1_900_000, { what: 'most of the answer', withinMs: 90_000 })
  reader.drain()
  await within(reader.finArrived, { what: 'the end of the answer' })
  reader.end()
  t.match(await gate.end(), { reason: 'eof', side: 'upstream' })
  t.equal(reader.sha256, sha256(answer))
})
