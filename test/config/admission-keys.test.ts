import { test } from 'tap'
import { ConfigError } from '../../src/core/errors.ts'
import { checkText } from '../../src/config/load.ts'
import { accessRules, proxyRules } from '../../src/gate/options.ts'

const listener = (keys: string, address = ':1'): string =>
  `listeners:\n  - { address: "${address}", protocol: tcp, upstream: "a:1", ${keys} }\n`
const upstream = (keys: string): string =>
  `listeners:\n  - { address: ":1", protocol: tcp, upstream: { addresses: ["a:1"], ${keys} } }\n`

function problems(text: string): string[] {
  try {
    checkText(text, 'f')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ path, message }) => `${path}: ${message}`)
  }
}

test('who may send a PROXY header must be said, but for a unix socket', async (t) => {
  const missing =
    'listeners[0].proxyProtocol.trusted: is missing: any client could claim any address, write the networks of the proxies in front, such as [10.0.0.0/8]'
  t.same(problems(listener('proxyProtocol: { accept: any }')), [missing])
  t.same(problems(listener('proxyProtocol: { accept: v1, trusted: [] }')), [missing])
  t.same(problems(listener('proxyProtocol: { accept: v3, trusted: [10.0.0.0/8] }')), [
    'listeners[0].proxyProtocol.accept: got v3, write off, v1, v2 or any; did you mean v1?',
  ])
  t.same(problems(listener('proxyProtocol: { accept: v2 }', 'unix:/run/a.sock')), [])
  t.same(problems(listener('proxyProtocol: { accept: off }')), [])
  t.match(checkText(listener('proxyProtocol: { accept: any, trusted: ["0.0.0.0/0"] }'), 'f').warnings, [
    {
      path: 'listeners[0].proxyProtocol.trusted',
      message: '0.0.0.0/0 trusts everybody: any client can claim any address',
    },
  ])
  t.match(checkText(listener('proxyProtocol: { trusted: [10.0.0.1] }'), 'f').warnings, [
    { message: 'has no effect while proxyProtocol.accept is off' },
  ])
})

test('TLS needs a certificate and its key', async (t) => {
  t.same(problems(listener('tls: {}')), [
    'listeners[0].tls.cert: is missing, write the path of a file',
    'listeners[0].tls.key: is missing, write the path of a file',
  ])
  t.same(problems(listener('tls: { cert: /a }')), [
    'listeners[0].tls.key: is missing, write the path of a file',
  ])
  t.same(problems(listener('tls: { cert: "-----BEGIN CERTIFICATE-----", key: 5 }')), [
    'listeners[0].tls.cert: is a certificate or key itself, write the path of a file that holds it',
    'listeners[0].tls.key: got 5, write the path of a file',
  ])
  t.same(problems(listener('tls: { cert: /a, key: /b, minVersion: TLSv1.1 }')), [
    'listeners[0].tls.minVersion: got TLSv1.1, write TLSv1.2 or TLSv1.3',
  ])
  t.same(problems(upstream('tls: { cert: /a }')), [
    'listeners[0].upstream.tls.key: is missing, write it beside cert',
  ])
  t.same(problems(upstream('tls: { key: /a }')), [
    'listeners[0].upstream.tls.cert: is missing, write it beside key',
  ])
  t.same(problems(upstream('tls: { serverName: "https://a" }')), [
    'listeners[0].upstream.tls.serverName: got https://a, write the name in its certificate, such as legacy.example',
  ])
  t.same(problems(upstream('tls: {}')), [], 'with the authorities of Node')
  t.same(
    problems('listeners: [{ address: ":1", protocol: tcp, upstream: { addresses: ["unix:/a"], tls: {} } }]'),
    [
      'listeners[0].upstream.tls.serverName: is missing: a unix socket has no name to verify, write the name in the certificate',
    ],
  )
})

