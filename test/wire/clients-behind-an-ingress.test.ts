// An ingress brings all its clients over few connections, and names the client of each request. Every limit
// of a client that comes by itself also holds for one that a trusted peer names, on every transport with a
// head.

import { test } from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { proxyHeader } from '../../src/upstream/proxy-header.ts'
import { readSamples } from '../metrics/samples.ts'
import { addressOf, atPort } from '../support/addresses.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { switchingProtocols } from '../support/handshake.ts'
import { parseHead } from '../support/http.ts'
import { get, httpClient, HttpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, listen } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import type { Wire } from '../support/wire.ts'
import { forEachTransport, isWebSocket, openingBytes } from '../support/transports.ts'
import type { Transport } from '../support/transports.ts'

const withHeads: Transport[] = ['http', 'http over tls', 'websocket', 'websocket over tls', 'messages']
const TRUSTED = 'http: { trustForwarded: [private] }'
const [ANN, BOB] = ['203.0.113.1', '203.0.113.2']

interface Ingress {
  gate: Gate
  /** Opens a conversation of that client: its status, 101 or 200, or the reason of its refusal. */
  open(client: string | null): Promise<{ status: number; body: string; http: HttpClient }>
  reload(keys: string): Promise<unknown>
}

/** Begins to answer, and ends its answer when the client ends; on a connection that is kept, one client after the other. */
async function serve(wire: Wire, transport: Transport): Promise<void> {
  for (;;) {
    const head = parseHead(await wire.readUntil('\r\n\r\n'))!
    if (isWebSocket(transport)) {
      await wire.write(switchingProtocols(head))
      for (let opcode = 0; opcode !== 8;) {
        const [first = 0, second = 0] = await wire.read(2)
        await wire.read(4 + (second & 0x7f))
        opcode = first & 0x0f
      }
      await wire.write(encodeFrame({ opcode: 'close', payload: closePayload(1000) }))
      await wire.ended
      return wire.end()
    }
    await wire.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n')
    await wire.readUntil('0\r\n\r\n')
    await wire.write('0\r\n\r\n')
  }
}

/** A gate in front of a service that begins to answer, and ends its answer when the client ends. */
async function behindIngress(t: Test, transport: Transport, keys: string): Promise<Ingress> {
  const upstream = await listen(t, (wire) => serve(wire, transport).catch(() => wire.end()))
  const ca = transport.endsWith('tls') ? authority(t) : null
  const server = ca?.issue('server')
  const tls = server === undefined ? '' : `, tls: { cert: "${server.cert}", key: "${server.key}" }`
  const mode = transport === 'messages' ? ', websocket: { mode: messages }' : ''
  const listener = (more: string): string =>
    `protocol: http, upstream: "127.0.0.1:${upstream.port}"${tls}${mode}, ${more}`
  const gate = await startGate(t, [listener(keys)], { clock: stillClock() })
  const open = async (client: string | null) => {
    const wire = ca === null ? await connect(t, gate.port) : await tlsConnect(t, gate.port, { ca: ca.cert })
    void wire.write(openingBytes(transport, client === null ? {} : { 'X-Forwarded-For': client }))
    const head = parseHead(await wire.readUntil('\r\n\r\n'))!
    const status = Number(head.line.split(' ')[1])
    const body = status < 400 ? '' : (await within(wire.received)).toString()
    if (status >= 400) wire.end()
    return { status, body, http: new HttpClient(wire) }
  }
  return { gate, open, reload: (more) => gate.reload([listener(more)]) }
}

/** Ends a conversation as its transport does. */
function leave(transport: Transport, { wire }: HttpClient): void {
  const end = closePayload(1000)
  void wire.write(
    isWebSocket(transport) ? encodeFrame({ opcode: 'close', payload: end, mask: true }) : '0\r\n\r\n',
  )
  if (isWebSocket(transport)) void wire.ended.then(() => wire.end())
  else wire.end()
}

test('a client that a trusted peer names has limits.connectionsPerClient for itself', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const { gate, open } = await behindIngress(
      t,
      transport,
      `limits: { connectionsPerClient: 2 }, ${TRUSTED}`,
    )
    const served = isWebSocket(transport) ? 101 : 200
    const first = await open(ANN)
    for (const client of [ANN, BOB, BOB]) t.equal((await open(client)).status, served, client)
    for (const client of [ANN, BOB]) {
      const refused = await open(client)
      t.match(refused, { status: 503, body: /\btoo_many: limits.connectionsPerClient/ })
    }
    leave(transport, first.http)
    await eventually(() => gate.lines.length === 3)
    t.equal((await open(ANN)).status, served, 'a place comes back with the end of what took it')
    t.equal((await open(null)).status, served, 'who is not named is the peer')
    const samples = readSamples(await gate.metrics())
    t.equal(samples.sum('sidegate_rate_limited_total', { limit: 'connectionsPerClient' }), 2)
  }))

