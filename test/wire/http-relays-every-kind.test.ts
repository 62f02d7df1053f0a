import { test } from 'tap'
import type { Test } from 'tap'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { chunked, get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { HttpClient, RecordingUpstream, Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen, refuser } from '../support/peers.ts'

async function path(
  t: Test,
  respond?: Respond,
  parts = {},
): Promise<{ upstream: RecordingUpstream; gate: Gate; client: HttpClient }> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], parts)
  return { upstream, gate, client: await httpClient(t, gate.port) }
}

for (const withoutSharedBuffer of [false, true]) {
  test(`requests of every kind arrive as they were sent, one after the other on one connection (shared buffer: ${!withoutSharedBuffer})`, async (t) => {
    const { upstream, client } = await path(t, undefined, { withoutSharedBuffer })
    const kinds: Array<[text: string, method: string, body: string]> = [
      [get(), 'GET', ''],
      [get('/', '', 'HEAD'), 'HEAD', ''],
      [get('/', 'Content-Length: 5\r\n', 'POST') + 'hello', 'POST', 'hello'],
      [get('/', 'Content-Length: 0\r\n', 'POST'), 'POST', ''],
      [get('/', '', 'POST'), 'POST', ''],
      [get('/', 'Transfer-Encoding: chunked\r\n', 'POST') + chunked('hel', 'lo'), 'POST', 'hello'],
      [get('/', 'Transfer-Encoding: chunked\r\n', 'POST') + chunked(), 'POST', ''],
      [get('/', 'Transfer-Encoding: Chunked\r\n', 'PUT') + '5;ext="a"\r\nhello\r\n0\r\n\r\n', 'PUT', 'hello'],
      [get('/', 'Content-Length: 3\r\n', 'DELETE') + 'abc', 'DELETE', 'abc'],
      [get('/', 'Transfer-Encoding: chunked\r\n', 'DELETE') + chunked('abc'), 'DELETE', 'abc'],
      [get('/', 'Transfer-Encoding: chunked\r\n', 'OPTIONS') + chunked('abc'), 'OPTIONS', 'abc'],
      [get('/', 'Content-Length: 3\r\n') + 'abc', 'GET', 'abc'],
      [get('/', 'Transfer-Encoding: chunked\r\n') + chunked('abc'), 'GET', 'abc'],
      [get('/', '', 'PROPFIND'), 'PROPFIND', ''],
      [get('/', '', 'PATCH'), 'PATCH', ''],
    ]
    for (const [index, [text, method, body]] of kinds.entries()) {
      const answer = await client.get(text, { method })
      t.equal(answer.status, 200, text)
      t.equal(answer.header('connection'), 'keep-alive')
      t.match(upstream.requests[index], { method, body: Buffer.from(body) }, text)
      t.equal(answer.body.toString(), method === 'HEAD' ? '' : 'ok')
    }
    t.same(upstream.problems, [])
    t.equal(upstream.requests.length, kinds.length)
  })
}

test('answers of every kind arrive as they were sent', async (t) => {
  const answers: Array<[text: string, status: number, body: string]> = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 200, 'hello'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200, ''],
    [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked('hel', 'lo')}`, 200, 'hello'],
    [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked()}`, 200, ''],
    ['HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
    ['HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n', 304, ''],
    ['HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n', 304, ''],
    ['HTTP/1.1 404 \r\nContent-Length: 2\r\n\r\nno', 404, 'no'],
    ['HTTP/1.1 599 Odd Words\r\nContent-Length: 2\r\n\r\nno', 599, 'no'],
    [
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      200,
      'ok',
    ],
    ['HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
  ]
  let next = 0
  const { client, gate } = await path(t, () => answers[next]![0])
  for (const [text, status, body] of answers) {
    const answer = await client.get(get())
    t.same(
      [answer.status, answer.body.toString(), answer.interim],
      [status, body, text.includes(' 102 ') ? [102] : []],
      text,
    )
    t.ok(answer.line.startsWith(`HTTP/1.1 ${status} `), answer.line)
    t.equal(
      answer.header('transfer-encoding'),
      text.includes('chunked') && status === 200 ? 'chunked' : null,
      text,
    )
    next++
  }
  client.wire.end()
  t.match(await gate.end(), { reason: 'eof', side: 'client', phase: 'relay' })
})

test('an answer that ends with the connection of the upstream ends with its last chunk', async (t) => {
  const { client, gate } = await path(t, ({ wire }) => wire.end('HTTP/1.1 200 OK\r\n\r\nall of it'))
  for (let i = 0; i < 3; i++) {
    const answer = await client.get(get())
    t.equal(answer.header('transfer-encoding'), 'chunked')
    t.equal(answer.body.toString(), 'all of it')
  }
  t.equal(gate.lines.length, 0)
})

