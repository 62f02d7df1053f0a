import root, { test } from 'tap'
import { setImmediate as turn } from 'node:timers/promises'
import { readSamples } from '../metrics/samples.ts'
import { pattern } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { parseAnswer } from '../support/http.ts'
import { get, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { outcomeOf } from '../support/outcome.ts'
import { connect, echo } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { proxyHeader } from '../../src/upstream/proxy-header.ts'
import { addressOf, atPort } from '../support/addresses.ts'

root.setTimeout(120_000)

const RESET = { kind: 'reset', code: 'ECONNRESET' }
const proxyProtocol = 'proxyProtocol: { accept: any, trusted: [127.0.0.1] }'
const introduced = { client: addressOf('203.0.113.7:4711'), localAddress: atPort('198.51.100.1:443') }
const v1 = proxyHeader('v1', introduced)
const v2 = proxyHeader('v2', introduced)

const rejected = async (gate: Gate, reason: string): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', { listener: 'l0', reason })

const pending = async (gate: Gate): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_connections_pending', { listener: 'l0' })

for (const [version, header] of [
  ['1', v1],
  ['2', v2],
] as const) {
  test(`the client that a header of version ${version} names is the client, and not a byte of the header goes on`, async (t) => {
    watchLeaks(t)
    const upstream = await echo(t)
    const gate = await startGate(t, [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}`,
    ])
    const sent = pattern(300_000, 1, 0)
    const client = await connect(t, gate.port)
    void client.write(Buffer.concat([header, sent]))
    await eventually(() => gate.registry.size === 1)
    t.equal(gate.open().client.text, '203.0.113.7:4711')
    client.end()
    t.ok((await within(client.received)).equals(sent))
    t.match(await gate.end(), { reason: 'eof', line: { client: '203.0.113.7:4711' } })
  })

  test(`a header of version ${version} may come byte by byte`, async (t) => {
    watchLeaks(t)
    const upstream = await echo(t)
    const gate = await startGate(t, [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}`,
    ])
    const client = await connect(t, gate.port)
    for (const byte of Buffer.concat([header, Buffer.from('hello')])) {
      await client.write(Buffer.from([byte]))
      await turn()
    }
    t.equal((await client.read(5)).toString(), 'hello')
    t.equal(gate.open().client.text, '203.0.113.7:4711')
  })
}

test('LOCAL and UNKNOWN keep the address of the socket', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}`])
  for (const [nth, header] of [
    proxyHeader('v1', { client: addressOf('unix'), localAddress: null }),
    proxyHeader('v2', { client: addressOf('unix'), localAddress: null }),
  ].entries()) {
    const client = await connect(t, gate.port)
    const { localPort } = client.socket
    client.end(Buffer.concat([header, Buffer.from('x')]))
    t.equal((await client.received).toString(), 'x')
    t.equal((await gate.end(nth)).line['client'], `127.0.0.1:${localPort}`)
  }
})

test('a peer that is not trusted is a client of its own, and its bytes are not looked at', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}`])
  const client = await connect(t, gate.port, { from: '127.0.0.2' })
  void client.write(v1)
  t.ok((await client.read(v1.length)).equals(v1), 'what it claims is data like any other')
  t.match(gate.open().client.text, /^127\.0\.0\.2:/)
})

test('a trusted peer without a header is refused with protocol_error: 400 for http, RST for tcp', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const listener = (protocol: string): string =>
    `protocol: ${protocol}, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}`
  const gate = await startGate(t, [listener('http'), listener('tcp')])
  const client = await connect(t, gate.port)
  void client.write(get())
  const answer = parseAnswer(await within(client.received))
  t.equal(answer.status, 400)
  t.equal(answer.body.toString(), 'protocol_error: no PROXY header\n')
  t.same(await outcomeOf(t, gate.ports[1]!, {}, get()), RESET)
  t.equal(await rejected(gate, 'protocol_error'), 1)
  t.equal(upstream.connections.length, 0)
})

test('a header that is too long, or of the other version, is refused with protocol_error', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", proxyProtocol: { accept: v2, trusted: [127.0.0.1] }`,
  ])
  const oversize = Buffer.concat([v2.subarray(0, 14), Buffer.from([0xff, 0xff]), Buffer.alloc(70_000)])
  for (const bytes of [v1, oversize]) t.same(await outcomeOf(t, gate.port, {}, bytes), RESET)
  t.equal(await rejected(gate, 'protocol_error'), 2)
  t.equal(upstream.connections.length, 0)
})

