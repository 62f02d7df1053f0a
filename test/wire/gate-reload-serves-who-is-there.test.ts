// Clients of a listener that a reload takes away, which are not served yet: the kernel has completed their connection and
// they wait for their accept, one in a turn of the event loop; or they are in the middle of their handshake. They are
// served as those that were served before, and asked to go with them.

import http2 from 'node:http2'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { test } from 'tap'
import type { Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { someServer } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { closePayload } from '../support/frames.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask } from '../support/h2-client.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { get, HttpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { FrameWire, wsServer } from '../support/websocket.ts'
import { Wire } from '../support/wire.ts'

const CLIENTS = 60
const LONG = { withinMs: 20_000 }
const { ca, cert, key } = someServer()
const tls = `, tls: { cert: "${cert}", key: "${key}" }`
const proxied = ', proxyProtocol: { accept: v1, trusted: [127.0.0.1] }'
const HEADER = 'PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n'
const patient = ', deadlines: { handshake: 30s }'
/** Connections are asked to go at the end of the spread: each has asked for its answer by then. */
const late = { random: () => 0.999 }
const SPREAD = 'drain: { spread: 20s }'
const NEVER = 'drain: { spread: 50m, timeout: 1h }'
const NEXT_TICK = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))

const http = ({ port }: { port: number }, keys = ''): string =>
  `protocol: http, upstream: "127.0.0.1:${port}"${keys}${patient}`
const tcp = ({ port }: { port: number }, keys = ''): string =>
  `protocol: tcp, upstream: "127.0.0.1:${port}"${keys}${patient}`

const reached = async (t: Test, at: number | string): Promise<HttpClient> =>
  new HttpClient(await connect(t, at))
const secure = async (t: Test, at: number | string): Promise<HttpClient> =>
  new HttpClient(await tlsConnect(t, Number(at), { ca }))
const introduced = async (t: Test, at: number | string): Promise<HttpClient> => {
  const client = await reached(t, at)
  await client.send(HEADER)
  return client
}

function unixPath(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'gate')
}

async function say(wire: Wire, text: string): Promise<string> {
  await wire.write(text)
  return (await within(wire.read(text.length), LONG)).toString()
}

/** Whether connections are refused there. */
const isShut = async (t: Test, at: number | string): Promise<void> => {
  await t.rejects(connect(t, at), /ECONNREFUSED|ENOENT/)
}

for (const [how, keys, open] of [
  ['in the clear', '', reached],
  ['over TLS', tls, secure],
  ['behind a proxy', proxied, introduced],
  ['over a unix socket', '', reached],
] as const)
  test(`clients that wait for their accept when a reload removes their listener are served, ${how}`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t)
    const path = how === 'over a unix socket' ? unixPath(t) : null
    const there = `${path === null ? '' : `address: "unix:${path}", `}${http(upstream, keys)}`
    const gate = await startGate(t, [tcp(upstream), there], { ...late, clock: stillClock() })
    const at = path ?? gate.ports[1]!
    const coming = Array.from({ length: CLIENTS }, () => open(t, at))
    // The kernel completes them in this turn; the gate has accepted none.
    await NEXT_TICK()
    t.match(await gate.reload([tcp(upstream)], SPREAD), { result: 'success' })
    await isShut(t, at)
    const clients = await within(Promise.all(coming), LONG)
    const answers = await within(Promise.all(clients.map((client) => client.get(get()))), LONG)
    for (const { status, header } of answers) t.same([status, header('connection')], [200, 'close'])
    for (const { wire } of clients) {
      await within(wire.ended, LONG)
      wire.end()
    }
    await gate.end(CLIENTS - 1)
    t.same([...new Set(gate.lines.map(({ close }) => close))], ['reloaded'])
  })

test('so are those of the old address of a listener that a reload moves, and nobody asks them to go', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream)])
  const coming = Array.from({ length: CLIENTS }, () => connect(t, gate.port))
  await NEXT_TICK()
  const there = freePort()
  const text = yamlOf([tcp(upstream)], 'drain: { spread: off }').replace(
    'name: l0, address: "127.0.0.1:0"',
    `name: l0, address: "127.0.0.1:${there}"`,
  )
  t.match(await gate.reloadText(text), { result: 'success' })
  await isShut(t, gate.port)
  const clients = await within(Promise.all(coming), LONG)
  for (const client of clients) t.equal(await say(client, 'x'), 'x')
  for (const client of clients) client.end()
  await gate.end(CLIENTS - 1)
  t.same([...new Set(gate.lines.map(({ close }) => close))], ['eof'])
})