test('a peer that is not trusted is one client, whatever it says', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const { open } = await behindIngress(t, transport, 'limits: { connectionsPerClient: 1 }')
    t.ok((await open(ANN)).status < 300)
    // Refused at its accept: the gate has no words for a client that expects TLS.
    if (transport.endsWith('tls')) await t.rejects(open(BOB))
    else t.equal((await open(BOB)).status, 503)
  }))

test('the record says whose it is and who brought it', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const { gate, open } = await behindIngress(t, transport, TRUSTED)
    const { http } = await open(`192.0.2.1, ${ANN}, 10.0.0.1`)
    const { localPort } = http.wire.socket
    t.equal(gate.open().client.text, ANN)
    t.equal(gate.open().peer.text, `127.0.0.1:${localPort}`)
    const find = async (query: string): Promise<unknown[]> =>
      (await fetch(`http://127.0.0.1:${gate.adminPort}/connections?${query}`)).json() as Promise<unknown[]>
    t.match(await find(`client=${ANN}`), [{ client: ANN, peer: `127.0.0.1:${localPort}` }])
    t.match(await find('peer=127.0.0.1'), [{ client: ANN }])
    t.same(await find('client=127.0.0.1'), [])
    leave(transport, http)
    const { line } = await gate.end()
    t.match(line, { client: ANN, peer: `127.0.0.1:${localPort}` })
    const recent = await fetch(`http://127.0.0.1:${gate.adminPort}/recent?client=${ANN}`)
    t.match(await recent.json(), [{ client: ANN, peer: `127.0.0.1:${localPort}` }])
  }))

test('access judges whom a trusted peer names, and access.deny that peer as well', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const access = `access: { allow: [203.0.113.0/24], deny: [${BOB}] }`
    const { gate, open, reload } = await behindIngress(t, transport, `${access}, ${TRUSTED}`)
    t.ok((await open(ANN)).status < 300)
    t.match(await open(BOB), { status: 403, body: /\bdenied: access.deny/ })
    t.match(await open('198.51.100.1'), { status: 403, body: /\bdenied: access.allow/ })
    t.match(await open(null), { status: 403, body: /\bdenied: access.allow/ }, 'nor the peer for itself')
    t.match(await gate.end(), { reason: 'denied', side: 'client', line: { client: BOB } })
    await reload(`access: { deny: [127.0.0.1] }, ${TRUSTED}`)
    // A refusal before the handshake has no words for a client that expects TLS.
    if (transport.endsWith('tls')) return
    t.equal((await open(ANN)).status, 403)
  }))

test('limits.newConnections per client counts what a named client begins', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const limits = 'newConnections: { rate: 1, burst: 2, per: client, onExceed: close }'
    const { open } = await behindIngress(t, transport, `limits: { ${limits} }, ${TRUSTED}`)
    for (const client of [ANN, BOB]) {
      t.ok((await open(client)).status < 300)
      t.ok((await open(client)).status < 300)
      t.match(await open(client), { status: 429, body: /\brate_limited: limits.newConnections/ })
    }
  }))

test('what is observed of a named client is counted, and nothing is refused', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const limits = 'limits: { mode: observe, connectionsPerClient: 1 }'
    const { gate, open } = await behindIngress(t, transport, `${limits}, ${TRUSTED}`)
    for (const client of [ANN, ANN, BOB]) t.ok((await open(client)).status < 300)
    const observed = async (): Promise<number> =>
      readSamples(await gate.metrics()).sum('sidegate_observed_total', { limit: 'connectionsPerClient' })
    await eventually(async () => (await observed()) === 1, { what: 'the verdict on one' })
  }))

test('limits.bytes per client is one bucket for all that a named client has', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const limits = 'limits: { bytes: { rate: 1KiB, burst: 64KiB, per: client, onExceed: close } }'
    const { gate, open } = await behindIngress(t, transport, `${limits}, ${TRUSTED}`)
    const data = (length: number): Buffer => {
      const payload = Buffer.alloc(length)
      if (isWebSocket(transport)) return encodeFrame({ opcode: 'binary', payload, mask: true })
      return Buffer.concat([Buffer.from(`${length.toString(16)}\r\n`), payload, Buffer.from('\r\n')])
    }
    const [one, two, other] = [await open(ANN), await open(ANN), await open(BOB)]
    for (const { http } of [one, other]) await http.send(data(60_000))
    await eventually(() => [...gate.registry].filter((it) => it.toUpstream.received > 60_000).length === 2)
    const records = [...gate.registry]
    await two.http.send(data(10_000))
    const ended = await eventually(() => records.find(({ end }) => end !== null))
    t.match(ended, { end: { reason: 'rate_limited', side: 'client' }, client: { text: ANN } })
    t.equal(
      records.filter(({ end }) => end !== null).length,
      1,
      'whoever else came through the same ingress goes on',
    )
  }))

