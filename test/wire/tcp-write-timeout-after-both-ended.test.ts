import { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { pattern, sha256 } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'
import { slowReader } from '../support/processes.ts'

const nowhere = { write: () => {} }
const TOTAL = 12_000_000

// The kernel takes some 3 MB, and more only when a third of that has gone.
test('a client that stalls on the tail of an answer, both having ended, is owed it visibly and ended with write_timeout', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => wire.flood({ total: TOTAL, keepOpen: true }), { into: nowhere })
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", buffers: { high: 16MiB }, deadlines: { write: 500ms, halfClose: 20s }`,
  ])
  const client = await slowReader(t, gate.port, { rcvbuf: 65_536 })
  const seen = await upstream.connection()
  await eventually(() => seen.sent === TOTAL && gate.open().toClient.received === TOTAL)
  const connection = gate.open()
  const queued = (): number => connection.owner!.queued('client')
  const takeSome = async (): Promise<void> => {
    const before = queued()
    while (queued() > before - 100_000) await client.read(100_000)
  }
  await takeSome()
  client.end()
  seen.end()
  await within(seen.ended)
  await takeSome()
  await takeSome()
  const left = queued()
  t.ok(left > TOTAL - client.bytes - 6_000_000, `${left} bytes wait after ${client.bytes} were read`)
  t.equal(readSamples(await gate.metrics()).get('sidegate_buffered_bytes', { side: 'client' }), left)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
  t.match(await within(client.closed), { kind: 'reset' })
})

test('a tail that is taken late, both having ended, is delivered whole', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => wire.flood({ total: TOTAL, seed: 7 }), { into: nowhere })
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", buffers: { high: 16MiB }`,
  ])
  const client = await slowReader(t, gate.port, { rcvbuf: 65_536 })
  client.end()
  await within((await upstream.connection()).closed)
  await eventually(() => gate.open().owner!.queued('client') > 1_000_000)
  client.drain()
  t.same(await within(client.closed, { withinMs: 20_000 }), { kind: 'fin', code: null })
  t.equal(client.sha256, sha256(pattern(TOTAL, 7)))
  t.match(await gate.end(), { reason: 'eof', line: { bytesToClient: TOTAL, sentToClient: TOTAL } })
})
