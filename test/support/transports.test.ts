import { test } from 'tap'
import { eventually } from './eventually.ts'
import { forEachTransport, isWebSocket, openLine, transports } from './transports.ts'

test('each side gets what the other sent, and its end', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client, service } = await openLine(t, transport)
    await Promise.all([client.send(300_000), service.send(300_000)])
    await eventually(() => client.got.bytes === 300_001 && service.got.bytes === 300_001)
    t.equal(client.got.problem(), null)
    t.equal(service.got.problem(), null)
    client.finish()
    await eventually(() => service.isWhole)
    if (isWebSocket(transport)) t.equal(service.closeCode, 1000)
    service.finish()
    await eventually(() => client.isWhole)
    client.wire.end()
    service.wire.end()
    t.match(await gate.end(), { reason: 'eof' })
  }))

test('a side that reads nothing is sent no more than fits on the way', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { client, service } = await openLine(t, transport, '', { unread: true })
    void service.send(64_000_000)
    await service.wire.stalled(100, { withinMs: 20_000 })
    t.ok(client.got.bytes < 1_000_000, `${client.got.bytes} bytes were read`)
    client.reset()
    await eventually(() => service.wire.hasEnded || service.wire.outcome !== null, {
      what: 'the service to be told',
    })
  }))
