import type { Test } from 'tap'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http2'
import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { codes, END_HEADERS, headers, literals, PREFACE, rst, settings } from '../support/h2-frames.ts'
import type { Field } from '../support/h2-frames.ts'
import { h2Wire, websocketHead } from '../support/h2-wire.ts'
import type { H2Wire } from '../support/h2-wire.ts'
import { connect } from '../support/peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { FrameWire, scriptedUpstream, wsServer } from '../support/websocket.ts'

const modes = ['frames', 'messages'] as const
const listener = (port: number, keys = ''): string =>
  `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${port}" ${keys}`

class Client extends FrameWire {
  readonly h2: H2Wire

  constructor(wire: H2Wire) {
    super(wire)
    this.h2 = wire
  }

  say(payload: string): Promise<boolean> {
    return this.sendFrame({ opcode: 'text', payload, mask: true })
  }
}

async function open(t: Test, port: number, headers: OutgoingHttpHeaders = {}): Promise<Client> {
  return new Client(await h2Wire(t, port, websocketHead(headers)))
}

for (const mode of modes) {
  test(`an echo, and a Close answered; the 200 has what was agreed and no proof, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t, { handleProtocols: () => 'two' })
    const gate = await startGate(t, [listener(upstream.port, `, websocket: { mode: ${mode} }`)])
    const client = await open(t, gate.port, { 'sec-websocket-protocol': 'one, two', cookie: 'a=b' })
    const head = await client.h2.answer
    t.match(head, { ':status': 200, 'sec-websocket-protocol': 'two' })
    for (const name of ['sec-websocket-accept', 'upgrade', 'connection']) t.notOk(name in head, name)
    await client.say('over h2')
    t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('over h2') })
    const seen = await upstream.connection()
    t.match(seen.headers, { host: 'a', cookie: 'a=b', 'x-forwarded-for': '127.0.0.1' })
    await client.sendFrame({ opcode: 'close', payload: closePayload(3000, 'done'), mask: true })
    t.match(await client.nextFrame(), { opcode: 'close', code: 3000 })
    t.same(await seen.closed, { code: 3000, reason: 'done' })
    client.wire.end()
    t.match(await gate.end(), { reason: 'eof', line: { protocol: 'websocket', clientCode: 3000 } })
    t.equal(client.h2.stream.rstCode, 0)
  })

  test(`a drain tells it 1012 and its service 1001, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(t)
    const gate = await startGate(t, [listener(upstream.port, `, websocket: { mode: ${mode} }`)])
    const client = await open(t, gate.port)
    await client.h2.answer
    const drained = gate.drain(3000)
    t.match(await client.nextFrame(), { opcode: 'close', code: 1012 })
    await client.sendFrame({ opcode: 'close', payload: closePayload(1012), mask: true })
    client.wire.end()
    await within(drained)
    t.same(await (await upstream.connection()).closed, { code: 1001, reason: 'drain' })
    t.match(await gate.end(), { reason: 'drain', line: { protocol: 'websocket' } })
  })
}

test('a service that declines is heard: its answer passes, with its end', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { verifyClient: (_info, answer) => answer(false, 401, 'who are you') })
  const gate = await startGate(t, [listener(upstream.port)])
  const client = await open(t, gate.port)
  t.match(await client.h2.answer, { ':status': 401 })
  t.equal(String(await client.wire.received), 'who are you')
  // The client leaves once it has its answer; its connection may be gone before the service's.
  const ends = [await gate.end(0), await gate.end(1)]
  t.match(
    ends.find(({ line }) => line['protocol'] === 'websocket'),
    { reason: 'eof', detail: 'declined the upgrade' },
  )
})

test('what is no WebSocket of version 13, or comes from an origin that is not allowed, is refused with a status', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [listener(upstream.port, ', websocket: { origins: [https://good] }')])
  const status = async (headers: OutgoingHttpHeaders): Promise<number> =>
    Number((await (await open(t, gate.port, headers)).h2.answer)[':status'])
  t.equal(await status({ origin: 'https://good' }), 200)
  t.equal(await status({ origin: 'https://evil' }), 403)
  t.equal(await status({ origin: 'https://good', 'sec-websocket-version': '12' }), 426)
  t.equal(await status({ origin: 'https://good', ':protocol': 'connect-udp' }), 400)
  t.equal(upstream.connections.length, 1)
})

