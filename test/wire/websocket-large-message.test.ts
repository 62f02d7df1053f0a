import { test } from 'tap'
import { pattern, sha256, Verifier } from '../support/bytes.ts'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { switchingProtocols } from '../support/handshake.ts'
import { parseHead } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'
import { rawClient, wsClient, wsServer } from '../support/websocket.ts'

const MIB = 1024 * 1024
const TOTAL = 64 * MIB
const wait = { withinMs: 60_000 }

test('a message of 64 MiB is echoed whole', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { maxPayload: 2 * TOTAL })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, websocket: { maxMessage: 64MiB }`,
  ])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`, { maxPayload: 2 * TOTAL })
  const bytes = pattern(TOTAL, 64)
  await client.send(bytes)
  const { data } = await client.nextMessage(wait)
  t.equal(data.length, TOTAL)
  t.equal(sha256(data), sha256(bytes))
  t.match(gate.open(), { toUpstream: { messages: 1 }, toClient: { messages: 1 } })
})

test('no part of a message of 64 MiB piles up in the gate while its reader is slow', async (t) => {
  watchLeaks(t)
  // Raw bytes, checked as they come: a library would hold the message, and hide whether the gate did.
  const verifier = new Verifier(64)
  const header = encodeFrame({ opcode: 'binary', declares: TOTAL, mask: Buffer.alloc(4) })
  let skip = 0
  const into = {
    write: (chunk: Buffer) => {
      const passed = Math.min(skip, chunk.length)
      skip -= passed
      verifier.write(chunk.subarray(passed))
    },
  }
  const upstream = await listen(
    t,
    (wire) => {
      wire.socket.prependOnceListener('data', (head: Buffer) => {
        skip = head.length + header.length
        void wire.write(switchingProtocols(parseHead(head)!))
      })
    },
    { into },
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, websocket: { maxMessage: 64MiB }, buffers: { high: 128KiB }`,
  ])
  const client = await rawClient(t, gate.port)
  const wire = await upstream.connection()
  await client.send(header)
  const flow = gate.open().toUpstream
  let highest = 0
  for (let at = 0; at < TOTAL; at += MIB) {
    wire.stopReading()
    const taken = client.send(pattern(MIB, 64, at))
    await eventually(() => flow.received >= at || wire.socket.readableLength > 0)
    highest = Math.max(highest, gate.open().owner!.queued('upstream'))
    wire.resumeReading()
    await taken
  }
  await eventually(() => verifier.bytes >= TOTAL, { ...wait, what: 'the whole message' })
  t.equal(verifier.problem(TOTAL), null)
  t.ok(highest <= 128 * 1024, `${highest} bytes waited at the most`)
  t.equal(flow.messages, 1)
})
