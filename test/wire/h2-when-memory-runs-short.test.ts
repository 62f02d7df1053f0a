import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { test, type Test } from 'tap'
import * as grpc from '@grpc/grpc-js'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate, type Gate } from '../support/gate.ts'
import { call, grpcCaller, grpcService } from '../support/grpc.ts'
import { h2Answer, h2Ask, h2Connect } from '../support/h2-client.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2, type RawH2 } from '../support/h2-raw.ts'
import { websocketHead } from '../support/h2-wire.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { overload, queued, recover } from '../support/overload.ts'
import { wsServer } from '../support/websocket.ts'

const KIB = 1024
const MIB = 1024 * KIB
const PATIENT = { withinMs: 20_000 }

/** Answers `/large` with more than any buffer holds, `/held` when the test says so, other targets with a word. */
async function service(t: Test) {
  const held: Array<{ end(text: string): unknown }> = []
  const large = Buffer.alloc(32 * MIB)
  const serve: RequestListener = (request, response) => {
    if (request.url === '/large') response.end(large)
    else if (request.url === '/held') held.push(response)
    else response.end('now')
  }
  return { port: await httpService(t, serve), held }
}

const listener = (port: number, keys = ''): string =>
  `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${port}"${keys}`

const ends = ({ lines }: Gate): string[] =>
  lines.map(({ close, side, protocol }) => [close, side, protocol].map(String).join(' '))

const get = (client: RawH2, path: string): number => client.request(h2.request({ ':path': path }))

/** Windows of streams of that size, and of the connection beyond 64 KiB. */
const windows = (stream: number, connection = 0x3fff_ffff): Buffer =>
  Buffer.concat([
    h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, stream]),
    ...(connection === 0 ? [] : [h2.windowUpdate(0, connection)]),
  ])

test('over memory.buffered the largest stalled stream is overloaded and gets CANCEL; smaller ones, its neighbours and other connections live', async (t) => {
  watchLeaks(t, PATIENT)
  const { port, held } = await service(t)
  const gate = await startGate(
    t,
    [listener(port, ', buffers: { high: 512KiB }'), listener(port, ', buffers: { high: 64KiB }')],
    {},
    'memory: { buffered: 512KiB, refuseAt: off }',
  )
  const client = await rawH2(t, gate.ports[0]!, { settings: windows(1000) })
  const other = await rawH2(t, gate.ports[1]!, { settings: windows(1000) })
  const waits = get(client, '/held')
  const large = get(client, '/large')
  await eventually(() => queued(gate) > 256 * KIB)
  const small: number[] = []
  while (queued(gate) <= 512 * KIB && gate.lines.length === 0) {
    const before = queued(gate)
    small.push(get(other, '/large'))
    await eventually(() => queued(gate) > before || gate.lines.length > 0)
  }
  t.match(await client.end(large, PATIENT), { reset: h2.codes.CANCEL })
  t.match(await gate.end(), {
    reason: 'overloaded',
    side: 'sidegate',
    phase: 'relay',
    line: { listener: 'l0' },
  })
  await eventually(() => held.length === 1)
  held[0]!.end('still')
  t.equal(String((await client.answer(waits)).body), 'still')
  t.equal((await other.get()).status, 200)
  t.same(
    ends(gate).filter((end) => end.startsWith('overloaded')),
    ['overloaded sidegate http'],
  )
  for (const one of [client, other]) one.wire.destroy()
})

test('streams that wait for a connection which takes nothing go before a reader that moves, however much waits for that', async (t) => {
  watchLeaks(t, PATIENT)
  const { port } = await service(t)
  const gate = await startGate(
    t,
    [listener(port, ', buffers: { high: 128KiB }'), listener(port, ', buffers: { high: 1MiB }')],
    {},
    'memory: { buffered: 1600KiB, refuseAt: off }',
  )
  const moves = await rawH2(t, gate.ports[1]!, { settings: windows(KIB) })
  const read = get(moves, '/large')
  const timer = setInterval(() => void moves.send(h2.windowUpdate(read, KIB)), 100)
  t.teardown(() => clearInterval(timer))
  await eventually(() => queued(gate) > 700 * KIB)
  const stuck = await rawH2(t, gate.ports[0]!, { settings: windows(0x7fff_ffff, 0) })
  const streams = Array.from({ length: 5 }, () => get(stuck, '/large'))
  await eventually(() => queued(gate) > 1100 * KIB)
  // Both have a queue, but one takes some of it.
  const before = moves.bodyBytes(read)
  await eventually(() => moves.bodyBytes(read) > before + 30 * KIB, PATIENT)
  const more = Array.from({ length: 12 }, () => get(stuck, '/large'))
  const gone = await Promise.race([...streams, ...more].map((id) => stuck.end(id, PATIENT)))
  t.match(gone, { reset: h2.codes.CANCEL })
  t.same(
    [...new Set(gate.lines.map(({ close, listener: of }) => `${String(close)} ${String(of)}`))],
    ['overloaded l0'],
  )
  const late = moves.bodyBytes(read)
  await eventually(() => moves.bodyBytes(read) > late)
  for (const one of [moves, stuck]) one.wire.destroy()
})