test('limits.messages per client is one bucket for all WebSockets of a named client', (t) =>
  forEachTransport(t, withHeads.filter(isWebSocket), async (t, transport) => {
    const limits = 'limits: { messages: { rate: 1, burst: 5, per: client, onExceed: close } }'
    const { gate, open } = await behindIngress(t, transport, `${limits}, ${TRUSTED}`)
    const [one, two, other] = [await open(ANN), await open(ANN), await open(BOB)]
    const say = (http: HttpClient): Promise<unknown> =>
      http.send(encodeFrame({ opcode: 'binary', payload: Buffer.from('m'), mask: true }))
    const heard = (client: string): number =>
      [...gate.registry]
        .filter((it) => it.client.text === client)
        .reduce((sum, it) => sum + it.toUpstream.messages, 0)
    for (const { http } of [other, other, one, one, two]) await say(http)
    await eventually(() => heard(ANN) === 5 && heard(BOB) === 3)
    const records = [...gate.registry]
    await say(two.http)
    const ended = await eventually(() => records.find(({ end }) => end !== null))
    t.match(ended, { end: { reason: 'rate_limited', side: 'client' }, client: { text: ANN } })
    await say(other.http)
    await eventually(() => heard(BOB) === 4)
    t.equal(records.filter(({ end }) => end !== null).length, 1)
  }))

test('a drain parts from each client that an ingress has brought, and tells whose each was', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const { gate, open } = await behindIngress(
      t,
      transport,
      `limits: { connectionsPerClient: 1 }, ${TRUSTED}`,
    )
    const [ann, bob] = [await open(ANN), await open(BOB)]
    const drained = gate.drain(20_000)
    await eventually(() => gate.operator.drainState === 'parting')
    if (isWebSocket(transport)) await eventually(() => [...gate.registry].every(({ end }) => end !== null))
    for (const { http } of [ann, bob]) leave(transport, http)
    await within(drained)
    await eventually(() => gate.lines.length === 2)
    t.same(new Set(gate.lines.map(({ client }) => client)), new Set([ANN, BOB]))
    for (const { close, peer } of gate.lines) {
      t.match(peer, /^127\.0\.0\.1:/)
      // A client that announces its last request ends by itself.
      t.match(close, isWebSocket(transport) ? /^drain$/ : /^(drain|eof)$/)
    }
    t.equal(gate.registry.size, 0)
  }))

test('a reload of http.trustForwarded is for those who come: who is there stays whom the peer named', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const limits = 'limits: { connectionsPerClient: 1 }'
    const { gate, open, reload } = await behindIngress(t, transport, `${limits}, ${TRUSTED}`)
    const ann = await open(ANN)
    await reload(limits)
    t.ok((await open(BOB)).status < 300, 'the peer, whose first it is')
    const third = await open('203.0.113.3').then(
      ({ status }) => status,
      () => 'reset',
    )
    t.equal(third, transport.endsWith('tls') ? 'reset' : 503, 'which is taken at its word no more')
    await reload(`${limits}, ${TRUSTED}`)
    t.equal((await open(ANN)).status, 503, 'she is still there')
    leave(transport, ann.http)
    await eventually(() => gate.lines.some((line) => line['client'] === ANN && line['close'] === 'eof'))
    t.ok((await open(ANN)).status < 300)
  }))

const asked = (client: string, more = ''): string => get('/', `X-Forwarded-For: ${client}\r\n${more}`)

