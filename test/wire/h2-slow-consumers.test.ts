// `websocket.slowConsumer` for a WebSocket over HTTP/2, whose client may be slow in two ways: the window of its stream is
// shut, or that of the whole connection. The policy is that of a WebSocket of its own: messages go whole or not at
// all, the service is never held back, and other streams of the same connection go on.

import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { encodeFrame, FrameReader } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import type { RawH2 } from '../support/h2-raw.ts'
import { websocketHead } from '../support/h2-wire.ts'
import { watchLeaks } from '../support/leaks.ts'
import { wsServer } from '../support/websocket.ts'
import type { WsServer } from '../support/websocket.ts'

const KIB = 1024
const MESSAGE = 8 * KIB
const MANY = 200
const WIDE = 0x3fff_ffff
const PATIENT = { withinMs: 30_000 }

/** What of the windows is open at the start: of a stream, and of the connection beyond 64 KiB. */
const ways = [
  ['its stream', 1000, WIDE],
  ['its connection', WIDE, 0],
] as const

interface Scene {
  gate: Gate
  upstream: WsServer
  client: RawH2
  /** Two WebSockets of one connection: that of the slow consumer, and another. */
  slow: number
  echo: number
}

async function scene(t: Test, policy: string, stream: number, connection: number): Promise<Scene> {
  watchLeaks(t, PATIENT)
  const upstream = await wsServer(t, { echo: false })
  const gate = await startGate(t, [
    `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 1s }, websocket: { mode: messages, slowConsumer: { policy: ${policy}, queue: 256KiB }, ping: { interval: off } }`,
  ])
  const client = await rawH2(t, gate.port, {
    settings: Buffer.concat([
      h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, stream]),
      ...(connection === 0 ? [] : [h2.windowUpdate(0, connection)]),
    ]),
  })
  const open = async (path: string): Promise<number> => {
    const fields = Object.entries(websocketHead({ ':path': path }))
    const id = client.request(
      fields.map(([name, value]) => [name, String(value)] as const),
      null,
    )
    t.match(await client.head(id), { ':status': 200 })
    return id
  }
  const [slow, echo] = [await open('/slow'), await open('/echo')]
  const { socket } = await upstream.connection(1)
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  return { gate, upstream, client, slow, echo }
}

/** Broadcasts numbered messages, until the gate has read all of them, or has ended the stream. */
async function broadcast({ gate, upstream }: Scene): Promise<void> {
  const { socket } = await upstream.connection(0)
  for (let nth = 0; nth < MANY; nth++) {
    const payload = Buffer.alloc(MESSAGE, nth)
    payload.writeUInt32BE(nth)
    socket.send(payload)
  }
  const messages = (): number => Math.max(0, ...[...gate.registry].map(({ toClient }) => toClient.messages))
  await eventually(() => messages() >= MANY || gate.lines.length > 0, { ...PATIENT, what: 'all messages' })
}

const framesOf = (client: RawH2, id: number) => new FrameReader().push(Buffer.concat(client.of(id).body))

/** The other WebSocket of the connection is served. */
async function isServed({ client, echo }: Scene): Promise<boolean> {
  const before = framesOf(client, echo).length
  void client.send(h2.data(echo, encodeFrame({ opcode: 'text', payload: 'still', mask: true })))
  await eventually(() => framesOf(client, echo).length > before, { what: 'the echo' })
  return String(framesOf(client, echo).at(-1)!.payload) === 'still'
}

for (const [way, stream, connection] of ways) {
  test(`close: who is slow by ${way} is ended with slow_consumer, and the connection goes on`, async (t) => {
    const it = await scene(t, 'close', stream, connection)
    await broadcast(it)
    const end = await it.client.end(it.slow, PATIENT)
    // The window of its stream is shut inside a message; that of the connection had room behind the last whole one.
    if (connection > 0) t.match(end, { reset: h2.codes.CANCEL })
    else t.same(framesOf(it.client, it.slow).at(-1)!.payload.readUInt16BE(), 1008)
    t.match(await it.gate.end(), {
      reason: 'slow_consumer',
      side: 'client',
      line: { protocol: 'websocket' },
    })
    if (connection === 0) void it.client.send(h2.windowUpdate(0, WIDE))
    t.ok(await isServed(it))
    const [lost] = it.upstream.connections
    await eventually(() => lost!.socket.readyState === 3)
    it.client.wire.destroy()
  })

  for (const policy of ['dropOldest', 'dropNewest'])
    test(`${policy}: who is slow by ${way} gets whole messages in their order, and the connection goes on`, async (t) => {
      const it = await scene(t, policy, stream, connection)
      await broadcast(it)
      if (connection > 0) t.ok(await isServed(it), 'while the other waits')
      t.same(it.gate.lines, [])
      const { client, slow } = it
      void client.send(connection === 0 ? h2.windowUpdate(0, WIDE) : h2.windowUpdate(slow, WIDE))
      const dropped = async (): Promise<number> =>
        Number(
          new RegExp(
            String.raw`^sidegate_websocket_messages_dropped_total\{policy="${policy}"\} (\d+)$`,
            'm',
          ).exec(await it.gate.metrics())?.[1],
        )
      await eventually(async () => framesOf(client, slow).length + (await dropped()) === MANY, {
        ...PATIENT,
        what: 'every message, here or dropped',
      })
      const got = framesOf(client, slow).map(({ payload }) => {
        const nth = payload.readUInt32BE()
        const whole = Buffer.alloc(MESSAGE, nth)
        whole.writeUInt32BE(nth)
        return payload.equals(whole) ? nth : Number.NaN
      })
      t.same(
        got,
        got.toSorted((a, b) => a - b),
        'whole, and in their order',
      )
      t.ok(got.length > 20 && got.length < MANY, `${got.length} of ${MANY}`)
      t.equal(policy === 'dropOldest' ? got.at(-1) : got[0], policy === 'dropOldest' ? MANY - 1 : 0)
      t.ok(await isServed(it))
      client.wire.destroy()
    })
}