test('so are those of several workers', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream), tcp(upstream)], { workers: 2 })
  const coming = Array.from({ length: CLIENTS }, () => connect(t, gate.ports[1]!))
  await NEXT_TICK()
  t.match(await gate.reload([tcp(upstream)], NEVER), { result: 'success' })
  await isShut(t, gate.ports[1]!)
  for (const client of await within(Promise.all(coming), LONG)) {
    t.equal(await say(client, 'x'), 'x')
    client.end()
  }
  await gate.end(CLIENTS - 1)
  t.same([...new Set(gate.lines.map(({ close }) => close))], ['eof'])
})

test('an address is free again for the next reload once the first is done', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream)])
  const port = freePort()
  const both = yamlOf([tcp(upstream), tcp(upstream)], NEVER).replace(
    'name: l1, address: "127.0.0.1:0"',
    `name: l1, address: "127.0.0.1:${port}"`,
  )
  for (let round = 0; round < 10; round++) {
    t.match(await gate.reloadText(both), { result: 'success' })
    const coming = Array.from({ length: 10 }, () => connect(t, port))
    await NEXT_TICK()
    t.match(await gate.reload([tcp(upstream)], NEVER), { result: 'success' })
    for (const client of await within(Promise.all(coming), LONG)) {
      t.equal(await say(client, 'x'), 'x')
      client.end()
    }
  }
})

/** Before the address was bound, or after it was closed. */
function refused(error: NodeJS.ErrnoException): null {
  if (error.code !== 'ECONNREFUSED') throw error
  return null
}

test('whoever comes to a listener of a reload that fails is served to the end', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream)])
  const port = freePort()
  const broken = tcp(upstream, ', tls: { cert: "/nowhere/cert.pem", key: "/nowhere/key.pem" }')
  const text = yamlOf([tcp(upstream), tcp(upstream, proxied), broken]).replace(
    'name: l1, address: "127.0.0.1:0"',
    `name: l1, address: "127.0.0.1:${port}"`,
  )
  const coming: Array<Promise<Wire | null>> = []
  const seen = { isOpen: false, isOver: false }
  const reloaded = gate.reloadText(text).finally(() => (seen.isOver = true))
  while (!seen.isOpen && !seen.isOver) {
    for (let nth = 0; nth < CLIENTS; nth++) {
      const wire = connect(t, port)
      wire.then(
        () => (seen.isOpen = true),
        () => {},
      )
      coming.push(wire.catch(refused))
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.match(await reloaded, { result: 'failure' })
  await isShut(t, port)
  const came = (await within(Promise.all(coming), LONG)).filter((wire) => wire !== null)
  t.ok(came.length > 0, 'it was open for a moment')
  for (const client of came) {
    await client.write(HEADER)
    t.equal(await say(client, 'x'), 'x')
    client.end()
  }
  await gate.end(came.length - 1)
  t.same([...new Set(gate.lines.map(({ close }) => close))], ['eof'])
})

const pending = async (gate: Gate): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_connections_pending', { listener: 'l1' })

/** A client of the second listener, which is removed in the middle of the PROXY header. */
async function caughtInside(t: Test, gate: Gate, stays: string, top = SPREAD): Promise<Wire> {
  const wire = await connect(t, gate.ports[1]!, { halfOpen: true })
  await wire.write(HEADER.slice(0, 20))
  await eventually(async () => (await pending(gate)) === 1)
  t.match(await gate.reload([stays], top), { result: 'success' })
  await isShut(t, gate.ports[1]!)
  t.equal(await pending(gate), 1, 'it still waits')
  return wire
}

test('who is inside a handshake is served then, and asked to go with the others: tcp', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream), tcp(upstream, proxied)])
  const client = await caughtInside(t, gate, tcp(upstream), 'drain: { spread: 1s, tcp: spread }')
  await client.write(HEADER.slice(20))
  t.equal(await say(client, 'hello'), 'hello')
  t.equal(await within(client.ended, LONG), true, 'FIN')
  client.end()
  t.match(await gate.end(), { reason: 'reloaded', side: 'sidegate' })
  t.equal(await pending(gate), 0)
})

test('a TLS handshake, too', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [tcp(upstream), http(upstream, tls)], late)
  const raw = await connect(t, gate.ports[1]!, { unread: true })
  await eventually(async () => (await pending(gate)) === 1)
  t.match(await gate.reload([tcp(upstream)], SPREAD), { result: 'success' })
  raw.socket.removeAllListeners('data')
  const socket = connectTls({ socket: raw.socket, host: 'localhost', ca: readFileSync(ca) })
  const client = new HttpClient(new Wire(socket))
  const { status, header } = await client.get(get())
  t.same([status, header('connection')], [200, 'close'])
  client.wire.end()
  t.match(await gate.end(), { reason: 'reloaded' })
})

