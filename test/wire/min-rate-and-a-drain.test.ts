// `limits.minRate` in a drain. Who takes enough of what a drain still lets go has all of it, however long that takes; who
// takes less is too_slow, before the drain is out of time; and who waits for nothing is not judged.

import root, { test } from 'tap'
import { eventually, isSettled, within } from '../support/eventually.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { startGate } from '../support/gate.ts'
import { endOf, LONG, quietFor } from '../support/innocents.ts'
import { watchLeaks } from '../support/leaks.ts'
import { allTransports, forEachTransport, isHttp, openLine } from '../support/transports.ts'
import type { Line, Transport } from '../support/transports.ts'
import type { Test } from 'tap'

root.setTimeout(120_000)

/** More than the kernels hold, and less than the gate does. */
const ALL = 12 * 1024 * 1024
const keys = (bytes: string): string =>
  `limits: { minRate: { bytes: ${bytes}, after: 1s } }, deadlines: { close: 20s, write: 20s }, buffers: { high: 16MiB }`

/** A drain has decided the end of a connection for whose client bytes wait in the gate. */
async function leaving(
  t: Test,
  transport: Transport,
  bytes: string,
): Promise<Line & { drained: Promise<unknown> }> {
  const line = await openLine(t, transport, keys(bytes))
  const { gate, client, service } = line
  if (isHttp(transport)) client.finish()
  const connection = gate.open()
  const sip = client.sip(100)
  await service.send(ALL)
  service.finish()
  await eventually(() => connection.toClient.received > ALL, { ...LONG, what: 'all bytes at the gate' })
  t.ok(connection.owner!.queued('client') > 0, 'bytes wait in the gate')
  const drained = gate.operator.drain('admin', { minDurationMs: 0, spreadMs: 0, timeoutMs: 60_000 })
  await eventually(() => gate.operator.drainState === 'parting')
  sip.stop()
  return { ...line, drained }
}

test('a client that takes enough of its last bytes has all of them, on every transport', (t) =>
  forEachTransport(
    t,
    allTransports,
    async (t, transport) => {
      const line = await leaving(t, transport, '1KiB')
      const { client, service, gate, drained } = line
      const sip = client.sip(50)
      await quietFor(2000)
      t.same(gate.lines, [])
      sip.stop()
      client.wire.resumeReading()
      await eventually(() => client.isWhole || client.wire.outcome !== null, { ...LONG, what: 'its end' })
      t.equal(client.got.bytes, 1 + ALL)
      client.finish()
      client.wire.end()
      service.wire.end()
      t.match(await within(drained, LONG), { forced: 0, cut: 0 })
    },
    2,
  ))

test('one that takes less is too_slow, and the drain is over, on every transport', (t) =>
  forEachTransport(
    t,
    allTransports,
    async (t, transport) => {
      const line = await leaving(t, transport, '4MiB')
      const { client, gate, drained } = line
      const sip = client.sip(400)
      const { reason, detail } = await endOf(gate)
      sip.stop()
      t.match(`${reason} ${String(detail)}`, /too_slow|limits\.minRate/)
      t.equal(client.got.problem(), null)
      client.wire.destroy()
      await within(drained, LONG)
    },
    2,
  ))

test('a client that owes the rest of its upload is too_slow in a drain as well, and one that waits for its answer is not', async (t) => {
  watchLeaks(t)
  const release = Promise.withResolvers<void>()
  const upstream = await recordingUpstream(t, async ({ target }) => {
    if (target === '/late') await release.promise
    return OK
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { minRate: { bytes: 1KiB, after: 500ms } }`,
  ])
  const [slow, waits] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  await slow.send(`${get('/slow', 'Content-Length: 100000\r\n', 'POST')}begun`)
  await waits.send(get('/late'))
  await upstream.connection(1)
  const drained = gate.drain(60_000)
  const { status, header } = await slow.answer()
  t.same([status, header('connection')], [408, 'close'])
  slow.wire.end()
  t.match(await gate.end(), { reason: 'too_slow', side: 'client' })
  await quietFor(700)
  t.equal(await isSettled(drained), false)
  release.resolve()
  t.equal((await waits.answer()).status, 200)
  await waits.wire.ended
  waits.wire.end()
  t.match(await within(drained), { drained: 1, forced: 0, cut: 0 })
})
