import root, { test } from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { SidegateParts } from '../../src/operator/sidegate.ts'
import { readSamples } from '../metrics/samples.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { outcomeOf } from '../support/outcome.ts'
import { connect, echo } from '../support/peers.ts'
import { clientHello, tlsConnect } from '../support/tls-peers.ts'

const RESET = { kind: 'reset', code: 'ECONNRESET' }
/** One for all tests: openssl takes longer than they do. */
const ca = authority(root)
const app = ca.issue('app')
root.setTimeout(120_000)

function tlsGate(t: Test, upstream: { port: number }, keys = '', tlsKeys = '', parts: Partial<SidegateParts> = {}): Promise<Gate> {
  return startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${app.cert}", key: "${app.key}" ${tlsKeys} } ${keys}`], parts)
}

const rejected = async (gate: Gate, reason: string): Promise<number | undefined> => readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', { listener: 'l0', reason })

test('half a ClientHello is closed by RST with handshake_timeout, and really closed; a whole one in time is served', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream, ', deadlines: { handshake: 200ms }, limits: { connections: 3 }')
  const hello = await clientHello(t)
  const half = await connect(t, gate.port)
  void half.write(hello.subarray(0, 100))
  const silent = await connect(t, gate.port)
  const good = await tlsConnect(t, gate.port, { ca: ca.cert })
  t.match([await within(half.closed), await within(silent.closed)], [RESET, RESET])
  t.equal(await rejected(gate, 'handshake_timeout'), 2)
  void good.write('x')
  t.equal((await good.read(1)).toString(), 'x')
  const next = await tlsConnect(t, gate.port, { ca: ca.cert })
  void next.write('y')
  t.equal((await next.read(1)).toString(), 'y', 'their places are free')
})

test('who speaks no TLS is protocol_error, who leaves inside the handshake aborted, and neither reaches the upstream', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream)
  t.match(await outcomeOf(t, gate.port, {}, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'), { kind: /reset|fin/ })
  await eventually(async () => (await rejected(gate, 'protocol_error')) === 1)
  const hello = await clientHello(t)
  const left = await connect(t, gate.port)
  left.end(hello.subarray(0, 50))
  await eventually(async () => (await rejected(gate, 'aborted')) === 1)
  await t.rejects(tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } }))
  t.equal(await rejected(gate, 'protocol_error'), 2)
  t.equal(upstream.connections.length, 0)
})

test('tls.minVersion holds', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream, '', ', minVersion: TLSv1.3')
  await t.rejects(tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion: 'TLSv1.2' } }), { code: /ALERT_PROTOCOL_VERSION|VERSION/ })
  t.equal((await tlsConnect(t, gate.port, { ca: ca.cert })).tls.getProtocol(), 'TLSv1.3')
})

test('static RSA and CBC are not spoken unless tls.ciphers says so, and an ordinary client of TLS 1.2 is served', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream)
  const old = { ca: ca.cert, options: { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:AES128-SHA:AES256-GCM-SHA384' } } as const
  await t.rejects(tlsConnect(t, gate.port, old), { code: 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE' })
  for (const suite of ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305']) {
    t.equal((await tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion: 'TLSv1.2', ciphers: suite } })).tls.getCipher().name, suite)
  }
  t.equal((await tlsConnect(t, gate.port, { ca: ca.cert })).tls.getProtocol(), 'TLSv1.3')
  const lenient = await tlsGate(t, upstream, '', ', ciphers: "ECDHE-ECDSA-AES256-SHA"')
  t.equal((await tlsConnect(t, lenient.port, old)).tls.getCipher().name, 'ECDHE-ECDSA-AES256-SHA')
})

test('a client certificate of the authority is let in; none, and that of a stranger, are denied', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const clients = authority(t, 'clients')
  const strangers = authority(t, 'strangers')
  const gate = await tlsGate(t, upstream, '', `, clientCa: "${clients.cert}"`)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const known = await tlsConnect(t, gate.port, { ca: ca.cert, client: clients.issue('known'), options: { maxVersion } })
    void known.write('x')
    t.equal((await known.read(1)).toString(), 'x')
    for (const client of [undefined, strangers.issue('stranger')]) {
      // With TLS 1.3 a client is done before the server has judged it.
      const denied = await tlsConnect(t, gate.port, { ca: ca.cert, ...(client === undefined ? {} : { client }), options: { maxVersion } }).catch(() => null)
      if (denied !== null) await within(denied.ended)
    }
  }
  await eventually(async () => (await rejected(gate, 'denied')) === 4)
  t.equal(upstream.connections.length, 2)
})

test('handshakes in flight are bounded: beyond 256 the newest is too_many, or, a second later, the oldest', async (t) => {
  watchLeaks(t, { withinMs: 10_000 })
  const upstream = await echo(t)
  let now = 1000
  const gate = await tlsGate(t, upstream, '', '', { clock: { ...systemClock, now: () => now } })
  const held = await Promise.all(Array.from({ length: 256 }, () => connect(t, gate.port)))
  now += 999
  t.match(await outcomeOf(t, gate.port), RESET)
  t.equal(await rejected(gate, 'too_many'), 1)
  t.ok(held.every((wire) => wire.outcome === null))
  now += 1
  const client = await tlsConnect(t, gate.port, { ca: ca.cert })
  void client.write('x')
  t.equal((await client.read(1)).toString(), 'x')
  t.equal(await rejected(gate, 'too_many'), 2)
  await eventually(() => held.filter((wire) => wire.outcome?.kind === 'reset').length === 1)
})

test('a drain refuses who is inside its handshake', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream)
  const hello = await clientHello(t)
  const peer = await connect(t, gate.port)
  await peer.write(hello.subarray(0, 100))
  await eventually(async () => readSamples(await gate.metrics()).get('sidegate_connections_pending', { listener: 'l0' }) === 1)
  await gate.drain(100)
  t.match(await within(peer.closed), { kind: 'reset' })
})
