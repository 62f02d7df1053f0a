import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { endOf, innocents, LONG, policies, sipMs, slowDeadlines } from '../support/innocents.ts'
import { forEachTransport, isWebSocket, openLine } from '../support/transports.ts'
import type { Line, Transport } from '../support/transports.ts'

/** What the gate accepts of a peer that sends and crashes: all that its kernel took and the gate has read. */
const MUCH = 2_000_000
/** Node drops what it has read and not handed on, or not decrypted, when an RST comes: so much at the most. */
const DROPPED_BY_NODE = 131_072

type Side = 'client' | 'service'

/** All of it reached the host of the reader before the RST, as the gate's own look into the kernel says, and the reader got it in order. */
async function gotAll(t: Test, { gate, ...peers }: Line, side: Side): Promise<void> {
  const reader = peers[side]
  await eventually(() => reader.wire.outcome !== null || reader.wire.hasEnded, { ...LONG, what: 'the end' })
  t.equal(reader.got.problem(), null)
  t.ok(reader.got.bytes > MUCH - DROPPED_BY_NODE, `${reader.got.bytes} bytes`)
  reader.wire.end()
  const { line } = await endOf(gate)
  const sent = line[side === 'client' ? 'sentToClient' : 'sentToUpstream'] as number
  t.ok(sent > MUCH, `${sent} bytes went to its host`)
}

async function crash(
  t: Test,
  transport: Transport,
  line: Line,
  side: Side,
  meet: ((line: Line) => unknown) | undefined,
): Promise<void> {
  const [reader, writer] = side === 'client' ? [line.client, line.service] : [line.service, line.client]
  const pace = reader.sip(sipMs(transport, side))
  await writer.send(MUCH)
  // An RST takes with it what the gate's kernel holds unread: nobody can deliver that.
  const direction = side === 'client' ? 'toClient' : 'toUpstream'
  await eventually(() => line.gate.open()[direction].received > MUCH, {
    ...LONG,
    what: 'the gate to have read all',
  })
  writer.reset()
  await meet?.(line)
  await gotAll(t, line, side)
  pace.stop()
  // A service is told in its own words that its client is gone.
  if (isWebSocket(transport) && side === 'service') t.equal(reader.closeCode, 1001)
  else t.notOk(reader.isWhole, 'it is not passed off as the end')
  t.match(await endOf(line.gate), { reason: 'reset', side: side === 'client' ? 'upstream' : 'client' })
}

for (const { title, keys, meet } of policies) {
  const all = keys === undefined ? slowDeadlines : `${slowDeadlines}, ${keys}`
  for (const side of ['client', 'service'] as const) {
    test(`a ${side} ${innocents.resetBehindData.title}${title}`, { timeout: 100_000 }, (t) =>
      forEachTransport(
        t,
        innocents.resetBehindData.on,
        async (t, transport) => crash(t, transport, await openLine(t, transport, all), side, meet),
        innocents.resetBehindData.on.length,
      ),
    )
  }
}
