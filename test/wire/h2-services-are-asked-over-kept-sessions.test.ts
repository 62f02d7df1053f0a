// Services that speak HTTP/2 (`upstream.protocol: h2c`), with clients that speak HTTP/1.1.

import type { Test } from 'tap'
import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  h2Service,
  HEADERS,
  OK,
  rawH2Service,
  RST_STREAM,
} from '../support/h2-services.ts'
import type { SeenFrame } from '../support/h2-services.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import type { Answer } from '../support/http.ts'
import { connect } from '../support/peers.ts'

const to = (port: number, more = ''): string =>
  `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c${more} }`

async function ask(t: Test, gate: Gate, head: string, body = ''): Promise<Answer> {
  const text = `${head}\r\nHost: app.example\r\nConnection: close\r\n${body === '' ? '' : `Content-Length: ${body.length}\r\n`}\r\n${body}`
  const { bytes } = await requestRaw(t, gate.port, Buffer.from(text, 'latin1'))
  return parseAnswer(bytes, { method: head.split(' ')[0]! })
}

test('requests and answers arrive as they are, pseudo header fields in place of the first line', async (t) => {
  const seen: string[][] = []
  const service = await h2Service(t, (stream, _headers, _flags, raw) => {
    seen.push(raw)
    stream.respond([
      ':status',
      '201',
      'x-two',
      'a',
      'x-two',
      'b',
      'set-cookie',
      'c=1',
      'set-cookie',
      'd=2',
    ] as never)
    stream.end('made')
  })
  const gate = await startGate(t, [to(service.port)])
  const answer = await ask(
    t,
    gate,
    'PUT /a%20b?c=d HTTP/1.1\r\nX-Odd: caf\xe9\r\nAccept: a\r\nAccept: b\r\nUser-Agent: a\r\nUser-Agent: b\r\nCookie: x=1; y=2\r\nTE: gzip\r\nX-Mine: 1\r\nKeep-Alive: 5',
    'body',
  )
  const of = (name: string): string[] =>
    seen[0]!.filter((_, index) => index % 2 === 1 && seen[0]![index - 1] === name)
  t.same(
    [':method', ':path', ':scheme', ':authority'].map((name) => of(name)),
    [['PUT'], ['/a%20b?c=d'], ['http'], ['app.example']],
  )
  t.same(of('x-odd'), ['caf\xe9'], 'a byte that is no ASCII')
  t.same(of('accept'), ['a', 'b'], 'each of a name that is there twice')
  t.same(of('user-agent'), ['a', 'b'], 'also of one that should be there once')
  t.same(of('cookie').join('; '), 'x=1; y=2')
  t.same(of('x-mine'), ['1'])
  t.same(of('x-forwarded-for'), ['127.0.0.1'])
  for (const name of ['te', 'connection', 'keep-alive', 'host', 'transfer-encoding'])
    t.same(of(name), [], name)
  t.equal(answer.status, 201)
  t.equal(String(answer.body), 'made')
  t.same(
    answer.headers.filter(([name]) => name === 'x-two' || name === 'set-cookie'),
    [
      ['x-two', 'a'],
      ['x-two', 'b'],
      ['set-cookie', 'c=1'],
      ['set-cookie', 'd=2'],
    ],
  )
})

test('a request that names no host gets that of the upstream', async (t) => {
  const service = await h2Service(t, (stream, { ':authority': authority }) => {
    stream.respond({ ':status': 200 })
    stream.end(authority)
  })
  const gate = await startGate(t, [to(service.port)])
  const { bytes } = await requestRaw(t, gate.port, 'GET / HTTP/1.0\r\n\r\n')
  t.equal(String(parseAnswer(bytes).body), `127.0.0.1:${service.port}`)
})

