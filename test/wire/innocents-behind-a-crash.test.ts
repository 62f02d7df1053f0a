import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import type { Gate } from '../support/gate.ts'
import { gotAll, innocents, LONG, policies, shortDeadlines } from '../support/innocents.ts'
import { forEachTransport, isWebSocket, openLine } from '../support/transports.ts'
import type { Peer, Transport } from '../support/transports.ts'

/** What the gate accepts of a peer that sends and crashes: all that its kernel took and the gate has read. */
const MUCH = 2_000_000

/** Node's TLS drops what it has not decrypted when an RST comes: of a client over TLS its kernel is the judge, and the gate asked it. */
async function clientGotAll(t: Test, transport: Transport, client: Peer, gate: Gate): Promise<void> {
  if (!transport.endsWith('tls')) return gotAll(t, client, MUCH + 1)
  await eventually(() => client.wire.outcome !== null, { ...LONG, what: 'the RST' })
  t.equal(client.got.problem(), null)
  const { line } = await gate.end()
  t.ok((line['sentToClient'] as number) > MUCH, `${String(line['sentToClient'])} bytes reached its host`)
}

for (const { title, keys, meet } of policies) {
  const all = keys === undefined ? shortDeadlines : `${shortDeadlines}, ${keys}`
  for (const [side, other] of [['client', 'service'], ['service', 'client']] as const) {
    test(`a ${side} ${innocents.resetBehindData.title}${title}`, { timeout: 60_000 }, (t) =>
      forEachTransport(t, innocents.resetBehindData.on, async (t, transport) => {
        const line = await openLine(t, transport, all)
        const { gate, [side]: reader, [other]: writer } = line
        const pace = reader.sip(10)
        const direction = side === 'client' ? 'toClient' : 'toUpstream'
        await writer.send(MUCH)
        // An RST takes with it what the gate's kernel holds unread: nobody can deliver that.
        await eventually(() => gate.open()[direction].received > MUCH, { ...LONG, what: 'the gate to have read all' })
        writer.reset()
        await meet?.(line)
        await (side === 'client' ? clientGotAll(t, transport, reader, gate) : gotAll(t, reader, MUCH + 1))
        pace.stop()
        await eventually(() => reader.wire.outcome !== null || reader.wire.hasEnded, LONG)
        // A service is told in its own words that its client is gone.
        if (isWebSocket(transport) && side === 'service') t.equal(reader.closeCode, 1001)
        else t.notOk(reader.isWhole, 'it is not passed off as the end')
        reader.wire.end()
        t.match(await gate.end(), { reason: 'reset', side: other === 'service' ? 'upstream' : 'client' })
      }))
  }
}
