import { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { GATE_FOR_CLIENT, network, UPSTREAM, whyNoNetwork, type Network, type Peer } from '../support/netns.ts'
import { configFile, runFile, type Program } from './program.ts'

const why = whyNoNetwork()
const options = why === null ? {} : { skip: why }
const LONG = { withinMs: 25_000 }

const echo = `require('net').createServer({ allowHalfOpen: true }, (s) => s.on('error', (e) => console.log('error', e.code)).on('end', () => console.log('end')).pipe(s)).listen(9000, () => console.log('listening'))`
const flood = `
  const chunk = Buffer.alloc(65536, 'x')
  require('net').createServer((s) => {
    const go = () => { while (!s.destroyed && s.write(chunk)); }
    s.on('error', (e) => console.log('error', e.code)).on('close', () => console.log('closed')).on('drain', go).resume()
    go()
  }).listen(9000, () => console.log('listening'))`
/** Sends so many bytes to each client, and then ends. */
const file = `
  const bytes = Buffer.alloc(Number(process.argv[1]), 'abcdefghijk')
  require('net').createServer((s) => s.on('error', (e) => console.log('error', e.code)).resume().end(bytes)).listen(9000, () => console.log('listening'))`
const service = `
  const { WebSocketServer } = require('ws')
  new WebSocketServer({ port: 9000 }, () => console.log('listening')).on('connection', (s) => {
    s.on('message', (data) => s.send(data))
    s.on('close', (code, reason) => console.log('closed', code, reason.toString()))
  })`

const talker = `
  const s = require('net').connect({ host: '${GATE_FOR_CLIENT}', port: 8000, allowHalfOpen: true }, () => s.write('hello'))
  s.once('data', () => console.log('heard')).on('error', (e) => console.log('error', e.code)).on('end', () => console.log('end'))`
const flooding = `
  const chunk = Buffer.alloc(65536, 'x')
  const s = require('net').connect(8000, '${GATE_FOR_CLIENT}', () => go())
  const go = () => { while (!s.destroyed && s.write(chunk)); }
  s.on('drain', go).on('error', (e) => console.log('error', e.code)).resume().once('data', () => console.log('heard'))`
const reader = `
  const hash = require('crypto').createHash('sha256')
  let bytes = 0
  const s = require('net').connect(8000, '${GATE_FOR_CLIENT}')
  s.on('data', (piece) => { if (bytes === 0) console.log('heard'); bytes += piece.length; hash.update(piece) })
  s.on('end', () => console.log('whole', bytes, hash.digest('hex'))).on('error', (e) => console.log('error', e.code, bytes))`
const socket = `
  const { WebSocket } = require('ws')
  const s = new WebSocket('ws://${GATE_FOR_CLIENT}:8000/', { perMessageDeflate: false })
  s.on('open', () => s.send('hello')).once('message', () => console.log('heard')).on('close', (code, reason) => console.log('closed', code, reason.toString())).on('error', () => {})`

interface Scene {
  net: Network
  gate: Program
  upstream: Peer
  client: Peer
  /** The end of the only connection, from the log. */
  end(): Promise<Record<string, unknown>>
}

/** A path that is proven: the client has heard from the upstream. */
async function scene(t: Test, protocol: 'tcp' | 'http', rest: string, programs: { upstream: [string, ...string[]]; client: string | null }): Promise<Scene> {
  const net = network(t)
  const upstream = net.run('upstream', ...programs.upstream)
  await upstream.said('listening')
  const yaml = `listeners:\n  - { name: l0, address: "${GATE_FOR_CLIENT}:8000", protocol: ${protocol}, upstream: "${UPSTREAM}:9000", ${rest} }\n`
  const gate = await runFile(t, configFile(t, yaml), { under: net.under('gate'), isAsked: false })
  const logged = (msg: string): Record<string, unknown> | undefined => gate.lines.map((line) => JSON.parse(line) as Record<string, unknown>).find((line) => line['msg'] === msg)
  await eventually(() => logged('started'), { withinMs: 10_000, what: 'the gate to start' })
  const client = net.run('client', programs.client ?? '')
  if (programs.client !== null) await client.said('heard')
  return { net, gate, upstream, client, end: () => eventually(() => logged('connection closed'), { ...LONG, what: 'the end of the connection' }) }
}

test('a tcp client that vanishes while idle is ended by deadlines.idle', options, async (t) => {
  const { net, upstream, end } = await scene(t, 'tcp', 'deadlines: { idle: 1s, close: 500ms }', { upstream: [echo], client: talker })
  net.vanish('client')
  t.match(await end(), { close: 'idle_timeout', side: 'sidegate' })
  await upstream.said('end')
})

test('a tcp client that vanishes while idle is found by TCP keep-alive, and its upstream is reset', options, async (t) => {
  const { net, upstream, end } = await scene(t, 'tcp', 'tcpKeepAlive: 1s', { upstream: [echo], client: talker })
  await new Promise((resolve) => setTimeout(resolve, 1500)) // probes begin for a pair that is older than a second
  net.vanish('client')
  t.match(await end(), { close: 'reset', side: 'client', detail: 'ETIMEDOUT' })
  await upstream.said('error ECONNRESET')
})

test('a tcp upstream that vanishes while idle is found by TCP keep-alive, and its client is reset', options, async (t) => {
  const { net, client, end } = await scene(t, 'tcp', 'tcpKeepAlive: 1s', { upstream: [echo], client: talker })
  await new Promise((resolve) => setTimeout(resolve, 1500))
  net.vanish('upstream')
  t.match(await end(), { close: 'reset', side: 'upstream', detail: 'ETIMEDOUT' })
  await client.said('error ECONNRESET')
})

test('a WebSocket client that vanishes while idle is ended by ping_timeout, and its upstream is told', options, async (t) => {
  const { net, upstream, end } = await scene(t, 'http', 'websocket: { ping: { interval: 500ms, timeout: 500ms } }', { upstream: [service], client: socket })
  net.vanish('client')
  t.match(await end(), { close: 'ping_timeout', side: 'client' })
  t.match(await upstream.said('closed'), 'closed 1001')
})

test('a WebSocket upstream that vanishes while idle is ended by ping_timeout, and its client is told', options, async (t) => {
  const { net, client, end } = await scene(t, 'http', 'websocket: { ping: { interval: 500ms, timeout: 500ms } }', { upstream: [service], client: socket })
  await new Promise((resolve) => setTimeout(resolve, 1500)) // it is held to pings once it has answered one
  net.vanish('upstream')
  t.match(await end(), { close: 'ping_timeout', side: 'upstream' })
  t.match(await client.said('closed'), 'closed 1001')
})

test('WebSocket peers that are idle and answer pings stay', options, async (t) => {
  const { gate, client } = await scene(t, 'http', 'websocket: { ping: { interval: 300ms, timeout: 300ms } }', { upstream: [service], client: socket })
  await new Promise((resolve) => setTimeout(resolve, 3000))
  t.notOk(gate.lines.some((line) => line.includes('connection closed')))
  t.same(client.lines, ['heard'])
})

test('a client that vanishes while it is sent to is ended by write_timeout, and its upstream is reset', options, async (t) => {
  const { net, upstream, end } = await scene(t, 'tcp', 'deadlines: { write: 1s }', { upstream: [flood], client: reader })
  net.vanish('client')
  t.match(await end(), { close: 'write_timeout', side: 'client' })
  await upstream.said('error ECONNRESET')
})

test('an upstream that vanishes while it is sent to is ended by write_timeout, and its client is reset', options, async (t) => {
  const { net, client, end } = await scene(t, 'tcp', 'deadlines: { write: 1s }', { upstream: [echo], client: flooding })
  net.vanish('upstream')
  t.match(await end(), { close: 'write_timeout', side: 'upstream' })
  await client.said('error ECONNRESET')
})

test('an upstream that has vanished before the dial ends the client by connect_timeout', options, async (t) => {
  const { net, end } = await scene(t, 'tcp', 'deadlines: { connect: 500ms }', { upstream: [echo], client: null })
  net.vanish('upstream')
  const client = net.run('client', talker)
  t.match(await end(), { close: 'connect_timeout', side: 'upstream' })
  await client.said('error ECONNRESET')
})

test('a client whose link is down for a moment, less than its deadlines, goes on', options, async (t) => {
  const { net, gate, client } = await scene(t, 'tcp', 'deadlines: { write: 5s }', { upstream: [file, '40000000'], client: reader })
  net.vanish('client')
  await new Promise((resolve) => setTimeout(resolve, 700))
  net.heal('client')
  t.match(await client.said('whole', LONG), 'whole 40000000 ')
  t.match(gate.lines.at(-1), /"close":"eof"/)
})

const TOTAL = 600_000

for (const [what, spoil, total] of [
  ['20 % of the packets lost', (net: Network) => net.lose('client', 0.2), TOTAL],
  ['a link of 1 Mbit/s', (net: Network) => net.slow('client', 1000), TOTAL],
] as const) {
  test(`${what}: a transfer that goes on outlives its write deadline, and is whole`, options, async (t) => {
    const { net, client: _, end } = await scene(t, 'tcp', 'deadlines: { write: 2s }', { upstream: [file, String(total)], client: null })
    spoil(net)
    const start = performance.now()
    const client = net.run('client', reader)
    t.match(await client.said('whole', { withinMs: 60_000 }), `whole ${total} `)
    t.match(await end(), { close: 'eof', bytesToClient: total, sentToClient: total })
    t.comment(`${((performance.now() - start) / 1000).toFixed(1)} s`)
  })
}
