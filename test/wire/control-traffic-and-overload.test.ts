// Overload chooses its victims by progress: a peer that takes nothing is one, however many pings go either way;
// a slow reader that gets the same pings is not.

import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { quietFor } from '../support/innocents.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { connect } from '../support/peers.ts'
import { slowReader } from '../support/processes.ts'
import { wsServer } from '../support/websocket.ts'

const KIB = 1024
/** It does not compress. */
const NOISE = randomBytes(16 * KIB)
const PING = encodeFrame({ opcode: 'ping', payload: Buffer.from('ping'), mask: true })
const WAIT = { withinMs: 30_000 }

const every = (t: Test, ms: number, run: () => unknown): void => {
  const timer = setInterval(run, ms)
  t.teardown(() => clearInterval(timer))
}

for (const [mode, deflate] of [
  ['frames', false],
  ['messages', false],
  ['messages', true],
] as const)
  test(`pings make no reader of one that takes nothing, and no victim of a slow one: ${mode}${deflate ? ', compressed' : ''}`, async (t) => {
    watchLeaks(t)
    const memory = testMemory()
    const upstream = await wsServer(t, { echo: false, perMessageDeflate: deflate })
    const gate = await startGate(
      t,
      [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode}, ping: { interval: 1s, timeout: 1s, misses: 100 } }, deadlines: { idle: off }`,
      ],
      { memory },
    )
    const opening = upgradeRequest(
      deflate ? { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } } : {},
    )
    const slow = await slowReader(t, gate.port)
    slow.send(opening)
    await eventually(() => upstream.connections.length === 1, WAIT)
    const stalled = await connect(t, gate.port, { unread: true })
    await stalled.write(opening)
    await eventually(() => upstream.connections.length === 2, WAIT)
    slow.trickle(4 * KIB, 20)
    // Of a peer whose pongs do not go out, `ws` takes 64 pings, and then ends it.
    every(t, 500, () => slow.send(PING))
    every(t, 500, () => void stalled.write(PING))
    for (const { socket } of upstream.connections) {
      every(t, 50, () => socket.readyState === 1 && socket.ping())
      every(t, 5, () => {
        if (socket.readyState === 1 && socket.bufferedAmount < 64 * KIB)
          for (let nth = 0; nth < 4; nth++) socket.send(NOISE)
      })
    }
    await eventually(
      () => [...gate.registry].filter(({ owner }) => owner!.queued('client') > 0).length === 2,
      { ...WAIT, what: 'queues for both' },
    )
    // From `memory.shedAt` on the gate looks at what each takes, so that it knows the slow one by then.
    memory.use(0.9)
    await quietFor(3000)
    t.same(gate.lines, [])
    memory.use(0.96)
    await eventually(() => gate.lines.length > 0, { ...WAIT, what: 'a victim' })
    t.match(await gate.end(), { reason: 'overloaded', line: { id: 2 } })
    const { bytes } = slow
    await eventually(() => slow.bytes > bytes + 100 * KIB, WAIT)
    t.equal(gate.lines.length, 1, 'the slow one goes on')
    slow.reset()
    stalled.destroy()
  })