for (const mode of ['frames', 'messages'])
  test(`a WebSocket over HTTP/2 that is not read is overloaded, in ${mode} mode: CANCEL, and another of its connection lives`, async (t) => {
    watchLeaks(t, PATIENT)
    const upstream = await wsServer(t)
    const gate = await startGate(
      t,
      [listener(upstream.port, `, buffers: { high: 512KiB }, websocket: { mode: ${mode} }`)],
      {},
      'memory: { buffered: 256KiB, refuseAt: off }',
    )
    const client = await rawH2(t, gate.port, { settings: windows(1000) })
    const open = (path: string): number =>
      client.request(
        Object.entries(websocketHead({ ':path': path })).map(
          ([name, value]) => [name, String(value)] as const,
        ),
        null,
      )
    const echo = open('/echo')
    t.match(await client.head(echo), { ':status': 200 })
    const flood = open('/flood')
    const { socket } = await upstream.connection(1)
    for (let nth = 0; nth < 64; nth++) socket.send(Buffer.alloc(64 * KIB))
    t.match(await client.end(flood, PATIENT), { reset: h2.codes.CANCEL })
    t.match(await gate.end(), { reason: 'overloaded', side: 'sidegate', line: { protocol: 'websocket' } })
    void client.send(h2.data(echo, encodeFrame({ opcode: 'text', payload: 'still', mask: true })))
    await eventually(() => client.bodyBytes(echo) === 7, { what: 'the echo' })
    client.wire.destroy()
  })

test('at memory.refuseAt new streams are answered with 503, old ones go on, and the same connection serves again when it is over', async (t) => {
  watchLeaks(t, PATIENT)
  const memory = testMemory()
  const { port, held } = await service(t)
  const gate = await startGate(t, [listener(port)], { memory })
  const session = await h2Connect(t, gate.port)
  const old = h2Ask(session, { ':path': '/held' })
  await eventually(() => held.length === 1)
  await overload(gate, memory)
  const refused = await h2Ask(session)
  t.match(refused, { status: 503, body: /^overloaded/, code: 0 })
  t.match(refused.headers['retry-after'], /^[1-5]$/)
  const upgrade = session.request(websocketHead(), { endStream: false })
  t.match(await h2Answer(upgrade), { status: 503, body: /^overloaded/ })
  const fresh = await rawH2(t, gate.port).catch(() => null)
  if (fresh !== null) await within(fresh.wire.ended, { what: 'the end of a new connection' })
  fresh?.wire.destroy()
  held[0]!.end('whole')
  t.match(await old, { status: 200, body: 'whole', code: 0 })
  await recover(gate, memory)
  t.match(await h2Ask(session), { status: 200 })
  t.same(ends(gate), [
    'overloaded sidegate http',
    'overloaded sidegate websocket',
    'eof client http',
    'eof client http',
  ])
})

test('a call of gRPC is UNAVAILABLE meanwhile, on a connection that stands and on a new one, and one that was made goes on', async (t) => {
  watchLeaks(t, PATIENT)
  const memory = testMemory()
  const { port } = await grpcService(t)
  const gate = await startGate(
    t,
    [`protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c }`],
    { memory },
  )
  const caller = grpcCaller(t, gate.port)
  const chat = caller.chat()
  const came: string[] = []
  chat.on('data', (message: Buffer) => came.push(String(message)))
  chat.write(Buffer.from('one'))
  await eventually(() => came.length === 1)
  await overload(gate, memory)
  t.match(await call(caller, 'unary', 'a').answer, { code: grpc.status.UNAVAILABLE, details: /^overloaded/ })
  t.match(await call(grpcCaller(t, gate.port), 'unary', 'a').answer, { code: grpc.status.UNAVAILABLE })
  chat.write(Buffer.from('two'))
  await eventually(() => came.length === 2)
  await recover(gate, memory)
  t.match(await call(caller, 'unary', 'b').answer, { message: Buffer.from('b') })
  chat.end()
  await within(once(chat, 'end'))
})

test('past memory.shedAt a connection without a stream goes sooner, and one with a stream that waits for its answer stays', async (t) => {
  watchLeaks(t, PATIENT)
  const memory = testMemory()
  const { port, held } = await service(t)
  const gate = await startGate(t, [listener(port).replace('h2c: on', 'h2c: on, keepAlive: 10s')], { memory })
  const [idle, waiting] = [await h2Connect(t, gate.port), await h2Connect(t, gate.port)]
  t.match(await h2Ask(idle), { status: 200 })
  const answer = h2Ask(waiting, { ':path': '/held' })
  await eventually(() => held.length === 1)
  memory.use(0.949)
  t.match(await gate.end(1), { reason: 'eof', side: 'sidegate', line: { protocol: 'h2' } })
  held[0]!.end('late')
  t.match(await answer, { status: 200, body: 'late' })
})