test('cipher suites are such as OpenSSL knows, and a slip is found', async (t) => {
  const tls = (keys: string): string[] => problems(listener(`tls: { cert: /a, key: /b, ${keys} }`))
  t.same(tls('ciphers: "HIGH:!aNULL:@SECLEVEL=1"'), [])
  t.same(tls('ciphers: "TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES128-SHA"'), [])
  t.match(tls('ciphers: "ECDHE-RSA-AES128-GCM-SHA265:AES128-SHA"'), [
    /^listeners\[0\]\.tls\.ciphers: names ECDHE-RSA-AES128-GCM-SHA265, which OpenSSL does not know; did you mean ECDHE-RSA-AES128-GCM-SHA256\?$/,
  ])
  t.match(tls('ciphers: nothing'), [/of which OpenSSL takes nothing, write suites such as/])
  t.match(tls('ciphers: 5'), [/got 5, write suites as OpenSSL names them/])
})

test('ALPN is for opaque bytes: HTTP says itself what it speaks', async (t) => {
  t.same(problems(listener('tls: { cert: /a, key: /b, alpn: [h2, "http/1.1"] }')), [])
  t.same(problems(upstream('tls: { alpn: [h2] }')), [])
  t.match(problems(listener('tls: { cert: /a, key: /b, alpn: h2 }')), [
    /write a list of protocols such as \[h2, http\/1\.1\]/,
  ])
  t.match(problems(listener('tls: { cert: /a, key: /b, alpn: ["a b"] }')), [
    /write the name of a protocol such as h2 or http\/1\.1/,
  ])
  t.same(
    problems(
      'listeners: [{ address: ":1", protocol: http, upstream: { addresses: ["a:1"], tls: { alpn: [h2] } }, tls: { cert: /a, key: /b, alpn: [h2] } }]',
    ),
    [
      'listeners[0].upstream.tls.alpn: has no meaning with protocol: http, which offers what it speaks (http/1.1), remove it',
      'listeners[0].tls.alpn: has no meaning with protocol: http, which offers what it speaks (http/1.1), remove it',
    ],
  )
})

test('certificates are told of where they are asked for', async (t) => {
  const http = (keys: string): string[] =>
    problems(
      `listeners: [{ address: ":1", protocol: http, upstream: "a:1", http: { clientCertificate: forward }, ${keys} }]`,
    )
  t.same(http('tls: { cert: /a, key: /b, clientCa: /c }'), [])
  for (const keys of ['', 'tls: { cert: /a, key: /b }'])
    t.same(http(keys), [
      'listeners[0].http.clientCertificate: got forward, but clients are asked for no certificate, write tls.clientCa, or off',
    ])
})

test('a handshake deadline has its effect for tcp, where there is something to wait for', async (t) => {
  for (const gate of ['tls: { cert: /a, key: /b }', 'proxyProtocol: { accept: any, trusted: [10.0.0.1] }']) {
    t.same(checkText(listener(`${gate}, deadlines: { handshake: 5s }`), 'f').warnings, [], gate)
    t.match(
      checkText(listener(`${gate}, deadlines: { handshake: off }`), 'f').warnings,
      [{ path: 'listeners[0].deadlines.handshake' }],
      gate,
    )
  }
})

const configOf = (keys: string) => checkText(listener(keys), 'f').config.listeners[0]!

test('access lists hold IPv4 and IPv6 networks, and mapped addresses are IPv4', async (t) => {
  const rules = accessRules(
    configOf('access: { allow: [10.0.0.0/8, "2001:db8::/32", "::ffff:192.0.2.0/120"], deny: [10.0.0.1] }'),
  )!
  for (const [ip, isAllowed] of [
    ['10.255.0.1', true],
    ['11.0.0.0', false],
    ['9.255.255.255', false],
    ['2001:db8:ffff::1', true],
    ['2001:db9::', false],
    ['192.0.2.255', true],
    ['192.0.3.0', false],
  ] as const) {
    t.equal(rules.isAllowed!(ip), isAllowed, ip)
  }
  t.same([rules.isDenied('10.0.0.1'), rules.isDenied('10.0.0.2')], [true, false])
  t.equal(accessRules(configOf('')), null)
  t.equal(accessRules(configOf('access: { deny: [10.0.0.1] }'))!.isAllowed, null)
  t.equal(proxyRules(configOf('')), null)
})
