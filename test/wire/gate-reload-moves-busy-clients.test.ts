// A client of HTTP that asks again and again on one connection, an ingress for instance, would meet what a reload has replaced for
// as long as it keeps that connection: a service that has moved, a network that is denied now. It is asked to go with its
// next answer, and loses nothing by it.

import { test } from 'tap'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Answer, h2Ask, h2Connect } from '../support/h2-client.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { get, HttpClient, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { echo } from '../support/peers.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { FrameWire, wsServer } from '../support/websocket.ts'

const LONG = { withinMs: 20_000 }
const to = ({ port }: { port: number }, keys = ''): string =>
  `protocol: http, upstream: "127.0.0.1:${port}"${keys}`

const isKept = (answer: { header(name: string): string | null }): boolean =>
  answer.header('connection') === 'keep-alive'

const answerOf = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`

/** What a request meets, each with a new value. */
const judged: Array<[what: string, keys: string]> = [
  ['who may come', ', access: { deny: [192.0.2.0/24] }'],
  ['who is believed', ', http: { trustForwarded: [127.0.0.1] }'],
  ['how large a body may be', ', http: { maxBody: 1MiB }'],
  ['which origins may open a WebSocket', ', websocket: { origins: ["https://a"] }'],
  ['how many of a client', ', limits: { connectionsPerClient: 100 }'],
]

/** What a connection meets at its beginning, or all of them at once. */
const neutral: Array<[what: string, keys: string]> = [
  ['buffers', ', buffers: { high: 32KiB, low: 16KiB }'],
  ['the number of places', ', limits: { connections: 123 }'],
  ['tcpKeepAlive', ', tcpKeepAlive: 20s'],
  ['deadlines', ', deadlines: { idle: 59m }'],
  ['pings', ', websocket: { ping: { interval: 26s } }'],
]

test('a client that keeps its connection gets its next answer by what it was admitted by, and the one behind it by what holds now', async (t) => {
  watchLeaks(t)
  const [first, second] = [await recordingUpstream(t), await recordingUpstream(t)]
  const gate = await startGate(t, [to(first)])
  const client = await httpClient(t, gate.port)
  t.ok(isKept(await client.get(get('/1'))))
  t.match(await gate.reload([to(second)]), { result: 'success' })
  t.notOk(isKept(await client.get(get('/2'))))
  t.equal(await within(client.wire.ended), true)
  client.wire.end()
  t.match(await gate.end(), { reason: 'reloaded', side: 'sidegate' })
  const again = await httpClient(t, gate.port)
  t.ok(isKept(await again.get(get('/3'))))
  t.same(
    [first, second].map(({ requests }) => requests.map(({ target }) => target)),
    [['/1', '/2'], ['/3']],
  )
})

for (const [what, keys] of judged)
  test(`so it is where another value holds for requests: ${what}`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t)
    const gate = await startGate(t, [to(upstream)])
    const client = await httpClient(t, gate.port)
    await client.get(get())
    t.match(await gate.reload([to(upstream, keys)]), { result: 'success' })
    t.notOk(isKept(await client.get(get())))
  })

for (const [what, keys] of neutral)
  test(`it stays where requests mean the same, until they do not: ${what}`, async (t) => {
    watchLeaks(t)
    const [first, second] = [await recordingUpstream(t), await recordingUpstream(t)]
    const gate = await startGate(t, [to(first)])
    const client = await httpClient(t, gate.port)
    await client.get(get())
    t.match(await gate.reload([to(first, keys)]), { result: 'success' })
    t.ok(isKept(await client.get(get())))
    t.match(await gate.reload([to(second, keys)]), { result: 'success' })
    t.notOk(isKept(await client.get(get())))
  })

test('an answer that is under way stays whole, and a client that asks nothing stays; over TLS, too', async (t) => {
  watchLeaks(t)
  const ca = authority(t)
  const { cert, key } = ca.issue('app')
  const slow = await recordingUpstream(t, () => undefined)
  const second = await recordingUpstream(t)
  const tls = `, tls: { cert: "${cert}", key: "${key}" }`
  const gate = await startGate(t, [to(slow, tls)])
  const [busy, idle] = [
    new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert })),
    new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert })),
  ]
  const answer = busy.get(get('/slow'))
  const asked = await slow.request(0)
  await asked.wire.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbef')
  await eventually(() => [...gate.registry].some(({ toClient }) => toClient.received > 0))
  t.match(await gate.reload([to(second, tls)]), { result: 'success' })
  await asked.wire.write('ore')
  const { body } = await answer
  t.equal(body.toString(), 'before')
  const next = busy.get(get('/next'))
  await (await slow.request(1)).wire.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  t.notOk(isKept(await next), 'its head had gone out before')
  t.equal(idle.wire.hasEnded, false)
  busy.wire.end()
  idle.wire.end()
})

test('WebSockets and tcp are left alone', async (t) => {
  watchLeaks(t)
  const [service, moved] = [await wsServer(t), await wsServer(t)]
  const [bytes, others] = [await echo(t), await echo(t)]
  const tcp = ({ port }: { port: number }): string => `protocol: tcp, upstream: "127.0.0.1:${port}"`
  const gate = await startGate(t, [to(service), tcp(bytes)])
  const client = await httpClient(t, gate.port)
  t.equal((await client.get(upgradeRequest())).status, 101)
  const socket = new FrameWire(client.wire)
  const plain = await httpClient(t, gate.ports[1]!)
  await plain.send('a')
  t.match(await gate.reload([to(moved), tcp(others)]), { result: 'success' })
  await socket.sendFrame({ opcode: 'text', payload: 'still there', mask: true })
  t.match(await socket.nextFrame(), { opcode: 'text', payload: Buffer.from('still there') })
  await plain.send('b')
  t.equal((await plain.wire.read(2)).toString(), 'ab')
  client.wire.end()
  plain.wire.end()
})

for (const workers of [1, 2])
  test(`a client of HTTP/2 is told by GOAWAY behind an answer, and the others come; ${workers} workers`, async (t) => {
    watchLeaks(t, LONG)
    const [first, second] = [await recordingUpstream(t, () => undefined), await recordingUpstream(t)]
    const h2c = ', http: { h2c: on }'
    const gate = await startGate(t, [to(first, h2c)], { workers })
    const client = await h2Connect(t, gate.port)
    let goaway: number | null = null
    client.on('goaway', (code) => (goaway = code))
    const held = h2Answer(client.request({ ':path': '/held' }))
    const asked = await first.request(0)
    t.match(await gate.reload([to(second, h2c)]), { result: 'success' })
    const answer = h2Ask(client, { ':path': '/next' })
    await (await first.request(1)).wire.write(answerOf('next'))
    t.match(await answer, { status: 200, body: 'next', code: 0 })
    await eventually(() => goaway !== null, LONG)
    t.equal(goaway, 0)
    const fresh = await h2Connect(t, gate.port)
    t.match(await h2Ask(fresh, { ':path': '/moved' }), { status: 200 })
    t.same(
      second.requests.map(({ target }) => target),
      ['/moved'],
    )
    await asked.wire.write(answerOf('held'))
    t.match(await held, { status: 200, body: 'held', code: 0 }, 'what had begun comes to its end')
    fresh.close()
    await eventually(() =>
      gate.lines.some(({ protocol, close }) => protocol === 'h2' && close === 'reloaded'),
    )
  })

test('in a drain it goes for the drain, and for the reload once that is taken back', async (t) => {
  watchLeaks(t)
  const [first, second] = [await recordingUpstream(t), await recordingUpstream(t)]
  const gate = await startGate(t, [to(first)])
  const clients = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  for (const client of clients) await client.get(get())
  t.match(await gate.reload([to(second)]), { result: 'success' })
  const drained = gate.operator.drain('admin', { minDurationMs: 60_000, timeoutMs: 120_000 })
  for (const [nth, reason] of ['drain', 'reloaded'].entries()) {
    const client = clients[nth]!
    t.notOk(isKept(await client.get(get())))
    client.wire.end()
    t.match(await gate.end(nth), { reason, side: 'sidegate' })
    if (nth === 0) t.ok(gate.operator.undrain())
  }
  await drained
})