test('END_STREAM without a Close is FIN without one, and RST_STREAM is a reset', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [listener(upstream.port)])
  const ended = await open(t, gate.port)
  await ended.h2.answer
  ended.wire.end()
  t.match(await gate.end(0), { reason: 'aborted', side: 'client', line: { protocol: 'websocket' } })
  await gate.end(1)
  // Node's client sends END_STREAM before it cancels.
  const wire = await connect(t, gate.port)
  const fields = Object.entries(websocketHead()).map(([name, value]): Field => [name, String(value)])
  await wire.write(Buffer.concat([PREFACE, settings(), headers(1, literals(...fields), END_HEADERS)]))
  await upstream.connection(1)
  await wire.write(rst(1))
  t.match(await gate.end(2), { reason: 'reset', side: 'client', detail: 'RST_STREAM: CANCEL' })
  for (const nth of [0, 1]) t.match(await (await upstream.connection(nth)).closed, { code: 1001 })
})

test('a service that ends without a Close, or by RST: END_STREAM after all it said, or RST_STREAM', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.accept({}, encodeFrame({ opcode: 'text', payload: 'last words' })),
  )
  const gate = await startGate(t, [listener(upstream.port)])
  const [one, other] = [await open(t, gate.port), await open(t, gate.port)]
  for (const client of [one, other]) t.match(await client.nextFrame(), { payload: Buffer.from('last words') })
  upstream.conversations[0]!.wire.end()
  t.equal(await one.wire.ended, true)
  one.wire.end()
  await one.closed
  t.equal(one.h2.stream.rstCode, 0)
  upstream.conversations[1]!.wire.reset()
  await other.closed
  t.equal(other.h2.stream.rstCode, codes.INTERNAL_ERROR)
})

test('a 101 that proves nothing is 502', async (t) => {
  watchLeaks(t)
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () =>
      socket.end(
        'HTTP/1.1 101 ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n',
      ),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const gate = await startGate(t, [listener((server.address() as AddressInfo).port)])
  const client = await open(t, gate.port)
  t.match(await client.h2.answer, { ':status': 502 })
  t.match(await gate.end(), { reason: 'protocol_error', side: 'upstream' })
})

test('limits.messages, websocket.maxMessage and idle hold for it, each with its close code', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    listener(upstream.port, ', limits: { messages: { rate: 1, burst: 3, onExceed: close } }'),
    listener(upstream.port, ', websocket: { maxMessage: 1KiB }'),
    listener(upstream.port, ', deadlines: { idle: 300ms }'),
  ])
  const [flooder, large, quiet] = await Promise.all(gate.ports.map((port) => open(t, port)))
  for (let nth = 0; nth < 10; nth++) void flooder!.say('x')
  void large!.say('x'.repeat(2000))
  const code = async (client: Client): Promise<unknown> => {
    for (;;) {
      const frame = await client.nextFrame()
      if (frame.opcode === 'close') return frame.code
    }
  }
  t.same(await Promise.all([flooder!, large!, quiet!].map(code)), [1008, 1009, 1001])
})

test('a subprotocol that was not offered is for the client to judge, and with http.lenient: off it is a 502', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept({ 'Sec-WebSocket-Protocol': 'chat' }))
  const lenient = await startGate(t, [listener(upstream.port)])
  for (const offered of [{}, { 'sec-websocket-protocol': 'other' }]) {
    const client = await open(t, lenient.port, offered)
    t.match(await client.h2.answer, { ':status': 200, 'sec-websocket-protocol': 'chat' })
    client.wire.reset()
  }
  const strict = await startGate(t, [
    `protocol: http, http: { h2c: on, lenient: off }, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  const client = await open(t, strict.port)
  t.match(await client.h2.answer, { ':status': 502 })
})
