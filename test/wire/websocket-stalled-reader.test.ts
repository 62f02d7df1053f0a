import { test } from 'tap'
import { Verifier } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { switchingProtocols, upgradeRequest } from '../support/handshake.ts'
import { parseHead } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

const GIB = 2 ** 30
const options =
  'websocket: { maxMessage: 1GiB, ping: { interval: 50ms, timeout: 50ms } }, deadlines: { write: 300ms, close: 300ms }'

/** Skips a head by its length, and then compares the bytes with one frame of `pattern`. */
class OneFrame {
  readonly payload = new Verifier(11)
  #skip: number
  #head = Buffer.alloc(0)

  constructor(headerBytes: number) {
    this.#skip = headerBytes
  }

  write(chunk: Buffer): void {
    if (this.#skip === 0) return this.payload.write(chunk)
    this.#head = Buffer.concat([this.#head, chunk])
    const end = this.#head.indexOf('\r\n\r\n') + 4
    if (end < 4 || this.#head.length < end + this.#skip) return
    this.payload.write(this.#head.subarray(end + this.#skip))
    this.#skip = 0
  }
}

test('a client that stalls inside a large message is ended with write_timeout, by RST, and no byte is injected', async (t) => {
  watchLeaks(t)
  const header = encodeFrame({ opcode: 'binary', declares: GIB })
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, header)
    await said.wire.flood({ total: GIB, seed: 11, keepOpen: true })
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${options}`])
  const seen = new OneFrame(header.length)
  const client = await connect(t, gate.port, { unread: true, into: seen })
  void client.write(upgradeRequest())
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
  const said = await eventually(() => upstream.conversations[0])
  t.match(await within(said.closed), { kind: 'reset' })
  client.resumeReading()
  t.match(await within(client.closed), { kind: 'reset' })
  t.equal(client.hasEnded, false)
  t.ok(seen.payload.bytes > 0)
  t.equal(seen.payload.problem(), null, 'what came is the frame and nothing else: no ping, no Close')
})

test('an upstream that stalls inside a large message is ended with write_timeout, by RST, and no byte is injected', async (t) => {
  watchLeaks(t)
  const header = encodeFrame({ opcode: 'binary', declares: GIB, mask: Buffer.alloc(4) })
  const seen = new OneFrame(header.length)
  const upstream = await listen(
    t,
    (wire) => {
      wire.socket.once('data', (head: Buffer) => {
        wire.stopReading()
        void wire.write(switchingProtocols(parseHead(head)!))
      })
    },
    { into: seen },
  )
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${options}`])
  const client = await rawClient(t, gate.port)
  await client.send(header)
  await client.wire.flood({ total: GIB, seed: 11, keepOpen: true })
  t.match(await within(client.closed), { kind: 'reset' })
  t.match(await gate.end(), { reason: 'write_timeout', side: 'upstream', phase: 'relay' })
  const wire = await upstream.connection()
  wire.resumeReading()
  t.match(await within(wire.closed), { kind: 'reset' })
  t.equal(wire.hasEnded, false)
  t.ok(seen.payload.bytes > 0)
  t.equal(seen.payload.problem(), null, 'what came is the frame and nothing else')
})

test('a client that reads slowly is not ended, and gets every byte', async (t) => {
  watchLeaks(t)
  const total = 24 * 1024 * 1024
  const header = encodeFrame({ opcode: 'binary', declares: total })
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, header)
    await said.wire.flood({ total, seed: 11, keepOpen: true })
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { maxMessage: 1GiB, ping: { interval: off } }, deadlines: { write: 1s, close: 300ms }`,
  ])
  const seen = new OneFrame(header.length)
  const client = await connect(t, gate.port, { unread: true, into: seen })
  void client.write(upgradeRequest())
  for (let i = 0; i < 12 && seen.payload.bytes < total; i++) {
    const before = seen.payload.bytes
    client.resumeReading()
    await eventually(() => seen.payload.bytes > before || seen.payload.bytes === total)
    client.stopReading()
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
  client.resumeReading()
  await eventually(() => seen.payload.bytes === total, { withinMs: 20_000 })
  t.equal(seen.payload.problem(total), null)
  t.equal(gate.lines.length, 0)
})
