import root, { test } from 'tap'
import type { Test } from 'tap'
import { readFileSync } from 'node:fs'
import tls from 'node:tls'
import { systemClock } from '../../src/core/clock.ts'
import { readSamples } from '../metrics/samples.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { outcomeOf } from '../support/outcome.ts'
import { connect, echo } from '../support/peers.ts'
import { clientHello, tlsConnect } from '../support/tls-peers.ts'
import type { TlsConnectOptions } from '../support/tls-peers.ts'
import type { Wire } from '../support/wire.ts'
import { tlsGateOf } from '../support/tls-gate.ts'

const RESET = { kind: 'reset', code: 'ECONNRESET' }
/** The lifetime of a ticket, in a session as OpenSSL writes it: the field with tag 9. */
const FIVE_MINUTES = Buffer.from('a9040202012c', 'hex')
/** One for all tests: openssl takes longer than they do. */
const ca = authority(root)
const app = ca.issue('app')
root.setTimeout(120_000)

const tlsGate = tlsGateOf(app)

const rejected = async (gate: Gate, reason: string): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', { listener: 'l0', reason })

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
  await t.rejects(
    tlsConnect(t, gate.port, {
      ca: ca.cert,
      options: { maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    }),
  )
  t.equal(await rejected(gate, 'protocol_error'), 2)
  t.equal(upstream.connections.length, 0)
})

test('tls.minVersion holds', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream, '', ', minVersion: TLSv1.3')
  await t.rejects(tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion: 'TLSv1.2' } }), {
    code: /ALERT_PROTOCOL_VERSION|VERSION/,
  })
  t.equal((await tlsConnect(t, gate.port, { ca: ca.cert })).tls.getProtocol(), 'TLSv1.3')
})

test('static RSA and CBC are not spoken unless tls.ciphers says so, and an ordinary client of TLS 1.2 is served', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream)
  const old = {
    ca: ca.cert,
    options: {
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:AES128-SHA:AES256-GCM-SHA384',
    },
  } as const
  await t.rejects(tlsConnect(t, gate.port, old), { code: 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE' })
  for (const suite of [
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
  ]) {
    t.equal(
      (
        await tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion: 'TLSv1.2', ciphers: suite } })
      ).tls.getCipher().name,
      suite,
    )
  }
  t.equal((await tlsConnect(t, gate.port, { ca: ca.cert })).tls.getProtocol(), 'TLSv1.3')
  const lenient = await tlsGate(t, upstream, '', ', ciphers: "ECDHE-ECDSA-AES256-SHA"')
  t.equal((await tlsConnect(t, lenient.port, old)).tls.getCipher().name, 'ECDHE-ECDSA-AES256-SHA')
})

/** The alert for a refused client: with TLS 1.3 its own handshake is complete before the server has judged it. */
async function refusalOf(t: Test, gate: Gate, options: Omit<TlsConnectOptions, 'ca'>): Promise<string> {
  const wire = await tlsConnect(t, gate.port, { ca: ca.cert, ...options }).catch(
    (error: Error & { code?: string }) => String(error.code),
  )
  if (typeof wire === 'string') return wire
  const said = new Promise<string>((resolve) =>
    wire.tls.once('error', (error: Error & { code?: string }) => resolve(String(error.code))),
  )
  void wire.write('what comes too early must not make an RST of it')
  return Promise.race([said, within(wire.ended).then(() => 'fin')])
}

test('a client certificate of the authority is let in; none, and that of a stranger, are denied, and told so by TLS', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const clients = authority(t, 'clients')
  const strangers = authority(t, 'strangers')
  const gate = await tlsGate(t, upstream, '', `, clientCa: "${clients.cert}"`)
  const [known, stranger] = [clients.issue('known'), strangers.issue('stranger')]
  const old = clients.issue('old', {
    from: new Date(Date.now() - 2 * 86_400_000),
    to: new Date(Date.now() - 86_400_000),
  })
  const told = {
    'TLSv1.2': ['ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', 'fin', 'fin'],
    'TLSv1.3': [
      'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED',
    ],
  }
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const wire = await tlsConnect(t, gate.port, { ca: ca.cert, client: known, options: { maxVersion } })
    void wire.write('x')
    t.equal((await wire.read(1)).toString(), 'x')
    for (const [nth, client] of [undefined, stranger, old].entries()) {
      const refusal = await refusalOf(t, gate, {
        ...(client === undefined ? {} : { client }),
        options: { maxVersion },
      })
      t.equal(
        refusal.replace('ERR_SSL_SSLV3_', 'ERR_SSL_SSL/TLS_'),
        told[maxVersion][nth],
        `${maxVersion} ${String(nth)}`,
      )
    }
  }
  await eventually(async () => (await rejected(gate, 'denied')) === 6)
  t.equal(upstream.connections.length, 2)
})

test('each cipher suite of TLS 1.3 carries the alert, and a session of a stranger is no way in', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const clients = authority(t, 'clients')
  const stranger = authority(t, 'strangers').issue('stranger')
  const gate = await tlsGate(t, upstream, '', `, clientCa: "${clients.cert}"`)
  for (const ciphers of [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
  ]) {
    t.equal(
      await refusalOf(t, gate, { client: stranger, options: { ciphers } }),
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      ciphers,
    )
  }
  const first = await tlsConnect(t, gate.port, { ca: ca.cert, client: stranger })
  const session = await within(new Promise<Buffer>((resolve) => first.tls.once('session', resolve)))
  first.destroy()
  t.equal(
    await refusalOf(t, gate, { options: { session } }),
    'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
    'resumed, with no certificate',
  )
  t.equal(upstream.connections.length, 0)
})

