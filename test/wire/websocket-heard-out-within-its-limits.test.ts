// A client breaks a rule, the gate still relays the service's pending answers, and the service exceeds a
// limit of its own meanwhile: its earlier bytes reach the client, and none after the gap.

import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

const LARGE = Buffer.alloc(60_000, 'x')

for (const mode of ['frames', 'messages'])
  test(`what comes behind bytes that were over a limit does not go on, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, (said) => said.accept())
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode} },
       limits: { bytes: { rate: 1KiB, burst: 64KiB, onExceed: close } }`,
    ])
    const client = await rawClient(t, gate.port)
    const connection = await eventually(() => gate.registry.get(1))
    const said = upstream.conversations[0]!
    await client.send(encodeFrame({ opcode: 3, mask: true }))
    await eventually(() => connection.end !== null)
    await said.sendFrame({ opcode: 'binary', payload: LARGE })
    t.equal((await client.nextFrame()).payload.length, LARGE.length)
    const { received } = connection.toClient
    await said.sendFrame({ opcode: 'binary', payload: LARGE })
    await eventually(() => connection.toClient.received >= received + LARGE.length)
    await said.sendFrame({ opcode: 'text', payload: 'behind it' })
    said.wire.end()
    t.match(await client.nextFrame(), { opcode: 'close', code: 1002 })
    client.wire.end()
    await within(client.closed)
    t.equal(client.unfinished, 0)
    t.match(await gate.end(), { reason: 'protocol_error', side: 'client' })
  })
