import root, { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { LONG, quietFor } from '../support/innocents.ts'
import { allTransports, forEachTransport, isHttp, isWebSocket, openLine } from '../support/transports.ts'

root.setTimeout(120_000)

/** They take twice as long as the lifetime. */
const PIECES = 8
const LIFETIME_MS = 400

test('a lifetime ends a pair however busy it is, and an exchange of HTTP only after its answer, on every transport', (t) =>
  forEachTransport(t, allTransports, async (t, transport) => {
    const { gate, client, service } = await openLine(
      t,
      transport,
      `deadlines: { lifetime: ${LIFETIME_MS}ms, close: 20s }`,
    )
    const hasEnded = (): boolean => [...gate.registry].some(({ end }) => end !== null)
    let pieces = 0
    for (; pieces < PIECES && (isHttp(transport) || !hasEnded()); pieces++) {
      await service.send(1000)
      await quietFor(LIFETIME_MS / 4)
    }
    if (isHttp(transport)) {
      service.finish()
      client.finish()
      await eventually(() => client.isWhole, { ...LONG, what: 'the end of the answer' })
      t.equal(client.got.bytes, 1 + PIECES * 1000)
    } else if (isWebSocket(transport)) {
      await eventually(() => client.closeCode === 1001 && service.closeCode === 1001, LONG)
      client.finish()
      service.finish()
    } else {
      t.equal(await within(client.wire.ended, LONG), true)
    }
    client.wire.end()
    service.wire.end()
    t.equal(client.got.problem(), null)
    await eventually(() => gate.lines.length > 0, LONG)
    // The exchange of HTTP/1 announces its end itself, and has it.
    const expected = transport.startsWith('http') ? 'eof' : 'lifetime_timeout'
    await eventually(() => gate.lines.some(({ close }) => close === expected), LONG)
  }))