test('a session is resumed for five minutes at the most, and no longer than the certificate of its client is valid', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const clients = authority(t, 'clients')
  const [from, to] = [new Date(Date.now() - 86_400_000), new Date(Date.now() + 86_400_000)]
  const brief = clients.issue('brief', { from, to })
  let aheadMs = 0
  const gate = await tlsGate(t, upstream, '', `, clientCa: "${clients.cert}"`, {
    clock: { ...systemClock, wall: () => Date.now() + aheadMs },
  })
  const expected = { 'TLSv1.2': 'fin', 'TLSv1.3': 'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED' }
  for (const [nth, maxVersion] of (['TLSv1.2', 'TLSv1.3'] as const).entries()) {
    aheadMs = 0
    const first = await tlsConnect(t, gate.port, { ca: ca.cert, client: brief, options: { maxVersion } })
    const told = new Promise<Buffer>((resolve) => first.tls.once('session', resolve))
    void first.write('x')
    await first.read(1)
    const session = maxVersion === 'TLSv1.2' ? first.tls.getSession()! : await within(told)
    t.ok(session.includes(FIVE_MINUTES), 'the lifetime of its ticket')
    const again = await tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion, session } })
    void again.write('x')
    t.equal((await again.read(1)).toString(), 'x')
    t.ok(again.tls.isSessionReused(), maxVersion)
    aheadMs = 86_500_000
    const refusal = await refusalOf(t, gate, { options: { maxVersion, session } })
    t.equal(refusal.replace('ERR_SSL_SSLV3_', 'ERR_SSL_SSL/TLS_'), expected[maxVersion])
    await eventually(async () => (await rejected(gate, 'denied')) === nth + 1)
    void first.write('y')
    t.equal((await first.read(1)).toString(), 'y', 'whose connection was open before stays')
  }
})

test('strangers who never leave are gone after a second, and of very many only some are told', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const clients = authority(t, 'clients')
  const gate = await tlsGate(t, upstream, ', limits: { connections: 3 }', `, clientCa: "${clients.cert}"`)
  const known = clients.issue('known')
  const held: Wire[] = []
  const codes: string[] = []
  for (let nth = 0; nth < 40; nth++) {
    const plain = await connect(t, gate.port, { halfOpen: true, unread: true })
    plain.socket.removeAllListeners('data')
    const secure = tls.connect({ socket: plain.socket, ca: readFileSync(ca.cert), servername: 'localhost' })
    secure.on('error', (error: Error & { code?: string }) => void codes.push(String(error.code)))
    held.push(plain)
    await eventually(async () => (await rejected(gate, 'denied')) === nth + 1)
  }
  const client = await tlsConnect(t, gate.port, { ca: ca.cert, client: known })
  void client.write('x')
  t.equal((await client.read(1)).toString(), 'x', 'they take no places')
  client.end()
  // A write to a closed socket meets an RST.
  const isGone = (wire: Wire): boolean => wire.outcome !== null || !wire.socket.write('x')
  await eventually(
    () => held.filter((wire) => !isGone(wire)).length === 0 && held.every((wire) => wire.outcome !== null),
    { withinMs: 30_000, what: 'the end of all strangers' },
  )
})

test('handshakes in flight are bounded: beyond 256 the newest is too_many, or, a second later, the oldest', async (t) => {
  watchLeaks(t, { withinMs: 30_000 })
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

test('one client that begins and does not finish takes no place of another: its own oldest go, however young', async (t) => {
  watchLeaks(t, { withinMs: 30_000 })
  const upstream = await echo(t)
  const now = 1000
  const gate = await tlsGate(t, upstream, '', '', { clock: { ...systemClock, now: () => now } })
  const flood = (count: number): Promise<Wire[]> =>
    Promise.all(Array.from({ length: count }, () => connect(t, gate.port, { from: '127.0.0.2' })))
  const gone = (wires: Wire[]): number => wires.filter((wire) => wire.outcome?.kind === 'reset').length
  const held = await flood(256)
  // In no hurry, and of two addresses.
  const slow = await connect(t, gate.port)
  const other = await connect(t, gate.port, { from: '127.0.0.3' })
  await eventually(() => gone(held) === 2)
  for (let i = 0; i < 3; i++) {
    const client = await tlsConnect(t, gate.port, { ca: ca.cert })
    void client.write('x')
    t.equal((await client.read(1)).toString(), 'x')
    const more = await flood(20)
    await eventually(() => gone(more) >= 19, { what: 'those who come in a flood to be refused' })
  }
  t.same([slow.outcome, other.outcome], [null, null])
})

test('a drain whose time is over refuses who is inside its handshake', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await tlsGate(t, upstream)
  const hello = await clientHello(t)
  const peer = await connect(t, gate.port)
  await peer.write(hello.subarray(0, 100))
  await eventually(
    async () =>
      readSamples(await gate.metrics()).get('sidegate_connections_pending', { listener: 'l0' }) === 1,
  )
  await gate.drain(100)
  t.match(await within(peer.closed), { kind: 'reset' })
})
