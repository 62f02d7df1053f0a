// `cut` of a drain: the connections of which a peer misses something. One whose accepted bytes all arrive
// after the drain has ended it is none; one whose client leaves before, or that had more to come, is.

import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import type { Gate } from '../support/gate.ts'
import { LONG } from '../support/innocents.ts'
import {
  allTransports,
  forEachTransport,
  halfClosing,
  isHttp,
  isWebSocket,
  openLine,
} from '../support/transports.ts'
import type { Line, Transport } from '../support/transports.ts'

/** More than the kernels hold, and less than the gate does. */
const ALL = 12 * 1024 * 1024
const keys = 'deadlines: { close: 20s, write: 20s }, buffers: { high: 16MiB }'

/** The gate has read all that the service sends, and holds a part of it for a client that reads nothing yet. */
async function lateReader(t: Test, transport: Transport, isFinished: boolean): Promise<Line> {
  const line = await openLine(t, transport, keys, { unread: true })
  const connection = line.gate.open()
  if (isHttp(transport) && isFinished) line.client.finish()
  await line.service.send(ALL)
  if (isFinished) line.service.finish()
  await eventually(() => connection.toClient.received > ALL, { ...LONG, what: 'all bytes at the gate' })
  t.ok(connection.owner!.queued('client') > 0, 'bytes wait in the gate')
  return line
}

async function begun({ gate }: Line, timeoutMs: number) {
  const drained = gate.drain(timeoutMs)
  await parting(gate)
  return drained
}

/** The drain has decided the end of a connection. */
async function parting(gate: Gate): Promise<void> {
  await eventually(() => gate.operator.drainState === 'parting')
  await eventually(() => gate.registry.size === 0 || [...gate.registry].some(({ end }) => end !== null))
}

for (const isFinished of [true, false])
  test(`a client that gets all that was accepted for it is not cut, ${isFinished ? 'with' : 'without'} an end of the service's`, (t) =>
    forEachTransport(
      t,
      // A body without its end is cut.
      allTransports.filter((transport) =>
        isFinished ? halfClosing.includes(transport) : !isHttp(transport),
      ),
      async (t, transport) => {
        const line = await lateReader(t, transport, isFinished)
        const { client, service } = line
        const drained = begun(line, 40_000)
        await parting(line.gate)
        client.wire.resumeReading()
        await eventually(() => client.isWhole || client.wire.outcome !== null, { ...LONG, what: 'its end' })
        t.equal(client.got.bytes, 1 + ALL)
        if (isWebSocket(transport)) t.equal(client.closeCode, 1012)
        client.finish()
        service.finish()
        client.wire.end()
        service.wire.end()
        t.match(await within(drained, LONG), { forced: 0, cut: 0 })
      },
      2,
    ))

test('a client that leaves, or takes nothing, while bytes wait for it is cut', (t) =>
  forEachTransport(
    t,
    ['tcp', 'tls', 'websocket', 'messages'],
    async (t, transport) => {
      const leaving = await lateReader(t, transport, !isWebSocket(transport))
      const drained = begun(leaving, 40_000)
      await parting(leaving.gate)
      leaving.client.reset()
      leaving.service.wire.reset()
      t.match(await within(drained, LONG), { drained: 1, cut: 1 }, 'left')
      const stalled = await lateReader(t, transport, !isWebSocket(transport))
      t.match(await within(begun(stalled, 500), LONG), { cut: 1 }, 'took nothing')
    },
    2,
  ))

test('a client whose service still speaks, or who still speaks itself, is cut', (t) =>
  forEachTransport(t, ['tcp', 'tls'], async (t, transport) => {
    for (const side of ['service', 'client'] as const) {
      const line = await lateReader(t, transport, side === 'client')
      const drained = begun(line, 40_000)
      await parting(line.gate)
      const { toUpstream, toClient } = line.gate.open()
      const before = toUpstream.received + toClient.received
      await line[side].send(1)
      await eventually(() => toUpstream.received + toClient.received > before)
      line.client.wire.resumeReading()
      line.service.finish()
      line.client.finish()
      t.match(await within(drained, LONG), { drained: 1, cut: 1 }, side)
    }
  }))
