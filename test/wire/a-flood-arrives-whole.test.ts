// A share of each turn of the event loop delays the bytes beyond it, and loses none: whatever the transport,
// the direction, the size of the pieces and the limits that delay as well.

import root, { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { gotAll, partsWell } from '../support/innocents.ts'
import { forEachTransport, isWebSocket, openLine, transports, type Peer } from '../support/transports.ts'

const MIB = 1024 * 1024
root.setTimeout(120_000)

/** Many pieces of a byte, as fast as they can be written. */
async function drizzle(peer: Peer, pieces: number): Promise<void> {
  const written: Array<Promise<boolean>> = []
  for (let i = 0; i < pieces; i++) written.push(peer.send(1))
  await Promise.all(written)
}

test('four megabytes each way at once arrive whole and in order', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const line = await openLine(t, transport)
    const { client, service } = line
    await Promise.all([client.send(4 * MIB), service.send(4 * MIB)])
    await Promise.all([gotAll(t, service, client.sent), gotAll(t, client, service.sent)])
    client.finish()
    await eventually(() => service.isWhole)
    service.finish()
    await partsWell(t, line, client)
  }))

for (const [what, keys] of [
  ['', ''],
  [
    ', with limits that delay as well',
    'limits: { bytes: { rate: 4MiB, burst: 64KiB }, messages: { rate: 10000, burst: 100 } }',
  ],
] as const) {
  test(`four thousand pieces of a byte each way arrive whole and in order${what}`, (t) =>
    forEachTransport(t, transports, async (t, transport) => {
      const line = await openLine(
        t,
        transport,
        isWebSocket(transport) ? keys : keys.replace(/, messages: {[^}]*}/, ''),
      )
      const { client, service, gate } = line
      await Promise.all([drizzle(client, 4000), drizzle(service, 4000)])
      await Promise.all([gotAll(t, service, client.sent), gotAll(t, client, service.sent)])
      t.same(gate.lines, [])
      client.finish()
      await eventually(() => service.isWhole)
      service.finish()
      await partsWell(t, line, client)
    }))
}