test('a WebSocket, too', async (t) => {
  watchLeaks(t)
  const service = await wsServer(t)
  const gate = await startGate(t, [tcp(service), http(service, proxied)], late)
  const wire = await caughtInside(t, gate, tcp(service), 'drain: { spread: 1s }')
  await wire.write(`${HEADER.slice(20)}${upgradeRequest()}`)
  await wire.readUntil('\r\n\r\n')
  const client = new FrameWire(wire)
  const close = await client.nextFrame(LONG)
  t.same([close.opcode, close.payload], ['close', closePayload(1012, 'reloaded')])
  await client.sendFrame({ opcode: 'close', payload: closePayload(1012), mask: true })
  wire.end()
  t.match(await gate.end(), { reason: 'reloaded', line: { protocol: 'websocket' } })
})

test('a client of HTTP/2, too', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [tcp(upstream), http(upstream, `${proxied}, http: { h2c: on }`)], late)
  const wire = await caughtInside(t, gate, tcp(upstream), SPREAD)
  await wire.write(HEADER.slice(20))
  wire.socket.removeAllListeners('data')
  const session = http2.connect('http://gate', { createConnection: () => wire.socket })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  let goaway: number | null = null
  session.on('goaway', (code) => (goaway = code))
  t.match(await h2Ask(session), { status: 200, code: 0 })
  await eventually(() => goaway !== null, LONG)
  t.equal(goaway, 0)
  const ends = [await gate.end(), await gate.end(1)].map(
    ({ reason, line }) => `${String(line['protocol'])} ${reason}`,
  )
  t.same(ends.sort(), ['h2 reloaded', 'http eof'])
})

test('a handshake that is not done in time is refused for that', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const clock = stillClock()
  const gate = await startGate(t, [tcp(upstream), tcp(upstream, proxied)], { clock })
  const client = await caughtInside(t, gate, tcp(upstream), NEVER)
  t.equal(client.outcome, null)
  clock.pass(31_000)
  t.match(await within(client.closed, LONG), { kind: 'reset' })
  const samples = readSamples(await gate.metrics())
  t.equal(
    samples.get('sidegate_connections_rejected_total', { listener: 'l1', reason: 'handshake_timeout' }),
    1,
  )
  t.equal(await pending(gate), 0)
})

test('a drain that follows waits for it, and refuses it at its timeout', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream), tcp(upstream, proxied)])
  const client = await caughtInside(t, gate, tcp(upstream), NEVER)
  const drained = gate.operator.drain('admin', { minDurationMs: 0, spreadMs: 0, timeoutMs: 700 })
  t.match(await within(client.closed, LONG), { kind: 'reset' })
  t.match(await drained, { forced: 0 })
})

/** The answer that `wire` gets to `asked`, right behind its header or a moment later. */
async function answered(wire: Wire, asked: string, isApart: boolean): Promise<string> {
  await wire.write(isApart ? HEADER.slice(20) : `${HEADER.slice(20)}${asked}`)
  if (isApart) await wire.write(asked)
  return asked === 'hello'
    ? (await wire.read(5)).toString()
    : (await wire.readUntil('\r\n\r\n')).toString().slice(9, 12)
}

for (const how of ['reload', 'drain'] as const)
  for (const isApart of [false, true])
    test(`without a spread, too, it gets what it came for first: a ${how}${isApart ? ', header apart' : ''}`, async (t) => {
      watchLeaks(t)
      const [web, sockets, bytes] = [await recordingUpstream(t), await wsServer(t), await echo(t)]
      const stays = tcp(bytes)
      const kinds = [
        [http(web, proxied), get(), '200'],
        [http(sockets, proxied), upgradeRequest(), '101'],
        [tcp(bytes, proxied), 'hello', 'hello'],
      ] as const
      const off = 'drain: { minDuration: off, spread: off, timeout: 20s, tcp: spread }'
      const gate = await startGate(t, [stays, ...kinds.map(([listener]) => listener)], {}, off)
      const wires = await Promise.all(gate.ports.slice(1).map((port) => connect(t, port, { halfOpen: true })))
      for (const wire of wires) await wire.write(HEADER.slice(0, 20))
      await eventually(() => gate.operator.open === wires.length)
      const drained = how === 'drain' ? gate.operator.drain('admin') : null
      if (drained === null) await gate.reload([stays], off)
      else
        await eventually(() =>
          connect(t, gate.ports[1]!).then(
            (wire) => (wire.destroy(), false),
            () => true,
          ),
        )
      const answers = await Promise.all(wires.map((wire, nth) => answered(wire, kinds[nth]![1], isApart)))
      t.same(
        answers,
        kinds.map(([, , answer]) => answer),
      )
      for (const wire of wires) await within(wire.ended, LONG)
      for (const wire of wires) wire.end()
      if (drained !== null) t.match(await within(drained, LONG), { forced: 0, cut: 0 })
    })
