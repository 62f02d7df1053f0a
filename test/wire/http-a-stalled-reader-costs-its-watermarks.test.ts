import { test } from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { startGate } from '../support/gate.ts'
import { get, httpClient, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'
import { slowReader } from '../support/processes.ts'

const MIB = 1024 * 1024
const nowhere = { write: () => {} }

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
/** Bytes outside the heap, less garbage, of which the test's own peers make much. */
async function held(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect()
    await delay(5)
  }
  return process.memoryUsage().external
}

test('a stalled reader of a 1 GiB answer holds back its upstream, and costs its watermarks', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n')
    await wire.write(`HTTP/1.1 200 OK\r\nContent-Length: ${1024 * MIB}\r\n\r\n`)
    await wire.flood({ total: 1024 * MIB })
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const before = await held()
  const reader = await slowReader(t, gate.port, { rcvbuf: 4096 })
  reader.send(get())
  const seen = await upstream.connection()
  await seen.stalled(300)
  const { toClient } = gate.open()
  const grown = (await held()) - before
  t.ok(grown < 2 * MIB, `${grown / MIB} MiB`)
  await delay(300) // a sweep, which counts
  const queued = gate.open().owner!.queued('client')
  t.ok(queued <= 256 * 1024, `${queued} bytes queued`)
  t.ok(toClient.received < 16 * MIB, `${toClient.received} bytes read`)
  t.equal(gate.open().owner!.isPaused('to_client'), true)
  reader.reset()
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
  await seen.closed
})

test('an upstream that does not read a 1 GiB upload holds back its client', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await listen(t, () => {}, { unread: true, into: nowhere })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const before = await held()
  const client = await httpClient(t, gate.port)
  await client.send(get('/', `Content-Length: ${1024 * MIB}\r\n`, 'POST'))
  void client.wire.flood({ total: 1024 * MIB })
  await client.wire.stalled(300)
  const grown = (await held()) - before
  t.ok(grown < 2 * MIB, `${grown / MIB} MiB`)
  const queued = gate.open().owner!.queued('upstream')
  t.ok(queued <= 256 * 1024, `${queued} bytes queued`)
  t.equal(gate.open().owner!.isPaused('to_upstream'), true)
  client.wire.reset()
  const seen = await upstream.connection()
  // A paused source is blind to RST: the gate sees it when the reader takes bytes again, or at deadlines.write.
  seen.resumeReading()
  await seen.ended
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
})
