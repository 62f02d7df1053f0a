// Requests of HTTP/2 with two readings in HTTP/1.1: each ends as a fault of its stream, and the service,
// which reads strictly and records every byte, gets none of it. Beside each stands a request that only looks
// like it, and passes whole.

import { test, type Test } from 'tap'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const { END_STREAM } = h2

async function line(t: Test) {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on }`,
  ])
  const client = await rawH2(t, gate.port)
  return { upstream, gate, client }
}

type Case = [what: string, fields: h2.Field[], body?: string | null]
const asks = (more: Record<string, string>, ...rest: h2.Field[]): h2.Field[] => h2.request(more, rest)
const posts = (more: Record<string, string>, ...rest: h2.Field[]): h2.Field[] =>
  h2.request({ ':method': 'POST', ...more }, rest)
const EVIL = 'GET /evil HTTP/1.1\r\nHost: a\r\n\r\n'

/** Fields with forbidden bytes: nghttp2 drops them, and Node does not report it. */
const leftOut: Case[] = [
  ['CR LF in a value', asks({ x: 'a\r\nx-evil: 1' })],
  ['a whole request in a value', asks({ x: `a\r\n\r\n${EVIL}` })],
  ['CR in a value', asks({ x: 'a\rb' })],
  ['LF in a value', asks({ x: 'a\nx-evil: 1' })],
  ['NUL in a value', asks({ x: 'a\0b' })],
  ['a control character in a value', asks({ x: 'a\x01b' })],
  ['DEL in a value', asks({ x: 'a\x7fb' })],
  ['white space before a value', asks({ x: ' a' })],
  ['white space behind a value', asks({ x: 'a\t' })],
  ['CR LF in a name', asks({ 'x\r\ny': 'a' })],
  ['a colon in a name', asks({ 'x:y': 'a' })],
  ['white space in a name', asks({ 'x y': 'a' })],
  ['white space behind a name', asks({ 'content-length ': '5' })],
  ['white space before a name', asks({ ' transfer-encoding': 'chunked' })],
  ['a name of other bytes', asks({ 'x\xff': 'a' })],
  ['an empty name', asks({}, ['', 'a'])],
  ['CR LF in a cookie', asks({ cookie: 'a=b\r\nx-evil: 1' })],
]

const wrong: Case[] = [
  ['upper case in a name', asks({ 'Content-length': '5' })],
  ['a space in :path', asks({ ':path': '/a b' })],
  ['a version in :path', asks({ ':path': '/ HTTP/1.1' })],
  ['a request in :path', asks({ ':path': `/ HTTP/1.1\r\nHost: a\r\n\r\n${EVIL}` })],
  ['a tab in :path', asks({ ':path': '/a\tb' })],
  ['other bytes in :path', asks({ ':path': '/\xe4' })],
  ['a whole URI as :path', asks({ ':path': 'http://evil/' })],
  [':path without a slash', asks({ ':path': 'a' })],
  ['an authority as :path', asks({ ':path': 'a:80' })],
  ['an empty :path', asks({ ':path': '' })],
  [':path * of a GET', asks({ ':path': '*' })],
  ['a space in :method', asks({ ':method': 'GET /evil' })],
  ['a request line in :method', asks({ ':method': 'GET /evil HTTP/1.1\r\nx: ' })],
  ['an empty :method', asks({ ':method': '' })],
  ['CR LF in :authority', asks({ ':authority': 'a\r\nx-evil: 1' })],
  ['a space in :authority', asks({ ':authority': 'a b' })],
  ['a user in :authority', asks({ ':authority': 'user@a' })],
  [':scheme of another protocol', asks({ ':scheme': 'file' })],
  ['a URI in :scheme', asks({ ':scheme': 'http://evil/?' })],
  ['Host beside another :authority', asks({ host: 'evil' })],
  [
    'two Hosts',
    h2.request({}, [
      ['host', 'a'],
      ['host', 'a'],
    ]),
  ],
  [
    'two Hosts, and no :authority',
    h2.request({ host: 'a' }, [['host', 'evil']]).filter(([name]) => name !== ':authority'),
  ],
  ['two :authority', asks({}, [':authority', 'a'])],
  ['two :path', h2.request().flatMap((field) => (field[0] === ':path' ? [field, field] : [field]))],
  ['an unknown pseudo-header field', h2.request().toSpliced(1, 0, [':evil', '1'])],
  ['a pseudo-header field behind others', [['x', '1'], ...h2.request()]],
  [':protocol without CONNECT', h2.request().toSpliced(1, 0, [':protocol', 'websocket'])],
  ['transfer-encoding', posts({ 'transfer-encoding': 'chunked' }), `0\r\n\r\n${EVIL}`],
  ['transfer-encoding of a GET', asks({ 'transfer-encoding': 'chunked' })],
  ['connection', asks({ connection: 'x-forwarded-for' })],
  ['upgrade', asks({ upgrade: 'websocket' })],
  ['upgrade to h2c', asks({ upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' })],
  ['keep-alive', asks({ 'keep-alive': 'timeout=5' })],
  ['proxy-connection', asks({ 'proxy-connection': 'keep-alive' })],
  ['te with more than trailers', asks({ te: 'trailers, chunked' })],
]

test('what could be read in two ways ends as a fault of its stream', async (t) => {
  const { upstream, client } = await line(t)
  for (const [what, fields, body] of wrong) {
    const end = await client.end(client.request(fields, body))
    const isRefused = 'reset' in end ? end.reset === h2.codes.PROTOCOL_ERROR : end.status === 400
    t.ok(isRefused, `${what}: ${'reset' in end ? `RST_STREAM ${end.reset}` : end.status}`)
    const marker = `/after/${encodeURIComponent(what)}`
    t.equal((await client.get({ ':path': marker })).status, 200, 'the connection goes on')
    const others = upstream.requests.splice(0).filter(({ target }) => target !== marker)
    // The gate begins a body with a false length in good faith, and cuts it when the length proves false.
    t.same(
      others.map(({ target, body: given }) => [target, String(given)]),
      [],
      `${what}: nothing reaches the service`,
    )
    t.equal(client.goaway, null)
  }
  t.notOk(
    upstream.problems.some((problem) => problem.includes('evil')),
    'nor does a part of it',
  )
})

/** False lengths, and the resulting bodies. */
const lies: Case[] = [
  ['a Content-Length of less', posts({ 'content-length': '2' }), EVIL],
  ['a Content-Length of more', posts({ 'content-length': '50' }), 'short'],
  ['a Content-Length of 0, and a body', posts({ 'content-length': '0' }), EVIL],
  ['a Content-Length without a body', posts({ 'content-length': '5' })],
  ['two lengths', posts({ 'content-length': '4' }, ['content-length', '5']), 'four'],
  ['two lengths that are the same', posts({ 'content-length': '4' }, ['content-length', '4']), 'four'],
  ['a list of lengths', posts({ 'content-length': '4, 4' }), 'four'],
  ['a length with a sign', posts({ 'content-length': '+4' }), 'four'],
  ['a negative length', posts({ 'content-length': '-1' }), 'four'],
  ['a length in hex', posts({ 'content-length': '0x4' }), 'four'],
  ['a length with a fraction', posts({ 'content-length': '4.0' }), 'four'],
  ['a length of 2^64 + 4', posts({ 'content-length': '18446744073709551620' }), 'four'],
  ['an empty length', posts({ 'content-length': '' }), 'four'],
]

test('a Content-Length that lies ends its stream or, where more came than it says, its connection', async (t) => {
  const { upstream, gate } = await line(t)
  for (const [what, fields, body] of lies)
    for (const isLate of [false, true]) {
      const client = await rawH2(t, gate.port)
      const id = client.request(fields, isLate && body !== undefined ? null : body)
      if (isLate && body !== undefined) {
        await client.ping()
        await client.send(h2.data(id, body!, END_STREAM))
      }
      const end = await client.end(id).catch(() => null)
      if (end === null) {
        t.ok(client.goaway!.code > 0, `${what}: GOAWAY ${client.goaway!.code}`)
      } else {
        const isRefused = 'reset' in end ? end.reset === h2.codes.PROTOCOL_ERROR : end.status === 400
        t.ok(isRefused, `${what}: ${'reset' in end ? `RST_STREAM ${end.reset}` : end.status}`)
      }
      client.wire.destroy()
      const fresh = await rawH2(t, gate.port)
      t.equal((await fresh.get({ ':path': '/after' })).status, 200)
      fresh.wire.destroy()
      // A request with a length of 0 is complete before its body comes.
      const others = upstream.requests
        .splice(0)
        .filter((seen) => seen.header('content-length') !== '0' || seen.body.length > 0)
      t.same(
        others.map(({ target }) => target),
        ['/after'],
        `${what}: the service gets no whole request`,
      )
    }
  t.notOk(upstream.problems.some((problem) => problem.includes('evil')))
})

test('fields with bytes that may not stand in one do not reach the service', async (t) => {
  const { upstream, client } = await line(t)
  await client.get()
  const plain = upstream.requests.splice(0)[0]!.headers
  for (const [what, fields] of leftOut) {
    const end = await client.end(client.request(fields))
    if ('reset' in end) t.equal(end.reset, h2.codes.PROTOCOL_ERROR, what)
    for (const seen of upstream.requests.splice(0))
      t.same(seen.headers, plain, `${what}: it has gone without`)
    t.same(upstream.problems, [])
  }
})

test('trailers that could be read in two ways, or as fields of the request, end their stream', async (t) => {
  const { upstream, client } = await line(t)
  const trailers: [string, h2.Field][] = [
    ['upper case', ['X', 'a']],
    ['a pseudo-header field', [':path', '/evil']],
    ['transfer-encoding', ['transfer-encoding', 'chunked']],
    ['connection', ['connection', 'close']],
  ]
  for (const [what, field] of trailers) {
    const id = client.request(posts({}), null)
    await client.send(h2.data(id, 'body'), h2.headers(id, h2.literals(field)))
    const end = await client.end(id)
    t.match(end, { reset: h2.codes.PROTOCOL_ERROR }, what)
    t.equal((await client.get()).status, 200)
    t.same(
      upstream.requests.splice(0).map(({ method }) => method),
      ['GET'],
      `${what}: the request is cut`,
    )
  }
  const left: h2.Field[] = [
    ['x', `a\r\n\r\n${EVIL}`],
    [`x: a\r\n\r\n${EVIL}`, 'a'],
  ]
  for (const field of left) {
    const id = client.request(posts({}), null)
    await client.send(h2.data(id, 'body'), h2.headers(id, h2.literals(field, ['x-fine', '1'])))
    await client.end(id)
    t.strictSame(
      upstream.requests.splice(0).map(({ trailers: all }) => all),
      [[['x-fine', '1']]],
      'what may not stand in a field has gone',
    )
  }
  for (const name of ['content-length', 'host', 'authorization', 'content-encoding']) {
    const id = client.request(posts({}), null)
    await client.send(h2.data(id, 'body'), h2.headers(id, h2.literals([name, '1'], ['x-fine', '1'])))
    await client.end(id)
    const seen = upstream.requests.splice(0)
    t.notOk(
      seen.some(({ trailers: all }) => all.some(([key]) => key.toLowerCase() === name)),
      `${name} is no trailer`,
    )
  }
})

test('the bytes of a body stay in it, whatever they look like', async (t) => {
  const { upstream, client } = await line(t)
  for (const body of [`0\r\n\r\n${EVIL}`, EVIL, '\r\n', '5\r\nhello\r\n0\r\n\r\n', ''])
    for (const length of [true, false]) {
      const id = client.request(posts(length ? { 'content-length': String(body.length) } : {}), body)
      t.equal((await client.answer(id)).status, 200)
      const seen = upstream.requests.splice(0)
      t.same(
        seen.map(({ target, body: given }) => [target, String(given)]),
        [['/', body]],
      )
    }
  const id = client.request(posts({}), null)
  for (const byte of `0\r\n\r\n${EVIL}`) await client.send(h2.data(id, byte))
  await client.send(h2.data(id, '', END_STREAM))
  await client.answer(id)
  t.same(
    upstream.requests.map(({ body }) => String(body)),
    [`0\r\n\r\n${EVIL}`],
    'byte by byte',
  )
  t.same(upstream.problems, [])
})

test('what only looks like it goes through as it is', async (t) => {
  const { upstream, client } = await line(t)
  const ask = async (fields: h2.Field[], body?: string) => {
    const { status } = await client.answer(client.request(fields, body))
    t.equal(status, 200)
    return upstream.requests.splice(0).at(-1)!
  }
  for (const value of ['', 'a b', 'a\tb', '\xe4\xff', 'a: b', ';,="\\', 'x'.repeat(8000)])
    t.equal((await ask(asks({ x: value }))).header('x'), value)
  for (const path of [
    '/',
    '/%20',
    '/?a=b c'.replace(' ', '+'),
    '/a//b/../c',
    "/~!$&'()*+,;=:@",
    '/\\',
    '/"<>^`{|}',
    '//evil',
  ])
    t.equal((await ask(asks({ ':path': path }))).target, path)
  t.equal((await ask(asks({ ':method': 'OPTIONS', ':path': '*' }))).target, '*')
  for (const method of ['PROPFIND', 'DELETE', 'get', 'M-SEARCH'])
    t.equal((await ask(asks({ ':method': method }))).method, method)
  for (const name of ['x_y', 'x.y', '1', "!#$%&'*+-.^_`|~"])
    t.equal((await ask(asks({ [name]: 'a' }))).header(name), 'a')
  t.equal(
    (await ask(asks({ ':authority': 'Example.com:8080', host: 'example.com:8080' })))
      .header('host')
      ?.toLowerCase(),
    'example.com:8080',
  )
  t.equal(
    (await ask(h2.request({ host: 'b' }).filter(([name]) => name !== ':authority'))).header('host'),
    'b',
  )
  t.equal(
    (await ask(asks({}, ['cookie', 'a=1'], ['x', '1'], ['cookie', 'b=2']))).header('cookie'),
    'a=1; b=2',
  )
  t.equal((await ask(posts({ 'content-length': '4' }), 'four')).header('content-length'), '4')
  t.equal((await ask(posts({ 'content-length': '4' }), 'four')).header('transfer-encoding'), null)
  t.equal((await ask(asks({ te: 'trailers' }))).header('te'), 'trailers')
  const id = client.request(posts({}), null)
  await client.send(h2.data(id, 'body'), h2.headers(id, h2.literals(['x-checksum', '1'])))
  await client.answer(id)
  t.same(upstream.requests.at(-1)?.trailers, [['x-checksum', '1']])
  t.same(upstream.problems, [])
})
