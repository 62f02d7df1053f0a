import root, { test } from 'tap'
import { proxyHeader } from '../../src/upstream/proxy-header.ts'
import { pattern } from '../support/bytes.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { heldBack } from '../support/held-back.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, flooder, halfCloser } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { clientHello, tlsConnect } from '../support/tls-peers.ts'
import { addressOf, atPort } from '../support/addresses.ts'
import { tlsGateOf } from '../support/tls-gate.ts'

const RESET = { kind: 'reset', code: 'ECONNRESET' }
const nowhere = { write: () => {} }
/** One for all tests: openssl takes longer than they do. */
const ca = authority(root)
const app = ca.issue('app')
root.setTimeout(120_000)

const tlsGate = tlsGateOf(app)

test('bytes go both ways over TLS, whole and in order, and both ends end with eof', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream)
  const client = await tlsConnect(t, gate.port, { ca: ca.cert })
  const sent = pattern(3_000_000, 7, 0)
  void client.write(sent)
  client.end()
  t.ok((await client.received).equals(sent))
  t.match(await gate.end(), {
    reason: 'eof',
    phase: 'relay',
    line: { bytesToUpstream: 3_000_000, sentToClient: 3_000_000 },
  })
})

test('a client that ends its half by close_notify still gets the answer, and a close_notify behind it', async (t) => {
  watchLeaks(t)
  const upstream = await halfCloser(t, (request) => `got ${request.length}`)
  const gate = await tlsGate(t, upstream)
  const client = await tlsConnect(t, gate.port, { ca: ca.cert })
  client.end('x'.repeat(100_000))
  t.equal((await within(client.received)).toString(), 'got 100000')
  t.same(await within(client.closed), { kind: 'fin', code: null })
  t.match(await gate.end(), { reason: 'eof' })
})

test('a client that reads nothing over TLS is ended with write_timeout, by RST on the socket beneath', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await tlsGate(t, upstream, ', deadlines: { write: 200ms }')
  const client = await tlsConnect(t, gate.port, { ca: ca.cert, unread: true, into: nowhere })
  const reads = client.raw
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_client')
  const watch = stopwatch(t)
  t.same(await within((await upstream.connection()).closed), RESET)
  t.ok(watch.livedMs < 2000, `${watch.livedMs} of ${watch.ms} ms`)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
  client.resumeReading()
  await within(client.closed)
  t.ok(reads.destroyed)
  t.match(client.outcome, { kind: 'reset' })
})

test('a client that reads slowly over TLS, but reads, is not ended', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await tlsGate(t, upstream, ', deadlines: { write: 300ms }')
  const client = await tlsConnect(t, gate.port, { ca: ca.cert, unread: true, into: nowhere })
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_client')
  const start = performance.now()
  let reads = 0
  const timer = setInterval(() => {
    if (reads++ % 2 === 0) client.resumeReading()
    else client.stopReading()
  }, 30)
  t.teardown(() => clearInterval(timer))
  await eventually(() => performance.now() - start > 1500)
  t.equal(gate.lines.length, 0)
  t.equal(client.outcome, null)
})

test('an RST of the client over TLS is mirrored to the upstream', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream)
  const client = await tlsConnect(t, gate.port, { ca: ca.cert })
  void client.write('x')
  await client.read(1)
  client.raw.resetAndDestroy()
  t.same(await within((await upstream.connection()).closed), RESET)
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
})

test('a client that asks for another handshake inside TLS 1.2 is ended', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream)
  const client = await tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion: 'TLSv1.2' } })
  void client.write('x')
  await client.read(1)
  client.tls.renegotiate({}, () => {})
  t.match(await gate.end(), { reason: 'reset', side: 'client', detail: /RENEGOTIATION/ })
})

test('a PROXY header stands before the handshake, in a packet with it or not', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream, ', proxyProtocol: { accept: any, trusted: [127.0.0.1] }')
  for (const version of ['v1', 'v2'] as const) {
    const head = proxyHeader(version, {
      client: addressOf('203.0.113.7:4711'),
      localAddress: atPort('198.51.100.1:443'),
    })
    const client = await tlsConnect(t, gate.port, { ca: ca.cert, head })
    void client.write('x')
    t.equal((await client.read(1)).toString(), 'x')
    t.equal(gate.open().client.text, '203.0.113.7:4711')
    client.end()
    await gate.end(gate.lines.length)
    await eventually(() => gate.registry.size === 0)
  }
  const hello = await clientHello(t)
  const together = await connect(t, gate.port)
  void together.write(
    Buffer.concat([
      proxyHeader('v1', { client: addressOf('203.0.113.7:4711'), localAddress: atPort('198.51.100.1:443') }),
      hello,
    ]),
  )
  const answer = await together.read(1)
  t.equal(answer[0], 0x16, 'a ServerHello')
})

test('the sockets are read the same way without the shared buffer', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream, ', proxyProtocol: { accept: v2, trusted: [127.0.0.1] }', '', {
    withoutSharedBuffer: true,
  })
  const head = proxyHeader('v2', {
    client: addressOf('203.0.113.7:4711'),
    localAddress: atPort('198.51.100.1:443'),
  })
  const client = await tlsConnect(t, gate.port, { ca: ca.cert, head })
  const sent = pattern(500_000, 3, 0)
  client.end(sent)
  t.ok((await client.received).equals(sent))
})
