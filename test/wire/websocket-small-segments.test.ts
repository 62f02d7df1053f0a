import { spawnSync } from 'node:child_process'
import { test } from 'tap'
import { pattern } from '../support/bytes.ts'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { switchingProtocols, upgradeRequest } from '../support/handshake.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { plainEnv } from '../support/plain-env.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

/** Data segments that our socket at `port` has sent; null where the tool to ask the kernel is missing. */
function segmentsFrom(port: number): number | null {
  const { stdout } = spawnSync('ss', ['-tinH', 'sport', '=', `:${port}`], {
    encoding: 'utf8',
    env: plainEnv(),
  })
  const found = /data_segs_out:(\d+)/.exec(stdout ?? '')
  return found === null ? null : Number(found[1])
}

for (const mode of ['frames', 'messages'] as const) {
  test(`the 101 and what came behind it are one segment for the client, ${mode}`, async (t) => {
    watchLeaks(t)
    const early = Buffer.concat([
      encodeFrame({ opcode: 'text', payload: 'one' }),
      encodeFrame({ opcode: 'text', payload: 'two' }),
    ])
    const upstream = await scriptedUpstream(t, (said) =>
      said.send(Buffer.concat([Buffer.from(switchingProtocols(said.head)), early])),
    )
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }, websocket: { mode: ${mode} }`,
    ])
    const chunks: Buffer[] = []
    const client = await connect(t, gate.port, { into: { write: (chunk) => chunks.push(chunk) } })
    await client.write(upgradeRequest())
    await eventually(() => client.bytes > 0)
    await eventually(() => Buffer.concat(chunks).subarray(-early.length).equals(early))
    const sent = segmentsFrom(gate.port)
    if (sent === null) t.comment('needs ss')
    else t.equal(sent, 1)
  })
}

test('many small messages of one read are one segment, in messages mode', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }, websocket: { mode: messages }`,
  ])
  const client = await rawClient(t, gate.port)
  await eventually(() => upstream.conversations.length === 1)
  const chatter = Buffer.concat(
    Array.from({ length: 500 }, (_, i) => encodeFrame({ opcode: 'text', payload: `message ${i}` })),
  )
  const before = segmentsFrom(gate.port)
  await upstream.conversations[0]!.send(chatter)
  await eventually(() => client.frames().length === 500)
  const sent = segmentsFrom(gate.port)
  // A read of the gate may bring less than all of them, and a segment holds less than a read.
  if (before === null || sent === null) t.comment('needs ss')
  else t.ok(sent - before <= 4, `${sent - before} segments for 500 messages`)
  t.match(client.frames().at(-1), { payload: Buffer.from('message 499') })
})

test('messages that come one by one are not held back for each other', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }, websocket: { mode: messages }`,
  ])
  const client = await rawClient(t, gate.port)
  await eventually(() => upstream.conversations.length === 1)
  for (let i = 0; i < 50; i++) {
    await client.sendFrame({ opcode: 'binary', payload: pattern(40, i) })
    t.same((await upstream.conversations[0]!.nextFrame()).payload, pattern(40, i))
    await upstream.conversations[0]!.sendFrame({ opcode: 'binary', payload: pattern(40, i) })
    t.same((await client.nextFrame()).payload, pattern(40, i))
  }
})