test('a header that trickles beyond deadlines.handshake is handshake_timeout; a client without any deadline to miss is served', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}, deadlines: { handshake: 150ms }`,
  ])
  const start = performance.now()
  const slow = await connect(t, gate.port)
  void slow.write('PROXY UNKNOWN ')
  const timer = setInterval(() => void slow.write('x'), 20)
  void slow.closed.then(() => clearInterval(timer))
  const silent = await connect(t, gate.port)
  const quick = await connect(t, gate.port)
  void quick.write(Buffer.concat([v1, Buffer.from('x')]))
  t.equal((await quick.read(1)).toString(), 'x')
  t.same([(await within(slow.closed)).kind, (await within(silent.closed)).kind], ['reset', 'reset'])
  t.ok(performance.now() - start >= 150)
  t.equal(await rejected(gate, 'handshake_timeout'), 2)
  void quick.write('y')
  t.equal((await quick.read(1)).toString(), 'y')
})

test('the header and the request head share one deadline', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}, deadlines: { handshake: 1200ms }`,
  ])
  const watch = stopwatch(t)
  const client = await connect(t, gate.port)
  await eventually(() => watch.ms > 800)
  void client.write(Buffer.concat([v1, Buffer.from('GET / HTTP/1.1\r\n')]))
  t.equal(parseAnswer(await within(client.received)).status, 408)
  t.ok(
    watch.ms >= 1200 && watch.livedMs < 1900,
    `${watch.livedMs} of ${watch.ms} ms, and not 2000, which is 1200 from the header on`,
  )
  t.match(await gate.end(), {
    reason: 'handshake_timeout',
    side: 'client',
    line: { client: '203.0.113.7:4711' },
  })
})

test('access lists and http.trustForwarded judge the client that the header names', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}, access: { deny: [203.0.113.8] }, http: { trustForwarded: [203.0.113.7] }`,
  ])
  const denied = await connect(t, gate.port)
  void denied.write(
    Buffer.concat([
      proxyHeader('v2', { ...introduced, client: addressOf('203.0.113.8:1') }),
      Buffer.from(get()),
    ]),
  )
  t.equal(parseAnswer(await within(denied.received)).status, 403)
  const client = await connect(t, gate.port)
  void client.write(Buffer.concat([v2, Buffer.from(get('/', 'X-Forwarded-For: 192.0.2.9\r\n'))]))
  const seen = await upstream.request()
  t.equal(seen.header('x-forwarded-for'), '192.0.2.9, 203.0.113.7')
  const other = await connect(t, gate.port)
  void other.write(
    Buffer.concat([
      proxyHeader('v1', {
        ...introduced,
        client: addressOf('[2001:db8::1]:1'),
        localAddress: atPort('[2001:db8::2]:1'),
      }),
      Buffer.from(get('/', 'X-Forwarded-For: 192.0.2.9\r\n')),
    ]),
  )
  t.equal((await upstream.request(1)).header('x-forwarded-for'), '2001:db8::1')
})

test('a probe that leaves without a byte, and a peer that leaves inside its header, give their places back', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}, limits: { connections: 1 }`,
  ])
  for (const bytes of ['', 'PROXY']) {
    const peer = await connect(t, gate.port)
    peer.end(bytes === '' ? undefined : bytes)
    await within(peer.closed)
  }
  const resetting = await connect(t, gate.port)
  await resetting.write('PROXY')
  resetting.reset()
  await eventually(async () => (await rejected(gate, 'reset')) === 1)
  t.same([await rejected(gate, 'eof'), await rejected(gate, 'aborted')], [1, 1])
  const client = await connect(t, gate.port)
  void client.write(Buffer.concat([v1, Buffer.from('x')]))
  t.equal((await client.read(1)).toString(), 'x')
})

test('a drain whose time is over refuses who has not come through admission', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${proxyProtocol}`])
  const peer = await connect(t, gate.port)
  await peer.write('PROXY')
  const other = await connect(t, gate.port)
  void other.write(Buffer.concat([v1, Buffer.from('x')]))
  await other.read(1)
  await gate.drain(100)
  t.equal((await within(peer.closed)).kind, 'reset')
  t.equal(await rejected(gate, 'drain_timeout'), 1)
})

for (const change of ['upstream', 'address'])
  test(`who is inside its header while a reload changes the ${change} of its listener is served by what accepted it`, async (t) => {
    watchLeaks(t)
    const [before, after] = [await echo(t), await echo(t)]
    const listener = (upstream: { port: number }, rest = ''): string =>
      `${rest}protocol: tcp, upstream: { addresses: ["localhost:${upstream.port}"] }, ${proxyProtocol}`
    const gate = await startGate(t, [listener(before)])
    const client = await connect(t, gate.port)
    await client.write(v1.subarray(0, 10))
    await eventually(async () => (await pending(gate)) === 1)
    const next = change === 'address' ? listener(before, 'address: "127.0.0.2:0", ') : listener(after)
    t.equal((await gate.reload([next])).result, 'success')
    await client.write(Buffer.concat([v1.subarray(10), Buffer.from('hello')]))
    t.equal((await client.read(5)).toString(), 'hello')
    t.same([before.connections.length, after.connections.length], [1, 0])
  })
