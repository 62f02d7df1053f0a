import { test } from 'tap'
import { startGate } from '../support/gate.ts'
import { get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const HOST = 'Host: a\r\n'
const post = (headers: string, body = ''): string => `POST / HTTP/1.1\r\n${HOST}${headers}\r\n\r\n${body}`
const many = (count: number): string => Array.from({ length: count }, (_, i) => `X-${i}: 1\r\n`).join('')

const cases: Array<[name: string, bytes: string, status: number]> = [
  ['both length and coding', post('Content-Length: 5\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
  ['both coding and length', post('Transfer-Encoding: chunked\r\nContent-Length: 5', '0\r\n\r\n'), 400],
  ...[
    ',chunked',
    'chunked, chunked',
    'gzip',
    'gzip, chunked',
    'identity',
    'chunked, identity',
    'xchunked',
    'chunked;a=b',
    '"chunked"',
    'chunked,',
    '',
  ].map((coding): [string, string, number] => [
    `coding ${JSON.stringify(coding)}`,
    post(`Transfer-Encoding: ${coding}`, '0\r\n\r\n'),
    400,
  ]),
  ['coding twice', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
  ['a coding with a vertical tab', post('Transfer-Encoding: \x0bchunked', '0\r\n\r\n'), 400],
  ['a coding in HTTP/1.0', `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ...[
    '010',
    '+5',
    '-5',
    '5 5',
    '1e2',
    '0x5',
    '5,5',
    '5;',
    '99999999999999999999',
    '1000000000000000',
    'five',
    '',
  ].map((length): [string, string, number] => [
    `length ${JSON.stringify(length)}`,
    post(`Content-Length: ${length}`, '0123456789'),
    400,
  ]),
  ['length twice', post('Content-Length: 5\r\nContent-Length: 5', '01234'), 400],
  ['Host twice', `GET / HTTP/1.1\r\n${HOST}Host: b\r\n\r\n`, 400],
  ['Host twice the same', `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`, 400],
  ['no Host', 'GET / HTTP/1.1\r\nX: y\r\n\r\n', 400],
  ...['[', 'a b', 'a/b', 'u@a', 'a,b:c', 'a:b', '[::1', 'a\x80'].map((host): [string, string, number] => [
    `Host ${JSON.stringify(host)}`,
    `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    400,
  ]),
  ...[
    'http://b/',
    'http://a.b/',
    'http://a:81/',
    'http://u@a/',
    'http://[',
    'http://a#b',
    'ftp://a/',
    'a',
    'a:1',
    '*',
    '/a#b',
    'http:/a',
    '//a b',
  ].map((target): [string, string, number] => [
    `target ${target}`,
    `GET ${target} HTTP/1.1\r\n${HOST}\r\n`,
    400,
  ]),
  ['a target beyond ASCII', `GET /\xe9 HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['bare LF', 'GET / HTTP/1.1\nHost: a\n\n', 400],
  ['one bare LF', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', 400],
  ['a bare CR', 'GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n', 400],
  ['a folded line', `GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`, 400],
  ['a first line that is folded', `GET / HTTP/1.1\r\n X: y\r\n${HOST}\r\n`, 400],
  ['a blank before the colon', `GET / HTTP/1.1\r\n${HOST}X : a\r\n\r\n`, 400],
  ['a name that is no token', `GET / HTTP/1.1\r\n${HOST}X(: a\r\n\r\n`, 400],
  ['an empty name', `GET / HTTP/1.1\r\n${HOST}: a\r\n\r\n`, 400],
  ['a line without colon', `GET / HTTP/1.1\r\n${HOST}X\r\n\r\n`, 400],
  ['NUL in a value', `GET / HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`, 400],
  ['DEL in a value', `GET / HTTP/1.1\r\n${HOST}X: a\x7fb\r\n\r\n`, 400],
  ['HTTP/2.0', `GET / HTTP/2.0\r\n${HOST}\r\n`, 400],
  ['HTTP/0.9', `GET / HTTP/0.9\r\n${HOST}\r\n`, 400],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${HOST}\r\n`, 400],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['a method that is no token', `F(O / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['257 header lines', `GET / HTTP/1.1\r\n${HOST}${many(256)}\r\n`, 400],
  ['CONNECT', `CONNECT a:1 HTTP/1.1\r\n${HOST}\r\n`, 405],
  ['CONNECT to a path', `CONNECT / HTTP/1.1\r\n${HOST}\r\n`, 405],
  ['TRACE', `TRACE / HTTP/1.1\r\n${HOST}\r\n`, 405],
  ['an Expect that nobody knows', get('/', 'Expect: 200-ok\r\n'), 417],
  [
    'an upgrade with a body',
    get('/', 'Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n') + 'hello',
    400,
  ],
  [
    'an upgrade with a chunked body',
    get('/', 'Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n') + '0\r\n\r\n',
    400,
  ],
  ['an upgrade to two protocols', get('/', 'Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n'), 400],
  ...[
    'Host',
    'X-Forwarded-For',
    'cookie',
    'Authorization',
    'Content-Length',
    'Sec-WebSocket-Key',
    'close, Forwarded',
  ].map((listed): [string, string, number] => [
    `Connection: ${listed}`,
    get('/', `Connection: ${listed}\r\n`),
    400,
  ]),
  ['too many proxies', get('/', `Via: ${Array(11).fill('1.1 x').join(', ')}\r\n`), 508],
]

for (const place of ['first', 'later'] as const) {
  for (const withoutSharedBuffer of place === 'first' ? [false] : [false, true]) {
    test(`what could be read in two ways is refused as the ${place} request of a connection (shared buffer: ${!withoutSharedBuffer})`, async (t) => {
      watchLeaks(t)
      watchCrashes(t)
      const upstream = await recordingUpstream(t)
      const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], {
        withoutSharedBuffer,
      })
      let fine = 0
      for (const [index, [name, bytes, status]] of cases.entries()) {
        const client = await httpClient(t, gate.port)
        if (place === 'later') {
          t.equal((await client.get(get(`/${++fine}`))).status, 200)
        }
        // The gate must not read the bytes hidden in it as a request of its own.
        const answer = await client.get(`${bytes}GET /hidden HTTP/1.1\r\n${HOST}\r\n`)
        t.equal(answer.status, status, name)
        t.equal(answer.header('connection'), 'close', name)
        t.match(await gate.end(index), { reason: 'protocol_error', side: 'client', phase: 'handshake' }, name)
        client.wire.end()
        await client.wire.ended
        t.equal(client.wire.unread, 0, `nothing behind the answer: ${name}`)
      }
      t.same(
        upstream.requests.map(({ target }) => target),
        Array.from({ length: fine }, (_, i) => `/${i + 1}`),
      )
      t.same(upstream.problems, [])
    })
  }
}

test('what is unusual and means one thing only passes', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const fine = [
    'GET / HTTP/1.0\r\n\r\n',
    'GET / HTTP/1.1\r\nHost:\r\n\r\n',
    'GET / HTTP/1.1\r\nhost: A_b.example:8080\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n',
    `GET / HTTP/1.1\r\n${HOST}${many(255)}\r\n`,
    get('/', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'),
    get('/', 'Upgrade: websocket\r\n'),
    get('/', 'Connection: keep-alive, , close\r\n'),
    get('/', 'X:\r\nY: \t a \t \r\nZ: \xe9\r\n'),
    get('/', `Via: ${Array(10).fill('1.1 x').join(', ')}\r\n`),
    'GET / HTTP/1.0\r\nExpect: x\r\n\r\n',
    'GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n',
    get('/', '', 'RPC_IN_DATA'),
    get('/', '', 'VERSION-CONTROL'),
    get('/', '', 'get'),
    `\r\n\r\n${get()}`,
  ]
  for (const bytes of fine) {
    const client = await httpClient(t, gate.port)
    t.equal((await client.get(bytes)).status, 200, bytes)
    client.wire.end()
  }
  t.equal(upstream.requests.length, fine.length)
  t.same(upstream.problems, [])
  t.equal(
    upstream.requests[0]!.header('host'),
    `127.0.0.1:${upstream.port}`,
    'what goes on is HTTP/1.1, which has a Host',
  )
  const { headers } = upstream.requests[5]!
  t.same(
    headers.filter(([name]) => /^(upgrade|http2-settings)$/i.test(name)),
    [],
    'h2c is an offer that is declined',
  )
})
