// The last bytes before an ordinary end are owed like all others: a reader that pauses for longer than
// `deadlines.close`, and not as long as `deadlines.write`, gets them. One that takes none ends by `write`.

import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { endOf, LONG, quietFor } from '../support/innocents.ts'
import { allTransports, forEachTransport, isHttp, isWebSocket, openLine } from '../support/transports.ts'
import type { Line, Transport } from '../support/transports.ts'

/** Less than the kernel holds: the gate has nothing left to send. */
const MUCH = 1024 * 1024
const CLOSE_MS = 300
const keysOf = (writeMs: number): string =>
  `deadlines: { close: ${CLOSE_MS}ms, write: ${writeMs}ms, halfClose: ${writeMs}ms, response: 20s, request: 20s }`

/** All has been said, and `side` reads nothing. */
async function said(
  t: Test,
  transport: Transport,
  side: 'client' | 'service',
  writeMs: number,
): Promise<Line> {
  const isLast = isHttp(transport) && transport !== 'h2'
  const line = await openLine(t, transport, keysOf(writeMs), {
    headers: isLast ? { Connection: 'close' } : {},
    unread: side === 'client',
  })
  if (side === 'service') line.service.wire.stopReading()
  const other = side === 'client' ? line.service : line.client
  if (isHttp(transport)) line.client.finish()
  await other.send(MUCH)
  other.finish()
  return line
}

for (const side of ['client', 'service'] as const) {
  // The end of a request is not the end of a conversation.
  const names = allTransports.filter((transport) => side === 'client' || !isHttp(transport))

  test(`a ${side} that pauses before the last bytes of the other side gets them, and then the end`, (t) =>
    forEachTransport(
      t,
      names,
      async (t, transport) => {
        const { gate, client, service, [side]: reader } = await said(t, transport, side, 20_000)
        await quietFor(8 * CLOSE_MS)
        reader.wire.resumeReading()
        await eventually(() => reader.isWhole || reader.wire.outcome !== null, { ...LONG, what: 'the end' })
        t.equal(reader.got.bytes, 1 + MUCH)
        t.ok(reader.isWhole)
        reader.finish()
        const other = side === 'client' ? service : client
        // Its Close frame is answered.
        if (isWebSocket(transport)) await eventually(() => other.closeCode === 1000, LONG)
        client.wire.end()
        service.wire.end()
        t.match(await endOf(gate), { reason: 'eof' })
      },
      names.length,
    ))

  test(`a ${side} that takes none of them ends after deadlines.write`, (t) =>
    forEachTransport(
      t,
      names.filter((transport) => isWebSocket(transport) || isHttp(transport)),
      async (t, transport) => {
        const { gate, service, client } = await said(t, transport, side, 2000)
        const { reason, line } = await endOf(gate)
        // A stream has ended once its connection has all of it, and the connection is stalled.
        if (transport === 'h2') return
        t.match([reason, String(line['detail'])], ['write_timeout', /\(deadlines\.write\)/])
        t.ok((line['durationMs'] as number) >= 2000)
        client.wire.destroy()
        service.wire.destroy()
      },
      names.length,
    ))
}