const inOneChunk = (bytes: number): string => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n0\r\n`

/** Less than a frame, and more: two. */
const bodies = [5, 20_000].flatMap((bytes) => [
  {
    what: `a length, ${bytes} bytes`,
    text: `Content-Length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`,
    isTrailed: false,
    frames: Math.ceil(bytes / 16_384),
  },
  {
    what: `a call of gRPC, ${bytes} bytes`,
    text: `Content-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n${inOneChunk(bytes)}\r\n`,
    isTrailed: false,
    frames: Math.ceil(bytes / 16_384),
  },
  {
    what: `chunks and a trailer, ${bytes} bytes`,
    text: `Transfer-Encoding: chunked\r\n\r\n${inOneChunk(bytes)}X-Sum: 1\r\n\r\n`,
    isTrailed: true,
    frames: Math.ceil(bytes / 16_384) + 1,
  },
])

for (const { what, text, isTrailed, frames } of bodies)
  test(`the last frame of a body is ${isTrailed ? 'that of its trailers' : 'DATA, and none is there for its end'}: ${what}`, async (t) => {
    const seen: number[][] = []
    const onFrame = (
      send: (bytes: Buffer) => void,
      { type, flags, stream }: Omit<SeenFrame, 'payload'>,
    ): void => {
      if (stream === 0 || type === RST_STREAM) return
      seen.push([type, flags])
      if ((flags & END_STREAM) !== 0) send(frame(HEADERS, END_HEADERS | END_STREAM, stream, OK))
    }
    let isHead = true
    const service = await rawH2Service(
      t,
      (send, stream) => {
        if (!isHead) onFrame(send, { type: HEADERS, flags: END_HEADERS | END_STREAM, stream })
        isHead = false
      },
      onFrame,
    )
    const gate = await startGate(t, [to(service.port)])
    const { bytes } = await requestRaw(
      t,
      gate.port,
      `POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${text}`,
    )
    t.equal(parseAnswer(bytes).status, 200)
    t.same(seen.at(-1), isTrailed ? [HEADERS, END_HEADERS | END_STREAM] : [DATA, END_STREAM])
    t.equal(seen.length, frames)
  })

test('trailers pass both ways, interim answers to the client', async (t) => {
  let trailers: unknown = null
  const service = await h2Service(t, (stream) => {
    stream.on('trailers', ({ 'x-sum': sum }) => (trailers = sum))
    stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' })
    stream.respond({ ':status': 200 }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-took': '5ms' }))
    stream.pipe(stream)
  })
  const gate = await startGate(t, [to(service.port)])
  const { bytes } = await requestRaw(
    t,
    gate.port,
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 17\r\n\r\n',
  )
  const answer = parseAnswer(bytes)
  t.same(answer.interim, [103])
  t.equal(String(answer.body), 'hello')
  t.ok(answer.isWhole)
  t.match(String(bytes), /\r\n0\r\nx-took: 5ms\r\n\r\n$/)
  t.equal(trailers, '17')
})

test('answers without a body are whole, and those with a length keep it', async (t) => {
  const service = await h2Service(t, (stream, { ':path': path, ':method': method }) => {
    if (path === '/204') stream.respond({ ':status': 204 }, { endStream: true })
    else if (path === '/304') stream.respond({ ':status': 304, etag: '"a"' }, { endStream: true })
    else if (path === '/empty') stream.respond({ ':status': 200 }, { endStream: true })
    else {
      stream.respond({ ':status': 200, 'content-length': '5' })
      if (method === 'HEAD') stream.end()
      else stream.end('hello')
    }
  })
  const gate = await startGate(t, [to(service.port)])
  for (const [head, length, body] of [
    ['GET /204 HTTP/1.1', null, ''],
    ['GET /304 HTTP/1.1', null, ''],
    ['GET /empty HTTP/1.1', '0', ''],
    ['GET /length HTTP/1.1', '5', 'hello'],
    ['HEAD /length HTTP/1.1', '5', ''],
  ] as const) {
    const answer = await ask(t, gate, head)
    t.equal(answer.header('content-length'), length, head)
    t.equal(answer.header('transfer-encoding'), null, head)
    t.equal(String(answer.body), body, head)
    t.ok(answer.isWhole, head)
  }
  t.equal(service.sessions.length, 1, 'one session for all of them')
  await eventually(() => service.ended.length === 5)
  t.same(service.ended, [0, 0, 0, 0, 0], 'none of them was reset')
})

test('one session carries as many streams as the service allows, and another is dialled for more', async (t) => {
  const service = await h2Service(
    t,
    (stream) => {
      stream.respond({ ':status': 200 })
      stream.write('x')
    },
    { settings: { maxConcurrentStreams: 2 } },
  )
  const gate = await startGate(t, [to(service.port)])
  const clients = await Promise.all(Array.from({ length: 5 }, () => connect(t, gate.port)))
  for (const client of clients) await client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => service.streams.length === 5)
  const perSession = service.sessions.map(
    (session) => service.streams.filter((stream) => stream.session === session).length,
  )
  t.same(perSession, [2, 2, 1])
  t.equal(gate.registry.size, 5)
  // The next request takes the place of a finished one.
  service.streams[0]!.end()
  await eventually(() => service.ended.length === 1)
  const next = await connect(t, gate.port)
  await next.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => service.streams.length === 6)
  t.equal(service.sessions.length, 3)
})

test('a session without streams goes after upstream.keepAlive, one with a stream stays', async (t) => {
  const service = await h2Service(t, (stream, { ':path': path }) => {
    stream.respond({ ':status': 200 })
    if (path !== '/long') stream.end('x')
    else stream.write('x')
  })
  const gate = await startGate(t, [to(service.port, ', keepAlive: 300ms')])
  const long = await connect(t, gate.port)
  await long.write('GET /long HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => service.streams.length === 1)
  await ask(t, gate, 'GET /1 HTTP/1.1')
  t.equal(service.sessions.length, 1)
  const goneAway = new Promise((resolve) => service.sessions[0]!.once('goaway', resolve))
  const startedAt = performance.now()
  long.reset()
  t.equal(await goneAway, 0, 'GOAWAY, NO_ERROR')
  t.ok(performance.now() - startedAt >= 290, `after ${performance.now() - startedAt} ms`)
})

test('a head is bounded by http.maxHeader and by nothing else', async (t) => {
  const long = 'x'.repeat(60_000)
  const service = await h2Service(
    t,
    (stream, { 'x-a': a, 'x-b': b, ':path': path }) => {
      if (path === '/long') stream.respond({ ':status': 200, 'x-c': a, 'x-d': b }, { endStream: true })
      else
        stream.respond(
          { ':status': 200, 'x-c': long, 'x-d': long, 'x-e': long.slice(35_000) },
          { endStream: true },
        )
    },
    { settings: { maxHeaderListSize: 1_000_000 }, maxSendHeaderBlockLength: 1_000_000 },
  )
  const gate = await startGate(t, [`${to(service.port)}, http: { maxHeader: 128KiB }`])
  const answer = await ask(t, gate, `GET /long HTTP/1.1\r\nX-A: ${long}\r\nX-B: ${long}`)
  t.equal(answer.header('x-c'), long)
  t.equal(answer.header('x-d'), long)
  t.equal((await ask(t, gate, 'GET /longer HTTP/1.1')).status, 502)
  t.match(await gate.end(1), { reason: 'message_too_big', side: 'upstream' })
})

test('a head of more lines than the engine takes ends its stream with that reason, and no other stream', async (t) => {
  const service = await h2Service(t, (stream, { ':path': path }) => {
    const lines = Array.from({ length: Number(path!.slice(1)) }, (_, index) => [`x-${index}`, 'y'])
    stream.respond({ ':status': 200, ...Object.fromEntries(lines) }, { endStream: true })
  })
  const gate = await startGate(t, [to(service.port)])
  t.equal((await ask(t, gate, 'GET /250 HTTP/1.1')).status, 200)
  t.equal((await ask(t, gate, 'GET /900 HTTP/1.1')).status, 502)
  t.match(await gate.end(1), { reason: 'protocol_error', side: 'upstream', detail: /256 header lines/ })
  t.equal((await ask(t, gate, 'GET /1100 HTTP/1.1')).status, 502)
  t.match(await gate.end(2), { reason: 'reset', side: 'upstream', detail: /ENHANCE_YOUR_CALM/ })
  t.equal((await ask(t, gate, 'GET /1 HTTP/1.1')).status, 200)
  t.equal(service.sessions.length, 1)
})
