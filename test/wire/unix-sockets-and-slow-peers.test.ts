// Peers on unix sockets, of which the kernel shows nobody how much they have taken: a slow one lives as long as
// the kernel has room again now and then, one that takes nothing has the bounds of every transport.

import { test } from 'tap'
import { gotAll, partsWell } from '../support/innocents.ts'
import { forEachTransport, isHttp, openLine } from '../support/transports.ts'
import type { Transport } from '../support/transports.ts'
import { temporary } from '../support/tools.ts'

const plain: readonly Transport[] = ['tcp', 'websocket', 'messages', 'http']
const sides = [
  ['client', 'service'],
  ['service', 'client'],
] as const

const MIB = 1024 * 1024
const MS = 2500
const waits = `write: ${MS}ms, close: ${MS}ms, halfClose: ${MS}ms, request: ${MS}ms, response: ${MS}ms, idle: ${MS}ms`
/** A read takes 64 KiB, and the kernel has room again after some 160 KiB. */
const EVERY_MS = 200

for (const [side, other] of sides) {
  test(`a ${side} on a unix socket that reads slowly gets every byte and then the end`, (t) =>
    forEachTransport(t, plain, async (t, transport) => {
      const line = await openLine(t, transport, `deadlines: { ${waits} }`, { unix: temporary(t) })
      const [reader, writer] = [line[side], line[other]]
      if (isHttp(transport) && side === 'client') reader.finish()
      reader.sip(EVERY_MS)
      const isSent = writer.send(2 * MIB).then(() => writer.finish())
      await gotAll(t, reader, 2 * MIB + 1)
      await isSent
      await partsWell(t, line, reader)
    }))

  test(`a ${side} on a unix socket that takes nothing ends with write_timeout`, (t) =>
    forEachTransport(t, plain, async (t, transport) => {
      const line = await openLine(t, transport, 'deadlines: { write: 600ms }', { unix: temporary(t) })
      line[side].wire.stopReading()
      void line[other].send(4 * MIB)
      const end = await line.gate.end()
      t.match(end, { reason: 'write_timeout', side: side === 'client' ? 'client' : 'upstream' })
      // There is no look into the kernel to wait for.
      t.ok((end.line['durationMs'] as number) < 8000)
    }))
}
