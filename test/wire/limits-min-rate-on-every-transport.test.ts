import root, { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { endOf, gotAll, LONG, partsWell } from '../support/innocents.ts'
import { allTransports, forEachTransport, isHttp, openLine } from '../support/transports.ts'

root.setTimeout(120_000)

/** More than the kernels hold. */
const BYTES = 8_000_000
const minRate = (bytes: string): string => `limits: { minRate: { bytes: ${bytes}, after: 500ms } }`

test('a client that takes what waits for it below limits.minRate is too_slow, on every transport', (t) =>
  forEachTransport(
    t,
    allTransports,
    async (t, transport) => {
      const line = await openLine(t, transport, minRate('2MiB'))
      const sip = line.client.sip(400)
      void line.service.send(BYTES)
      t.match(await endOf(line.gate), { reason: 'too_slow', side: 'client', detail: 'limits.minRate' })
      sip.stop()
      t.equal(line.client.got.problem(), null)
    },
    3,
  ))

test('a client that takes enough, or for which nothing waits, is not too_slow, on every transport', (t) =>
  forEachTransport(
    t,
    allTransports,
    async (t, transport) => {
      const line = await openLine(t, transport, minRate('10KiB'))
      const { client, service, gate } = line
      const openedAt = performance.now()
      await service.send(BYTES)
      await gotAll(t, client, 1 + BYTES)
      // A service owes the rest of an answer.
      if (!isHttp(transport)) await eventually(() => performance.now() - openedAt > 1500, LONG)
      t.same(gate.lines, [])
      if (isHttp(transport)) {
        client.finish()
        await eventually(() => service.isWhole, LONG)
        service.finish()
        await eventually(() => client.isWhole, LONG)
        client.wire.end()
        service.wire.end()
        t.match(await endOf(gate), { reason: 'eof' })
      } else {
        service.finish()
        await partsWell(t, line, client)
      }
    },
    3,
  ))