test('trailers pass both ways, less those that would change what was said before them', async (t) => {
  const bad =
    'X-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6\r\nHost: evil\r\nAuthorization: x\r\nContent-Type: a\r\n'
  const { client, upstream } = await path(
    t,
    () =>
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n${bad}\r\n`,
  )
  await client.send(
    `${get('/', 'Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n', 'POST')}2\r\nab\r\n0\r\nX-Sum: 7\r\n${bad}\r\n`,
  )
  const text = (await client.wire.readUntil('0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n')).toString()
  t.match(text, /\r\nTransfer-Encoding: chunked\r\n/)
  t.same(upstream.requests[0]!.trailers, [['X-Sum', '7']])
  t.equal((await client.get(get())).status, 200)
})

test('Expect: 100-continue is answered by the service, with 100 or with what it says instead', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await listen(t, async (wire) => {
    for (;;) {
      const head = (await wire.readUntil('\r\n\r\n').catch(() => null))?.toString()
      if (head === undefined) return wire.end()
      await wire.write(
        head.startsWith('POST /no') || !head.includes('Expect: 100-continue')
          ? 'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'
          : 'HTTP/1.1 100 Continue\r\n\r\n',
      )
      if (head.startsWith('POST /no')) continue
      await wire.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n${(await wire.read(5)).toString()}`)
    }
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  await client.send(get('/', 'Expect: 100-continue\r\nContent-Length: 5\r\n', 'POST'))
  t.equal((await client.wire.readUntil('\r\n\r\n')).toString(), 'HTTP/1.1 100 Continue\r\n\r\n')
  await client.send('hello')
  t.match(await client.answer(), { status: 200, body: Buffer.from('hello') })
  const refused = await client.get(get('/no', 'Expect: 100-continue\r\nContent-Length: 5\r\n', 'POST'))
  t.same([refused.status, refused.interim, refused.header('connection')], [401, [], 'close'])
})

test('Expect: 100-continue with the service down is a 502, and no 100', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${refuser(t).port}"], retryFor: off }`,
  ])
  const client = await httpClient(t, gate.port)
  const answer = await client.get(get('/', 'Expect: 100-continue\r\nContent-Length: 5\r\n', 'POST'))
  t.same([answer.status, answer.interim], [502, []])
})

test('early hints pass on with their headers, to those who can know them', async (t) => {
  const hints =
    'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: <<bad\r\nX-A: b\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n'
  const { client, gate } = await path(
    t,
    () => `${hints.repeat(20)}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`,
  )
  const answer = await client.get(get())
  t.same([answer.status, answer.interim], [200, Array(16).fill(103)])
  const old = await httpClient(t, gate.port)
  t.same((await old.get('GET / HTTP/1.0\r\nHost: a\r\n\r\n')).interim, [])
  await client.send(get())
  t.equal(
    (await client.wire.readUntil('\r\n\r\n')).toString(),
    'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: <<bad\r\nX-A: b\r\n\r\n',
  )
})

test('HTTP/1.0 clients get no chunks, and keep their connection where the length is known', async (t) => {
  const { gate } = await path(t, ({ target }) =>
    target === '/chunked'
      ? `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked('ok')}`
      : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  )
  const client = await httpClient(t, gate.port)
  const keep = (target: string): string => `GET ${target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`
  t.match(await client.get(keep('/')), { status: 200, body: Buffer.from('ok') })
  const last = await client.get(keep('/chunked'))
  t.match(last, { status: 200, body: Buffer.from('ok') })
  t.same([last.header('connection'), last.header('transfer-encoding')], ['close', null])
  const plain = await httpClient(t, gate.port)
  t.match(await plain.get('GET / HTTP/1.0\r\n\r\n'), { status: 200, body: Buffer.from('ok') })
  t.equal((await plain.wire.closed).kind, 'fin')
})

test('a body behind the answer to a HEAD belongs to nobody: the answer stands, and the next one is its own', async (t) => {
  const { client, upstream } = await path(t, ({ method }) =>
    method === 'HEAD'
      ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
      : 'HTTP/1.1 201 Next\r\nContent-Length: 0\r\n\r\n',
  )
  t.equal((await client.get(get('/', '', 'HEAD'), { method: 'HEAD' })).status, 200)
  t.equal((await client.get(get())).status, 201)
  t.same(
    upstream.requests.map(({ connection }) => connection),
    [0, 1],
  )
})
