import root, { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { forEachTransport, isHttp, isWebSocket, openLine, transports } from '../support/transports.ts'
import type { Peer, Transport } from '../support/transports.ts'

root.setTimeout(180_000)

const BYTES = 1_500_000
const wait = { withinMs: 60_000 }
const streams = transports.filter((transport) => !isHttp(transport))
// The gate can queue so much that it has read all before the slow side has taken a tenth.
const keys = 'buffers: { high: 4MiB }, deadlines: { close: 2s }'
/** All of it takes longer than `close`, and the 64 KiB that Node reads ahead of a sip (four of its records over TLS) much less. */
const sipMs = (transport: Transport, side: 'client' | 'service'): number =>
  side === 'client' && transport.endsWith('tls') ? 12 : 60

const sideOf = (peer: 'client' | 'service'): string => (peer === 'client' ? 'client' : 'upstream')

for (const [from, to] of [
  ['service', 'client'],
  ['client', 'service'],
] as const) {
  test(`what the ${from} sent before its RST reaches a slow ${to} whole, and then it is an RST and no end`, (t) =>
    forEachTransport(t, streams, async (t, transport) => {
      const line = await openLine(t, transport, keys)
      const [source, sink]: [Peer, Peer] = [line[from], line[to]]
      const { gate } = line
      sink.wire.stopReading()
      t.equal(await source.send(BYTES), true)
      const flow = from === 'client' ? gate.open().toUpstream : gate.open().toClient
      await eventually(() => flow.received >= BYTES, { what: 'all of it in the gate', ...wait })
      source.reset()
      const sip = sink.sip(30)
      await eventually(() => sink.got.bytes > BYTES / 2, { what: 'half of it', ...wait })
      // At an RST, a paused TLS socket of Node drops bytes that it has read and not handed on.
      sip.stop()
      await eventually(() => sink.got.bytes === BYTES + 1, { what: 'all of it', ...wait })
      if (isWebSocket(transport) && to === 'service') {
        await eventually(() => sink.closeCode === 1001, wait)
        sink.wire.end()
      } else {
        t.match(await within(sink.wire.closed, wait), { kind: 'reset' })
        t.notOk(sink.isWhole, 'not taken for an end')
        t.equal(sink.closeCode, null)
      }
      t.equal(sink.got.problem(), null)
      t.match(await gate.end(), { reason: 'reset', side: sideOf(from) })
    }))

  test(`what the ${from} sent before its orderly end reaches a ${to} that takes much longer than deadlines.close, and so does the end`, (t) =>
    forEachTransport(t, streams, async (t, transport) => {
      const line = await openLine(t, transport, keys)
      const [source, sink]: [Peer, Peer] = [line[from], line[to]]
      const sip = sink.sip(sipMs(transport, to))
      const sending = source.send(3 * BYTES)
      await sending
      source.finish()
      await eventually(() => sink.got.bytes === 3 * BYTES + 1, { what: 'all of it', ...wait })
      await eventually(() => sink.isWhole, { what: 'its end', ...wait })
      sip.stop()
      if (isWebSocket(transport)) t.equal(sink.closeCode, 1000)
      sink.finish()
      await eventually(() => source.isWhole, { what: 'the answer to the end', ...wait })
      line.client.wire.end()
      line.service.wire.end()
      t.equal(sink.got.problem(), null)
      t.match(await line.gate.end(), { reason: 'eof', side: sideOf(from) })
    }))
}

test('the FIN of a service without a Close is FIN for its client, behind all that it sent, and no Close', (t) =>
  forEachTransport(t, transports.filter(isWebSocket), async (t, transport) => {
    const { client, service, gate } = await openLine(t, transport, keys)
    const sip = client.sip(30)
    await service.send(BYTES)
    service.wire.end()
    await eventually(() => client.got.bytes === BYTES + 1, { what: 'all of it', ...wait })
    sip.stop()
    t.equal(await within(client.wire.ended, wait), true)
    t.same([client.closeCode, client.got.problem()], [null, null])
    client.wire.end()
    t.match(await gate.end(), { reason: 'aborted', side: 'upstream' })
  }))

test('where deadlines.write is off, a client that takes nothing of what is before a Close ends with write_timeout after deadlines.close, and the record says how much was lost', (t) =>
  forEachTransport(t, ['websocket', 'websocket over tls', 'messages'], async (t, transport) => {
    const { client, service, gate } = await openLine(
      t,
      transport,
      'buffers: { high: 16MiB }, deadlines: { write: off, close: 400ms }',
      { unread: true },
    )
    await service.send(6 * BYTES)
    service.finish()
    const { reason, side, detail } = await gate.end()
    t.same([reason, side], ['write_timeout', 'client'])
    t.match(detail, /deadlines\.close\); \d{5,} bytes for the client dropped, behind code 1000/)
    client.wire.resumeReading()
    t.match(await within(client.wire.closed, wait), { kind: 'reset' })
  }))

test('what waits for a client that was cut off by RST of its service goes at once when it is killed', (t) =>
  forEachTransport(t, streams, async (t, transport) => {
    const { client, service, gate } = await openLine(t, transport, keys, { unread: true })
    await service.send(BYTES)
    await eventually(() => gate.open().toClient.received >= BYTES, wait)
    service.reset()
    await eventually(() => gate.open().phase === 'close', wait)
    gate.open().owner!.close({ reason: 'killed', side: 'sidegate', phase: 'relay' })
    t.match(await gate.end(), { reason: 'reset', side: 'upstream' })
    client.wire.resumeReading()
    t.match(await within(client.wire.closed, wait), { kind: 'reset' })
  }))
