// Messages of WebSockets, byte for byte and in order, from clients of each version of HTTP through both
// modes, compressed and not, whole and in fragments. glibc overwrites freed memory, as in
// bodies-arrive-as-they-were.test.ts.

import { constants, deflateRawSync, inflateRawSync } from 'node:zlib'
import { test, type Test } from 'tap'
import { within } from '../support/eventually.ts'
import { closePayload } from '../support/frames.ts'
import { h2Wire, websocketHead } from '../support/h2-wire.ts'
import { FrameWire, rawClient, wsServer } from '../support/websocket.ts'
import { runProgram } from './program.ts'

/** Lengths around the forms of heads, a frame of HTTP/2, a write and a read. */
const SIZES = [0, 1, 125, 126, 1023, 1024, 16_370, 30_000, 65_522, 65_535, 65_536, 70_000, 131_072, 200_000]
const AT_ONCE = 10
const source = Buffer.alloc(400_000)
for (let at = 0; at < source.length; at++) source[at] = 33 + ((at * 7 + (at >> 8)) % 90)

/** Compresses each message by itself, so that neither side needs the other's library. */
const OFFER = 'permessage-deflate; client_no_context_takeover; server_no_context_takeover'
/** The bytes that RFC 7692 removes at the end of each message. */
const TAIL = Buffer.from([0, 0, 0xff, 0xff])

const messagesOf = (client: number): Buffer[] =>
  SIZES.map((size, nth) => source.subarray(997 * nth + client, 997 * nth + client + size))

function deflated(message: Buffer): Buffer {
  const whole = deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH })
  return whole.subarray(0, whole.length - TAIL.length)
}

const inflated = (bytes: Buffer): Buffer =>
  inflateRawSync(Buffer.concat([bytes, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH })

/** In one frame, two, or three of which one is empty. */
function say(client: FrameWire, message: Buffer, nth: number, isCompressed: boolean): void {
  const payload = isCompressed ? deflated(message) : message
  const cuts = [[], [payload.length >> 1], [payload.length >> 2, payload.length >> 2]][nth % 3]!
  const ends = [...cuts, payload.length]
  for (const [piece, end] of ends.entries())
    void client.sendFrame({
      opcode: piece > 0 ? 'continuation' : nth % 2 === 0 ? 'text' : 'binary',
      fin: piece === cuts.length,
      rsv: isCompressed && piece === 0 ? 4 : 0,
      payload: payload.subarray(piece === 0 ? 0 : ends[piece - 1], end),
      mask: true,
    })
}

async function nextMessage(client: FrameWire): Promise<Buffer> {
  const pieces: Buffer[] = []
  let isCompressed = false
  for (;;) {
    const { opcode, rsv, payload, fin } = await client.nextFrame()
    if (opcode === 'close') throw new Error(`closed: ${payload.toString('latin1', 2)}`)
    isCompressed ||= rsv === 4
    pieces.push(payload)
    if (fin) break
  }
  const all = Buffer.concat(pieces)
  return isCompressed ? inflated(all) : all
}

/** Its messages that came back changed. Its Close follows them, and the answer follows the last one: a buffer that is freed early is freed there. */
async function wrong(client: FrameWire, nth: number, isCompressed: boolean): Promise<string[]> {
  const found: string[] = []
  client.wire.stopReading()
  for (const [at, message] of messagesOf(nth).entries()) say(client, message, at, isCompressed)
  void client.sendFrame({ opcode: 'close', payload: closePayload(1000, 'done'), mask: true })
  // A service that still compresses at the end of its client ends without its remaining messages.
  if (!isCompressed) client.wire.end()
  setImmediate(() => client.wire.resumeReading())
  for (const message of messagesOf(nth))
    if (!(await nextMessage(client)).equals(message)) found.push(`${message.length} bytes of client ${nth}`)
  const { opcode, code } = await client.nextFrame()
  if (opcode !== 'close' || code !== 1000) found.push(`${opcode} ${code} as the Close of client ${nth}`)
  client.wire.end()
  return found
}

const clients = {
  'HTTP/1.1': async (t: Test, port: number, offer: object): Promise<FrameWire> =>
    rawClient(t, port, { headers: { ...offer } }),
  'HTTP/2': async (t: Test, port: number, offer: object): Promise<FrameWire> => {
    const wire = await h2Wire(t, port, websocketHead({ ...offer }))
    await within(wire.answer)
    return new FrameWire(wire)
  },
}

for (const mode of ['frames', 'messages'])
  test(`in mode ${mode}`, async (t) => {
    const { port } = await wsServer(t, { perMessageDeflate: { threshold: 100 } })
    const program = await runProgram(
      t,
      [
        `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${port}",
         websocket: { mode: ${mode}, compression: ${mode === 'frames' ? 'pass' : 'on'} }`,
      ],
      { under: ['env', 'MALLOC_PERTURB_=165'] },
    )
    for (const [version, open] of Object.entries(clients))
      for (const isCompressed of [false, true]) {
        const offer = isCompressed ? { 'sec-websocket-extensions': OFFER } : {}
        const one = async (_: unknown, nth: number): Promise<string[]> =>
          wrong(await open(t, program.port, offer), nth, isCompressed)
        const found = await Promise.all(Array.from({ length: AT_ONCE }, one))
        t.same(found.flat(), [], `over ${version}${isCompressed ? ', compressed' : ''}`)
      }
  })
