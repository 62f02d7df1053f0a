import t, { test } from 'tap'
import { writeFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { get, HttpClient, recordingUpstream } from '../support/http-peers.ts'
import { listen } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { freePort } from '../support/free-port.ts'
import { needs, program, runTool, temporary, whenListening } from '../support/tools.ts'
import { tlsConnect } from '../support/tls-peers.ts'

t.setTimeout(240_000)

const defaults =
  'global\n  maxconn 100\ndefaults\n  timeout connect 2s\n  timeout client 20s\n  timeout server 20s\n'

/** The values after the addresses of a header of version 2, those of TLS unpacked, in the order of their types. */
async function valuesOf(wire: Wire): Promise<unknown[]> {
  const head = await wire.read(16)
  const body = await wire.read(head.readUInt16BE(14))
  return take(body.subarray(12))
}

function take(bytes: Buffer): unknown[] {
  const values: Array<[number, unknown]> = []
  for (let at = 0; at < bytes.length;) {
    const [type, end] = [bytes[at]!, at + 3 + bytes.readUInt16BE(at + 1)]
    const value = bytes.subarray(at + 3, end)
    values.push([
      type,
      type === 0x20
        ? { flags: value[0], verify: value.readUInt32BE(1), values: take(value.subarray(5)) }
        : value.toString(),
    ])
    at = end
  }
  return values.sort(([one], [other]) => one - other)
}

test(
  'what version 2 says of TLS is what HAProxy says of the same client',
  needs('haproxy', 'openssl'),
  async (t) => {
    const [ca, clients] = [authority(t), authority(t, 'clients')]
    const [app, known] = [
      ca.issue('app'),
      clients.issue('known', { subject: '/O=Example/CN=known client é' }),
    ]
    const upstream = await listen(t, () => {})
    const port = freePort()
    const [file, bundle] = ['haproxy.cfg', 'app.pem'].map((name) => join(temporary(t), name)) as [
      string,
      string,
    ]
    writeFileSync(bundle, readFileSync(app.cert, 'latin1') + readFileSync(app.key, 'latin1'))
    writeFileSync(
      file,
      `${defaults}
listen v2
  bind 127.0.0.1:${port} ssl crt ${bundle} ca-file ${clients.cert} verify optional alpn one,two
  server app 127.0.0.1:${upstream.port} send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,authority
`,
    )
    runTool(t, 'haproxy', ['-f', file])
    await whenListening(port)
    const gate = await program(
      t,
      `protocol: tcp, upstream: { addresses: ["127.0.0.1:${upstream.port}"], proxyProtocol: v2 }, tls: { cert: "${app.cert}", key: "${app.key}", clientCa: "${clients.cert}", alpn: [one, two] }`,
    )
    for (const [nth, maxVersion] of (['TLSv1.2', 'TLSv1.3'] as const).entries()) {
      const options = {
        maxVersion,
        ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256',
        ALPNProtocols: ['two'],
        servername: 'app.example',
        checkServerIdentity: () => undefined,
      }
      const said: unknown[][] = []
      for (const to of [port, gate.port]) {
        await tlsConnect(t, to, { ca: ca.cert, client: known, options })
        said.push(await valuesOf(await upstream.connection(2 * nth + said.length)))
      }
      const [theirs, ours] = said as [unknown[], unknown[]]
      t.match(ours, [
        [0x01, 'two'],
        [0x02, 'app.example'],
        [
          0x20,
          {
            flags: 7,
            verify: 0,
            values: [
              [0x21, maxVersion],
              [0x22, 'known client é'],
            ],
          },
        ],
      ])
      // HAProxy 2.6 reports as ALPN the protocol of its own check.
      t.same(
        ours.filter((value) => (value as [number])[0] !== 0x01),
        theirs.filter((value) => (value as [number])[0] !== 0x01),
        maxVersion,
      )
    }
  },
)

test(
  'HAProxy with accept-proxy takes what is said of TLS, over tcp and http',
  needs('haproxy', 'openssl'),
  async (t) => {
    const [ca, clients] = [authority(t), authority(t, 'clients')]
    const [app, known] = [ca.issue('app'), clients.issue('known')]
    const upstream = await recordingUpstream(t)
    const port = freePort()
    const file = join(temporary(t), 'haproxy.cfg')
    writeFileSync(
      file,
      `${defaults}  mode http
listen f
  bind 127.0.0.1:${port} accept-proxy
  http-request set-header X-Seen %[src]:%[src_port]
  http-request set-header X-Authority %[fc_pp_authority]
  server app 127.0.0.1:${upstream.port}
`,
    )
    runTool(t, 'haproxy', ['-f', file])
    await whenListening(port)
    for (const [nth, protocol] of ['tcp', 'http'].entries()) {
      const gate = await program(
        t,
        `protocol: ${protocol}, upstream: { addresses: ["127.0.0.1:${port}"], proxyProtocol: v2 }, tls: { cert: "${app.cert}", key: "${app.key}", clientCa: "${clients.cert}" }`,
      )
      const wire = await tlsConnect(t, gate.port, { ca: ca.cert, client: known })
      t.equal((await new HttpClient(wire).get(get())).status, 200)
      const seen = await upstream.request(nth)
      t.equal(seen.header('x-authority'), 'localhost', protocol)
      t.equal(seen.header('x-seen'), `127.0.0.1:${wire.raw.localPort}`)
      wire.end()
      await eventually(() => gate.ends().some((line) => line['clientSubject'] === 'CN=known'), {
        what: 'its log line',
        withinMs: 30_000,
      })
    }
  },
)

test(
  'curl with its certificate is told of to the service, and in the log',
  needs('curl', 'openssl'),
  async (t) => {
    const [ca, clients] = [authority(t), authority(t, 'clients')]
    const [app, known] = [ca.issue('app'), clients.issue('known', { names: ['URI:spiffe://example/known'] })]
    const upstream = await recordingUpstream(t)
    const gate = await program(
      t,
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { clientCertificate: forward }, tls: { cert: "${app.cert}", key: "${app.key}", clientCa: "${clients.cert}" }`,
    )
    const url = `https://localhost:${gate.port}/`
    const curl = runTool(t, 'curl', [
      '-sS',
      '--max-time',
      '20',
      '--cacert',
      ca.cert,
      '--cert',
      known.cert,
      '--key',
      known.key,
      '-H',
      'X-Forwarded-Client-Cert: Hash=00',
      '-H',
      'X_Forwarded_Client_Cert: Hash=00',
      '--resolve',
      `localhost:${gate.port}:127.0.0.1`,
      url,
    ])
    t.equal(await curl.exited, 0)
    const said = (await upstream.request()).headers
      .filter(([name]) => /client.cert/i.test(name))
      .map(([, value]) => value)
    t.equal(said.length, 1)
    t.match(said[0], /^Hash=[0-9a-f]{64};Subject="CN=known";URI=spiffe:\/\/example\/known;DNS=localhost$/)
    await eventually(() => gate.ends().length === 2, {
      what: 'the log lines of its request and of its connection',
      withinMs: 30_000,
    })
    for (const line of gate.ends())
      t.match(line, {
        clientSubject: 'CN=known',
        clientNames: 'spiffe://example/known, localhost, 127.0.0.1',
        clientFingerprint: /^[0-9a-f]{64}$/,
      })
  },
)
