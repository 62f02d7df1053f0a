// Messages that wait in the gate count for `memory.buffered`, with all that they cost: those over `limits.messages` of
// which a read brought more than may go on, and those for a slow consumer, each of which costs its place in the queue
// beside its bytes. Without it a service's small broadcasts to a thousand stalled clients would be nothing to the gate until the
// kernel ends it.

import { test } from 'tap'
import type { Test } from 'tap'
import type { WebSocket } from 'ws'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { watchLeaks } from '../support/leaks.ts'
import { queued } from '../support/overload.ts'
import { connect } from '../support/peers.ts'
import { rawClient, wsServer } from '../support/websocket.ts'
import type { RawClient, WsServer } from '../support/websocket.ts'
import type { Wire } from '../support/wire.ts'

const KIB = 1024
const SMALL = Buffer.concat(
  Array.from({ length: 1000 }, (_, nth) =>
    encodeFrame({ opcode: 'text', payload: String(nth).padEnd(44, '.'), mask: true }),
  ),
)

const queuedOf = (gate: Gate, id: number): number => {
  const owner = gate.registry.get(id)?.owner
  return owner == null ? 0 : owner.queued('client') + owner.queued('upstream')
}

for (const mode of ['frames', 'messages'])
  test(`limits.messages, ${mode}: what a delayed client sent ahead counts, and it is no stalled one`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t, { echo: false })
    const gate = await startGate(
      t,
      [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode} }, limits: { messages: { rate: 5, burst: 5 } }`,
      ],
      {},
      'memory: { buffered: 150KiB, refuseAt: off }',
    )
    const clients: RawClient[] = []
    const join = async (): Promise<void> => {
      const client = await rawClient(t, gate.port)
      clients.push(client)
      await client.send(SMALL)
      await eventually(() => queuedOf(gate, clients.length) > 40 * KIB, { what: 'its messages to wait' })
    }
    while (clients.length < 2) await join()
    const before = upstream.connections.map(({ messages }) => messages.length)
    await eventually(() =>
      upstream.connections.every(({ messages }, nth) => messages.length > before[nth]! + 12),
    )
    t.same(gate.lines, [], 'as long as they are within their bound')
    while (gate.lines.length === 0 && clients.length < 6) await join().catch(() => {})
    t.match(await gate.end(), { reason: 'overloaded', side: 'sidegate', phase: 'relay' })
    await eventually(() => queued(gate) <= 150 * KIB, { what: 'queues within their bound' })
    t.ok(gate.registry.size >= 2, 'no more went than had to')
    for (const { wire } of clients) wire.destroy()
  })

/** A client that reads nothing, behind a queue of some kilobytes, and the WebSocket of its service. */
async function stalled(t: Test, gate: Gate, upstream: WsServer): Promise<{ wire: Wire; socket: WebSocket }> {
  const nth = upstream.connections.length
  const wire = await connect(t, gate.port, { unread: true })
  await wire.write(upgradeRequest())
  const { socket } = await upstream.connection(nth)
  let sent = 0
  const hasPassed = (): boolean => gate.registry.get(nth + 1)?.toClient.messages === sent
  while (queuedOf(gate, nth + 1) === 0) {
    for (let piece = 0; piece < 4; piece++, sent++) socket.send(Buffer.alloc(16 * KIB))
    await eventually(hasPassed)
  }
  return { wire, socket }
}

for (const policy of ['close', 'dropOldest', 'dropNewest'])
  test(`slowConsumer ${policy}: small messages in a queue count with what they cost; its client goes, and one that reads stays`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t, { echo: false })
    const gate = await startGate(
      t,
      [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: messages, slowConsumer: { policy: ${policy}, queue: 8MiB } }`,
      ],
      {},
      'memory: { buffered: 1MiB, refuseAt: off }',
    )
    const reader = await rawClient(t, gate.port)
    const [one, other] = [await stalled(t, gate, upstream), await stalled(t, gate, upstream)]
    const before = queuedOf(gate, 3)
    for (let nth = 0; nth < 2000; nth++) other.socket.send('')
    await eventually(() => queuedOf(gate, 3) === before + 2000 * 256, { what: 'what they cost' })
    t.same(gate.lines, [], 'as long as all are within their bound')
    for (let nth = 0; nth < 4000; nth++) other.socket.send('')
    await eventually(() => gate.lines.some(({ id }) => id === 3))
    t.same([...new Set(gate.lines.map(({ close }) => close))], ['overloaded'])
    await eventually(() => queued(gate) <= 1024 * KIB, { what: 'queues within their bound' })
    other.wire.resumeReading()
    t.match(await within(other.wire.closed), { kind: 'reset' })
    upstream.connections[0]!.socket.send('still')
    t.equal((await reader.nextFrame()).payload.toString(), 'still')
    for (const wire of [one.wire, reader.wire]) wire.destroy()
  })
