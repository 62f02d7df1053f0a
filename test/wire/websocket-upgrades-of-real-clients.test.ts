import { test } from 'tap'
import type { Test } from 'tap'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { acceptOf, upgradeRequest } from '../support/handshake.ts'
import type { HandshakeOptions } from '../support/handshake.ts'
import { get, HttpClient, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { parseAnswer, parseHead } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { RawClient, scriptedUpstream } from '../support/websocket.ts'
import type { ScriptedUpstream } from '../support/websocket.ts'
import type { Wire } from '../support/wire.ts'

/** Upgrades that real clients send: Java's own, charging stations, proxies before us, old ones. */
const innocents: Array<[what: string, request: HandshakeOptions & { before?: string }, line: string]> = [
  ['Content-Length: 0', { headers: { 'Content-Length': '0' } }, 'GET / HTTP/1.1'],
  ['a target in absolute form', { path: 'http://sidegate.test/chat?a=b' }, 'GET /chat?a=b HTTP/1.1'],
  ['a target in absolute form with a port', { path: 'http://sidegate.test:80/chat' }, 'GET /chat HTTP/1.1'],
  ['empty lines before it', { before: '\r\n\r\n\r\n' }, 'GET / HTTP/1.1'],
  ['Expect: 100-continue', { headers: { Expect: '100-continue' } }, 'GET / HTTP/1.1'],
]

interface Kind {
  name: string
  keys: string
  isSecure: boolean
}

const kinds: Kind[] = [
  { name: 'frames', keys: '', isSecure: false },
  { name: 'messages', keys: ', websocket: { mode: messages }', isSecure: false },
  { name: 'frames over TLS', keys: '', isSecure: true },
]

async function gateOf(
  t: Test,
  upstream: { port: number },
  { keys, isSecure }: Kind,
): Promise<{ gate: Gate; open: () => Promise<Wire> }> {
  const ca = isSecure ? authority(t) : null
  const server = ca?.issue('server')
  const tls = server === undefined ? '' : `, tls: { cert: "${server.cert}", key: "${server.key}" }`
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }${keys}${tls}`,
  ])
  return {
    gate,
    open: () => (ca === null ? connect(t, gate.port) : tlsConnect(t, gate.port, { ca: ca.cert })),
  }
}

async function echoes(t: Test, client: RawClient, upstream: ScriptedUpstream, nth: number): Promise<void> {
  await client.sendFrame({ opcode: 'text', payload: 'hello' })
  t.match(await upstream.conversations[nth]!.nextFrame(), { opcode: 'text', payload: Buffer.from('hello') })
}

for (const kind of kinds) {
  test(`an upgrade is a 101 however a real client writes it: ${kind.name}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, (said) => said.accept())
    const { open } = await gateOf(t, upstream, kind)
    for (const [nth, [what, { before = '', ...request }, line]] of innocents.entries()) {
      const client = new RawClient(await open())
      await client.send(before + upgradeRequest(request))
      t.match(parseHead(await client.wire.readUntil('\r\n\r\n', { what }))!.line, ' 101 ', what)
      const { head } = upstream.conversations[nth]!
      t.same(
        [head.line, head.header('content-length'), head.header('expect'), head.header('host')],
        [line, null, null, 'sidegate.test'],
      )
      await echoes(t, client, upstream, nth)
      client.wire.destroy()
    }
  })
}

test('empty lines may come a byte at a time, and before a plain request too', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  for (const piece of ['\r', '\n', '\r\n', 'G']) {
    await client.send(piece)
    await eventually(() => gate.registry.size === 1)
  }
  t.equal((await client.get(get('/').slice(1))).status, 200)
  t.equal((await client.get(`\r\n\r\n${get('/next')}`)).status, 200)
  t.same(
    upstream.requests.map(({ target }) => target),
    ['/', '/next'],
  )
})

test('the same upgrades as a later request of a connection', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.head.header('upgrade') === null
      ? said.send('HTTP/1.1 204 No\r\nConnection: close\r\n\r\n')
      : said.accept(),
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  for (const [nth, [what, { before = '', ...request }, line]] of innocents.entries()) {
    const client = new RawClient(await connect(t, gate.port))
    await client.send(get('/first'))
    t.equal(parseAnswer(await client.wire.readUntil('\r\n\r\n')).status, 204)
    await client.send(before + upgradeRequest(request))
    t.match(parseHead(await client.wire.readUntil('\r\n\r\n', { what }))!.line, ' 101 ', what)
    t.equal(upstream.conversations[2 * nth + 1]!.head.line, line)
    await echoes(t, client, upstream, 2 * nth + 1)
    client.wire.destroy()
  }
})

test('a service may end the lines of its head with LF alone: its 101 is one, its 401 is passed on', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    if (said.head.line.includes('/no')) return said.send('HTTP/1.1 401 No\nContent-Length: 2\nX-A: b\n\nno')
    const lines = `HTTP/1.1 101 Yes\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: ${acceptOf(said.head.header('sec-websocket-key')!)}\n`
    await said.send(`HTTP/1.1 100 Wait\n\n${lines}`)
    return said.send(Buffer.concat([Buffer.from('\n'), encodeFrame({ opcode: 'text', payload: 'at once' })]))
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = new RawClient(await connect(t, gate.port))
  await client.send(upgradeRequest())
  t.match(parseHead(await client.wire.readUntil('\r\n\r\n'))!.line, ' 101 ')
  t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('at once') })
  const declined = await connect(t, gate.port)
  void declined.write(upgradeRequest({ path: '/no' }))
  await within(declined.closed)
  const answer = parseAnswer(await declined.received)
  t.same(
    [answer.status, answer.header('x-a'), answer.body.toString(), answer.isWhole],
    [401, 'b', 'no', true],
  )
})

