import root, { test } from 'tap'
import type { Test } from 'tap'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { TLSSocket } from 'node:tls'
import { readSamples } from '../metrics/samples.ts'
import { authority, mountedSecret } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { switchingProtocols, upgradeRequest } from '../support/handshake.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { get, HttpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { echo } from '../support/peers.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import type { TlsConnectOptions, TlsWire } from '../support/tls-peers.ts'

root.setTimeout(120_000)
/** One for all tests: openssl takes longer than they do. */
const ca = authority(root)
const app = ca.issue('app')
const clients = authority(root, 'clients')
const known = clients.issue('known', {
  host: 'known.example',
  names: ['URI:spiffe://example/ns/a,b', 'email:a@known.example'],
  subject: '/C=DE/O=Ex, "ample" Ü/CN=known; x=1',
})
const fingerprint = new X509Certificate(readFileSync(known.cert)).fingerprint256
  .replaceAll(':', '')
  .toLowerCase()
const element = `Hash=${fingerprint};Subject="CN=known\\; x=1,O=Ex\\, \\"ample\\" \\C3\\9C,C=DE";URI="spiffe://example/ns/a,b";DNS=known.example`
const forged = 'X-Forwarded-Client-Cert: Hash=00;Subject="CN=admin"\r\nx_forwarded_client_cert: Hash=00\r\n'

const withCa = `tls: { cert: "${app.cert}", key: "${app.key}", clientCa: "${clients.cert}" }`
const listener = (protocol: string, upstream: string, keys = ''): string =>
  `protocol: ${protocol}, upstream: ${upstream}, ${withCa} ${keys}`
const connectKnown = (t: Test, gate: Gate, options: Partial<TlsConnectOptions> = {}): Promise<TlsWire> =>
  tlsConnect(t, gate.port, { ca: ca.cert, client: known, ...options })
const certificatesOf = (seen: { headers: Array<[string, string]> }): string[] =>
  seen.headers.filter(([name]) => /^x.forwarded.client.cert$/i.test(name)).map(([, value]) => value)

test('the certificate of a client is in its log line and in the admin view, on tcp and http', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [listener('tcp', `"127.0.0.1:${upstream.port}"`)])
  const client = await connectKnown(t, gate)
  void client.write('x')
  await client.read(1)
  const shown = (await (
    await fetch(`http://127.0.0.1:${gate.adminPort}/connections/${gate.open().id}`)
  ).json()) as { tls: object }
  t.match(shown.tls, {
    version: 'TLSv1.3',
    serverName: 'localhost',
    certificate: {
      commonName: 'known; x=1',
      fingerprint,
      emails: ['a@known.example'],
      addresses: ['127.0.0.1'],
    },
  })
  client.end()
  t.match((await gate.end()).line, {
    close: 'eof',
    clientSubject: 'CN=known\\; x=1,O=Ex\\, \\"ample\\" Ü,C=DE',
    clientNames: 'spiffe://example/ns/a,b, known.example, a@known.example, 127.0.0.1',
    clientFingerprint: fingerprint,
  })
})

const upgradeToo: Respond = (seen) =>
  seen.header('upgrade') === 'websocket'
    ? Buffer.concat([
        Buffer.from(switchingProtocols(seen)),
        encodeFrame({ opcode: 'close', payload: Buffer.from([3, 232]) }),
      ])
    : OK

for (const mode of ['frames', 'messages']) {
  test(`http.clientCertificate: forward tells the upstream with each request, and with an upgrade in ${mode} mode, and removes what the client said`, async (t) => {
    watchLeaks(t)
    watchCrashes(t)
    const upstream = await recordingUpstream(t, upgradeToo)
    const gate = await startGate(t, [
      listener(
        'http',
        `"127.0.0.1:${upstream.port}"`,
        `, http: { clientCertificate: forward }, websocket: { mode: ${mode} }`,
      ),
    ])
    const client = new HttpClient(await connectKnown(t, gate))
    for (const nth of [0, 1]) {
      t.equal((await client.get(get('/', forged))).status, 200)
      t.same(certificatesOf(await upstream.request(nth)), [element])
    }
    t.equal(
      (
        await client.get(
          upgradeRequest({
            headers: Object.fromEntries(
              forged
                .trimEnd()
                .split('\r\n')
                .map((line) => line.split(': ')),
            ) as Record<string, string>,
          }),
        )
      ).status,
      101,
    )
    t.same(certificatesOf(await upstream.request(2)), [element], 'of an upgrade on the same connection')
    const fresh = new HttpClient(await connectKnown(t, gate))
    t.equal(
      (await fresh.get(upgradeRequest({ headers: { 'X-Forwarded-Client-Cert': 'Hash=00' } }))).status,
      101,
    )
    t.same(certificatesOf(await upstream.request(3)), [element], 'of an upgrade that comes first')
  })
}

