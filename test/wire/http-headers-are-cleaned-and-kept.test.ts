import { test } from 'tap'
import type { Test } from 'tap'
import { startGate } from '../support/gate.ts'
import { get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { HttpClient, RecordingUpstream, Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

async function path(
  t: Test,
  options = '',
  respond?: Respond,
): Promise<{ upstream: RecordingUpstream; client: HttpClient; port: number }> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  const { port } = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"${options}`])
  return { upstream, client: await httpClient(t, port), port }
}

test('a request goes on with its own headers, in order and case, less those of one hop, and with ours', async (t) => {
  const { upstream, client } = await path(t)
  await client.get(
    get(
      '/',
      [
        'X-A: 1',
        'x-a: 2',
        'Cookie: a=1',
        'ACCEPT: */*',
        'Connection: X-Hop, keep-alive',
        'X-Hop: secret',
        'Keep-Alive: 5',
        'TE: trailers',
        'Trailer: X',
        'Proxy-Authorization: x',
        'Proxy-Connection: x',
        'Upgrade: h2c',
        'HTTP2-Settings: x',
        'X-Real-IP: 6.6.6.6',
        'X-Forwarded-For: 6.6.6.6',
        'x-forwarded-proto: https',
        'X-Forwarded-Host: evil',
        'X-Forwarded-User: root',
        'Forwarded: for=6.6.6.6',
        'X_Forwarded_For: 6.6.6.6',
        'x_real_ip: 6',
        'X-Forwarded_Proto: x',
        'X.Forwarded.For: 6',
        'Content_Length: 5',
        'Via: 1.0 fred',
        'via: 1.1 jim',
        'X_Mine: kept',
        '__proto__: kept',
        'constructor: kept',
        'Empty:',
      ].join('\r\n') + '\r\n',
    ),
  )
  t.same(upstream.requests[0]!.headers, [
    ['Host', 'a'],
    ['X-A', '1'],
    ['x-a', '2'],
    ['Cookie', 'a=1'],
    ['ACCEPT', '*/*'],
    ['Trailer', 'X'],
    ['Via', '1.0 fred'],
    ['via', '1.1 jim'],
    ['X_Mine', 'kept'],
    ['__proto__', 'kept'],
    ['constructor', 'kept'],
    ['Empty', ''],
    ['Sidegate-Hops', '1'],
    ['TE', 'trailers'],
    ['X-Forwarded-For', '127.0.0.1'],
    ['X-Forwarded-Proto', 'http'],
    ['X-Forwarded-Host', 'a'],
    ['Connection', 'keep-alive'],
  ])
})

test('from a trusted proxy the words on the client are added to, twins still dropped', async (t) => {
  const { upstream, client } = await path(t, ', http: { trustForwarded: ["10.0.0.0/8", "127.0.0.0/8"] }')
  await client.get(
    get(
      '/',
      'X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX_Forwarded_For: 6\r\n',
    ),
  )
  const { headers } = upstream.requests[0]!
  t.same(
    headers.filter(([name]) => /forwarded|real/i.test(name)),
    [
      ['X-Real-IP', '1.2.3.4'],
      ['X-Forwarded-For', '1.2.3.4, 5.6.7.8, 127.0.0.1'],
      ['X-Forwarded-Proto', 'https'],
      ['X-Forwarded-Host', 'b'],
      ['Forwarded', 'for=1.2.3.4, for=127.0.0.1;proto=http;host=a'],
    ],
  )
})

test('an answer comes back with its own headers, in order and case, less those of one hop', async (t) => {
  const answer = [
    'HTTP/1.1 200 Fine',
    'Set-Cookie: a=1',
    'set-cookie: b=2',
    'X-A: 1',
    'X-a: 2',
    'Date: then',
    'Server: old',
    'Connection: X-Hop',
    'X-Hop: secret',
    'Keep-Alive: timeout=5',
    'Proxy-Authenticate: x',
    'Upgrade: h2c',
    'Trailer: X',
    'Via: 1.1 inner',
    '__proto__: kept',
    'Content-Length: 2',
    '',
    'ok',
  ].join('\r\n')
  const { client } = await path(t, '', () => answer)
  const { line, headers } = await client.get(get())
  t.equal(line, 'HTTP/1.1 200 Fine')
  t.same(headers, [
    ['Set-Cookie', 'a=1'],
    ['set-cookie', 'b=2'],
    ['X-A', '1'],
    ['X-a', '2'],
    ['Date', 'then'],
    ['Server', 'old'],
    ['Trailer', 'X'],
    ['Via', '1.1 inner'],
    ['__proto__', 'kept'],
    ['Content-Length', '2'],
    ['Connection', 'keep-alive'],
  ])
})

test('a 426 says what Upgrade means, other answers do not', async (t) => {
  const { client } = await path(
    t,
    '',
    () =>
      'HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n',
  )
  const { headers } = await client.get(get())
  t.same(
    headers.filter(([name]) => /upgrade|connection/i.test(name)),
    [
      ['Upgrade', 'websocket'],
      ['Connection', 'keep-alive, Upgrade'],
    ],
  )
})

test('a reason phrase that may not be written is left out', async (t) => {
  const { client } = await path(t, '', () => 'HTTP/1.1 200 a\x7fb\r\nContent-Length: 2\r\n\r\nok')
  t.equal((await client.get(get())).line, 'HTTP/1.1 200 ')
})

test('a 204 announces no body, a 304 may say how long it would have been', async (t) => {
  let status = 204
  const { client } = await path(t, '', () => `HTTP/1.1 ${status} No\r\nContent-Length: 5\r\n\r\n`)
  t.equal((await client.get(get())).header('content-length'), null)
  status = 304
  t.equal((await client.get(get())).header('content-length'), '5')
})

test('an answer that would say what is not so is a 502', async (t) => {
  const bad = [
    'HTTP/1.1 200 OK\r\nContent-Length: 010\r\n\r\n0123456789',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.0 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n',
    `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(257)}Content-Length: 0\r\n\r\n`,
    'SSH-2.0-x\r\n\r\n',
  ]
  let next = 0
  const { port } = await path(t, '', () => bad[next])
  for (; next < bad.length; next++) {
    const client = await httpClient(t, port)
    const answer = await client.get(get())
    t.equal(answer.status, 502, bad[next]!)
    t.match(answer.body.toString(), /^protocol_error/, bad[next]!)
    client.wire.end()
    await client.wire.closed
  }
})

test('with http.via requests and answers say that they came through here', async (t) => {
  const { upstream, client } = await path(
    t,
    ', http: { via: on, forwarded: both }',
    () => 'HTTP/1.1 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 2\r\n\r\nok',
  )
  t.equal(
    (await client.get(get('/', 'Via: 1.0 fred\r\nvia: 1.1 jim\r\n'))).header('via'),
    '1.1 inner, 1.1 sidegate',
  )
  t.equal(upstream.requests[0]!.header('via'), '1.0 fred, 1.1 jim, 1.1 sidegate')
  t.equal(upstream.requests[0]!.header('forwarded'), 'for=127.0.0.1;proto=http;host=a')
})

test('private networks are trusted by that word, and what their proxies say is added to in their form', async (t) => {
  const { upstream, client } = await path(t, ', http: { trustForwarded: [private] }')
  await client.get(get('/', 'Forwarded: for=1.2.3.4\r\n'))
  t.same(
    upstream.requests[0]!.headers.filter(([name]) => /forwarded/i.test(name)),
    [['Forwarded', 'for=1.2.3.4, for=127.0.0.1;proto=http;host=a']],
  )
})
