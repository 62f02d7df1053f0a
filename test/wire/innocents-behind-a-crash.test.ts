import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { endOf, innocents, LONG, policies, sipMs, slowDeadlines } from '../support/innocents.ts'
import { forEachTransport, isWebSocket, openLine } from '../support/transports.ts'
import type { Line, Transport } from '../support/transports.ts'

/** The bytes that the gate accepts of a peer that sends and crashes: all that the gate has read. */
const MUCH = 2_000_000
/** The most bytes that Node drops at an RST: those that it has read and not handed on, or not decrypted. */
const DROPPED_BY_NODE = 131_072

type Side = 'client' | 'service'

/** All bytes reached the reader's host before the RST, by the gate's own look into the kernel, and the reader got them in order. */
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
  // An RST destroys the bytes that the gate's kernel holds unread: the gate cannot deliver them.
  const direction = side === 'client' ? 'toClient' : 'toUpstream'
  await eventually(() => line.gate.open()[direction].received > MUCH, {
    ...LONG,
    what: 'the gate to have read all',
  })
  writer.reset()
  await meet?.(line)
  await gotAll(t, line, side)
  pace.stop()
  // A service learns by its own protocol that its client is gone.
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