test('without forward, and from clients without certificates, nothing of the name goes on but from a trusted proxy', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t)
  const trusted = ', http: { trustForwarded: [127.0.0.1] }'
  const gate = await startGate(t, [
    listener('http', `"127.0.0.1:${upstream.port}"`),
    listener('http', `"127.0.0.1:${upstream.port}"`, trusted),
    listener(
      'http',
      `"127.0.0.1:${upstream.port}"`,
      ', http: { clientCertificate: forward, trustForwarded: [127.0.0.1] }',
    ),
  ])
  const expected = [[], ['Hash=00;Subject="CN=admin"'], [`Hash=00;Subject="CN=admin", ${element}`]]
  for (const [nth, port] of gate.ports.entries()) {
    const client = new HttpClient(await tlsConnect(t, port, { ca: ca.cert, client: known }))
    t.equal((await client.get(get('/', forged))).status, 200)
    t.same(certificatesOf(await upstream.request(nth)), expected[nth])
  }
})

test('a client that resumes its session is the one that it was, with TLS 1.2 and 1.3', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [listener('tcp', `"127.0.0.1:${upstream.port}"`)])
  for (const [nth, maxVersion] of (['TLSv1.2', 'TLSv1.3'] as const).entries()) {
    const first = await connectKnown(t, gate, { options: { maxVersion } })
    const session = new Promise<Buffer>((resolve) => first.tls.once('session', resolve))
    void first.write('x')
    await first.read(1)
    const ticket = maxVersion === 'TLSv1.2' ? first.tls.getSession()! : await session
    first.end()
    const again = await tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion, session: ticket } })
    t.ok(again.tls.isSessionReused(), maxVersion)
    void again.write('x')
    await again.read(1)
    again.end()
    t.match((await gate.end(2 * nth + 1)).line, { clientFingerprint: fingerprint }, maxVersion)
  }
})

test('a client of HTTP/2 that resumes its session is named to the service as before', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    listener('http', `"127.0.0.1:${upstream.port}"`, ', http: { clientCertificate: forward }'),
  ])
  const [cert, key] = [readFileSync(known.cert), readFileSync(known.key)]
  const first = await h2Connect(t, gate.port, { ca: ca.cert, options: { cert, key } })
  t.equal((await h2Ask(first)).status, 200)
  const ticket = (first.socket as TLSSocket).getSession()!
  const again = await h2Connect(t, gate.port, { ca: ca.cert, options: { session: ticket } })
  t.ok((again.socket as TLSSocket).isSessionReused())
  t.equal((await h2Ask(again)).status, 200)
  t.same(upstream.requests.map(certificatesOf), [[element], [element]])
  for (const session of [first, again]) session.close()
})

test('a session does not outlive the authority that its client was let in by, and an open connection does', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const [before, after] = [mountedSecret(t, clients), authority(t, 'others')]
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${app.cert}", key: "${app.key}", clientCa: "${before.cert}" }`,
  ])
  const open = await connectKnown(t, gate, { options: { maxVersion: 'TLSv1.2' } })
  const resumed = {
    ca: ca.cert,
    options: { maxVersion: 'TLSv1.2', session: open.tls.getSession()! },
  } as const
  t.ok((await tlsConnect(t, gate.port, resumed)).tls.isSessionReused())
  before.swap(after)
  await eventually(
    async () =>
      readSamples(await gate.metrics()).get('sidegate_tls_reloads_total', { result: 'success' }) === 1,
  )
  await t.rejects(tlsConnect(t, gate.port, resumed))
  void open.write('x')
  t.equal((await open.read(1)).toString(), 'x')
})