/** A gate in front of a service that answers at once, except at /slow. */
async function shared(t: Test, keys: string, clock: Clock = stillClock()) {
  watchLeaks(t)
  const held: Array<() => void> = []
  const upstream = await recordingUpstream(t, ({ target }) =>
    target === '/slow' ? new Promise((resolve) => held.push(() => resolve(OK))) : OK,
  )
  const gate = await startGate(
    t,
    [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${keys}, ${TRUSTED}`],
    { clock },
  )
  return { held, upstream, gate }
}

test('one connection of an ingress carries one client after the other: a request is what each of them has', async (t) => {
  const { held, gate } = await shared(t, 'limits: { connectionsPerClient: 1 }')
  const [one, two] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  for (const client of [ANN, BOB, ANN, ANN]) t.equal((await one.get(asked(client))).status, 200, client)
  t.equal((await two.get(asked(ANN))).status, 200, 'what is answered counts no more')
  void one.send(get('/slow', `X-Forwarded-For: ${ANN}\r\n`))
  await eventually(() => held.length === 1)
  t.same(
    [...gate.registry].map(({ client, isCounted }) => [client.ip, isCounted]),
    [
      [ANN, true],
      ['127.0.0.1', false],
    ],
    'between two requests a connection is its peer’s alone',
  )
  t.equal((await two.get(asked(BOB))).status, 200)
  const refused = await two.get(asked(ANN))
  t.equal(refused.status, 503)
  t.match(refused.body.toString(), /^too_many/)
  t.match(await gate.end(), { reason: 'too_many', line: { client: ANN } })
  held[0]!()
  t.equal((await one.answer()).status, 200)
  t.equal((await one.get(asked(ANN))).status, 200, 'her place is free again')
})

test('limits.bytes per client delays the body of one request, and not who comes next on its connection', async (t) => {
  const { upstream, gate } = await shared(
    t,
    'limits: { bytes: { rate: 64KiB, burst: 64KiB, per: client } }',
    systemClock,
  )
  const [one, two] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  const body = Buffer.alloc(160_000)
  const length = `Content-Length: ${body.length}\r\n`
  void one.send(get('/', `X-Forwarded-For: ${ANN}\r\n${length}`, 'POST')).then(() => one.send(body))
  const received = (): number => [...gate.registry][0]!.toUpstream.received
  await eventually(() => received() > 64_000)
  t.equal((await two.get(asked(BOB))).status, 200, 'others are not delayed')
  t.equal(upstream.requests.length, 1)
  t.ok(received() < body.length)
  t.equal((await one.answer()).status, 200)
  t.equal((await upstream.request(1)).body.length, body.length)
  const watch = stopwatch(t)
  t.equal((await one.get(asked(BOB))).status, 200)
  t.ok(watch.livedMs < 500, `her debt is not his, on the connection that she used: ${watch.livedMs} ms`)
})

test('a request of a client that is over its bytes is answered with 429, with its first read', async (t) => {
  const { upstream, gate } = await shared(
    t,
    'limits: { bytes: { rate: 1KiB, burst: 64KiB, per: client, onExceed: close } }',
  )
  const client = await httpClient(t, gate.port)
  const post = (length: number): string =>
    `${get('/', `X-Forwarded-For: ${ANN}\r\nContent-Length: ${length}\r\n`, 'POST')}${'x'.repeat(length)}`
  t.equal((await client.get(post(40_000))).status, 200)
  t.equal((await client.get(asked(BOB))).status, 200)
  t.equal((await client.get(post(40_000))).status, 429)
  t.equal(upstream.requests.length, 2)
})

test('a connection that was logged in for one client serves no other', async (t) => {
  const { upstream, gate } = await shared(t, 'limits: {}')
  const client = await httpClient(t, gate.port)
  await client.get(asked(ANN, 'Authorization: NTLM abc\r\n'))
  await client.get(asked(ANN))
  await client.get(asked(BOB))
  t.same(
    upstream.requests.map(({ connection }) => connection),
    [0, 0, 1],
  )
})

test('the client that a header names behind a PROXY header is the one that goes on', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n')
    wire.end(OK)
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${upstream.port}"], proxyProtocol: v1 }, proxyProtocol: { accept: v1, trusted: [127.0.0.1] }, http: { trustForwarded: [10.0.0.0/8] }`,
  ])
  const through = async (peer: string): Promise<string> => {
    const client = await httpClient(t, gate.port)
    const ends = { client: addressOf(peer), localAddress: atPort('10.0.0.2:443') }
    void client.send(proxyHeader('v1', ends))
    t.equal((await client.get(asked(ANN))).status, 200)
    const wire = await upstream.connection(upstream.connections.length - 1)
    return (await wire.received).toString().split('\r\n', 1)[0]!
  }
  t.equal(await through('10.0.0.1:5000'), `PROXY TCP4 ${ANN} 10.0.0.2 0 443`)
  t.equal(await through('192.0.2.1:5000'), 'PROXY TCP4 192.0.2.1 10.0.0.2 5000 443')
})

test('on a tcp listener nobody names anybody: http.trustForwarded has no effect', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connectionsPerClient: 1 }, ${TRUSTED}`,
  ])
  const first = await connect(t, gate.port)
  void first.write(asked(ANN))
  await first.readUntil('\r\n\r\n')
  t.match(gate.open().client.text, /^127/)
  const second = await connect(t, gate.port).then(
    ({ closed }) => within(closed).then(({ kind }) => kind),
    () => 'reset',
  )
  t.equal(second, 'reset')
})