/** What old services answer, and the value that reaches the client. */
const subprotocols: Array<[offered: string | null, answered: string, passed: string | null]> = [
  [null, 'chat', 'chat'],
  [null, '', null],
  ['OCPP1.6', 'ocpp1.6', 'ocpp1.6'],
  ['one, two', 'one, two', 'one, two'],
  ['one', '', null],
]

for (const kind of kinds)
  test(`a subprotocol is for the client to judge, and an empty one is none: ${kind.name}`, async (t) => {
    watchLeaks(t)
    let nth = 0
    const upstream = await scriptedUpstream(t, (said) =>
      said.accept({ 'Sec-WebSocket-Protocol': subprotocols[nth]![1], 'Sec-WebSocket-Extensions': '' }),
    )
    const { gate, open } = await gateOf(t, upstream, kind)
    for (const [offered, answered, passed] of subprotocols) {
      const client = new RawClient(await open())
      await client.send(
        upgradeRequest({ headers: offered === null ? {} : { 'Sec-WebSocket-Protocol': offered } }),
      )
      const answer = parseAnswer(await client.wire.readUntil('\r\n\r\n'))
      t.match(
        [answer.status, answer.header('sec-websocket-protocol'), answer.header('sec-websocket-extensions')],
        [101, passed, null],
        `${offered} ${answered}`,
      )
      await echoes(t, client, upstream, nth)
      client.wire.end()
      await gate.end(nth++)
    }
  })

test('a client of the drafts 7 and 8 is served by a service that speaks them', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const { open } = await gateOf(t, upstream, kinds[0]!)
  for (const [nth, version] of ['7', '8'].entries()) {
    const client = new RawClient(await open())
    await client.send(upgradeRequest({ headers: { 'Sec-WebSocket-Version': version } }))
    t.equal(parseAnswer(await client.wire.readUntil('\r\n\r\n')).status, 101)
    await echoes(t, client, upstream, nth)
  }
})

test('an upgrade has the guards of a plain request: its Host, its target, what it expects', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const guilty: Array<[HandshakeOptions, number]> = [
    [{ headers: { Host: 'a b' } }, 400],
    [{ headers: { Host: 'a/../b' } }, 400],
    [{ headers: { Expect: 'the-unexpected' } }, 417],
    [{ headers: { 'Content-Length': '1' } }, 400],
    [{ headers: { 'Content-Length': '0', 'content-length': '0' } }, 400],
    [{ headers: { 'Transfer-Encoding': 'identity' } }, 400],
    [{ path: 'http://elsewhere/' }, 400],
    [{ path: 'sidegate.test:80' }, 400],
  ]
  for (const [request, status] of guilty) {
    const client = await httpClient(t, gate.port)
    t.equal((await client.get(upgradeRequest(request))).status, status, JSON.stringify(request))
  }
  t.equal(upstream.connections.length, 0)
})

for (const what of ['an upgrade', 'a request'] as const) {
  test(`${what} that goes round between two gates ends after ten hops with 508`, async (t) => {
    watchLeaks(t)
    watchCrashes(t)
    const listener = (port: number) => `protocol: http, upstream: "127.0.0.1:${port}"`
    const first = await startGate(t, [listener(9)])
    const second = await startGate(t, [listener(first.port)])
    t.match(await first.reload([listener(second.port)]), { result: 'success' })
    const client = await httpClient(t, first.port)
    const answer = await client.get(what === 'a request' ? get() : upgradeRequest())
    t.same([answer.status, answer.header('sidegate-hops')], [508, null])
    client.wire.end()
    await eventually(() => first.registry.size + second.registry.size === 0, {
      what: 'all gone',
    })
    t.equal(first.lines.length + second.lines.length, 11)
  })
}

test('a 101 may take as long as any answer: 60 s by default', async (t) => {
  watchLeaks(t)
  const clock = stillClock()
  const upstream = await scriptedUpstream(t, () => {})
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], { clock })
  const client = new HttpClient(await connect(t, gate.port))
  await client.send(upgradeRequest())
  const said = await eventually(() => upstream.conversations[0])
  // A client still in its handshake by then has ended, so a sweep has judged the deadlines.
  await connect(t, gate.port)
  await eventually(() => gate.registry.size === 2)
  clock.pass(59_000)
  t.match(await gate.end(), { reason: 'handshake_timeout' })
  await said.accept()
  t.equal((await client.answer()).status, 101)
  client.wire.destroy()
  const late = new HttpClient(await connect(t, gate.port))
  await late.send(upgradeRequest())
  await eventually(() => upstream.conversations[1])
  clock.pass(60_000)
  t.equal((await late.answer()).status, 504)
  late.wire.end()
})
