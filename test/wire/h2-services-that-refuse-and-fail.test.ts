// The ways in which a service that speaks HTTP/2 can end a request, and the answer of each for its HTTP/1.1
// client.

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
  GOAWAY,
  h2Service,
  HEADERS,
  OK,
  rawH2Service,
  RST_STREAM,
  setting,
  word,
} from '../support/h2-services.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import type { Answer } from '../support/http.ts'
import { connect, listen } from '../support/peers.ts'

const REFUSED_STREAM = 7
const CANCEL = 8

const to = (port: number, more = ''): string =>
  `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c, retryFor: off }${more}`

async function ask(t: Test, gate: Gate, head = 'GET / HTTP/1.1', body = ''): Promise<Answer> {
  const text = `${head}\r\nHost: a\r\nConnection: close\r\n${body === '' ? '' : `Content-Length: ${body.length}\r\n`}\r\n${body}`
  return parseAnswer((await requestRaw(t, gate.port, text)).bytes)
}

test('a head over what the service takes is a 431, for its client alone', async (t) => {
  const MAX_HEADER_LIST_SIZE = 6
  const asked: number[] = []
  // Like Netty, it would end the session for it.
  const { port } = await rawH2Service(
    t,
    (send, stream) => {
      asked.push(stream)
      send(frame(HEADERS, END_HEADERS | END_STREAM, stream, OK))
    },
    () => {},
    setting(MAX_HEADER_LIST_SIZE, 8192),
  )
  const gate = await startGate(t, [to(port)])
  t.equal((await ask(t, gate, `GET / HTTP/1.1\r\nX-Large: ${'x'.repeat(7500)}`)).status, 200)
  for (const body of ['', 'body']) {
    const answer = await ask(t, gate, `POST / HTTP/1.1\r\nX-Large: ${'x'.repeat(9000)}`, body)
    t.equal(answer.status, 431)
    t.match(
      String(answer.body),
      /^message_too_big: a request head of 9\d{3} bytes for a service that takes 8192 /,
    )
  }
  const call = await ask(
    t,
    gate,
    `POST / HTTP/1.1\r\nContent-Type: application/grpc\r\nX-Large: ${'x'.repeat(9000)}`,
    'body',
  )
  t.same([call.status, call.header('grpc-status')], [200, '8'])
  t.match(await gate.end(1), { reason: 'message_too_big', side: 'client' })
  t.equal((await ask(t, gate)).status, 200)
  t.same(asked, [1, 3], 'over one session')
})

test('a request that was refused unseen is sent again with its body, also a POST', async (t) => {
  let refused = 0
  const service = await h2Service(t, (stream) => {
    if (refused++ < 2) return stream.close(REFUSED_STREAM)
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  })
  const gate = await startGate(t, [to(service.port)])
  const answer = await ask(t, gate, 'POST / HTTP/1.1', 'once more')
  t.equal(answer.status, 200)
  t.equal(String(answer.body), 'once more')
  t.equal(service.streams.length, 3)
})

test('one that is refused again and again is a 502', async (t) => {
  const service = await h2Service(t, (stream) => stream.close(REFUSED_STREAM))
  const gate = await startGate(t, [to(service.port)])
  const answer = await ask(t, gate, 'POST / HTTP/1.1', 'once more')
  t.equal(answer.status, 502)
  t.equal(service.streams.length, 3)
  t.match(await gate.end(), { reason: 'reset', side: 'upstream', detail: /REFUSED_STREAM/ })
})

test('one with more body than is remembered is not sent again', async (t) => {
  const service = await h2Service(t, (stream) => {
    let bytes = 0
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > 16_384) stream.close(REFUSED_STREAM)
    })
  })
  const gate = await startGate(t, [to(service.port)])
  t.equal((await ask(t, gate, 'POST / HTTP/1.1', 'x'.repeat(20_000))).status, 502)
  t.equal(service.streams.length, 1)
})

test('a GOAWAY that leaves a stream out sends it to another session; those that it names go on', async (t) => {
  const service = await h2Service(t, (stream, { ':path': path }) => {
    if (path === '/first' || service.sessions.length > 1) {
      stream.respond({ ':status': 200 })
      if (path !== '/first') stream.end('second')
      else stream.write('begun ')
      return
    }
    stream.session!.goaway(0, service.streams[0]!.id)
  })
  const gate = await startGate(t, [to(service.port)])
  const first = await connect(t, gate.port)
  await first.write('GET /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  await eventually(() => first.bytes > 0)
  const second = await ask(t, gate, 'POST /second HTTP/1.1', 'x')
  t.equal(String(second.body), 'second')
  t.equal(service.sessions.length, 2)
  service.streams[0]!.end('and done')
  await first.closed
  t.equal(String(parseAnswer(await first.received).body), 'begun and done')
})

test('an error GOAWAY ends what is under way, and says which', async (t) => {
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.write('begun')
    stream.session!.goaway(11, stream.id)
  })
  const gate = await startGate(t, [to(service.port)])
  const answer = await ask(t, gate)
  t.notOk(answer.isWhole)
  t.match(await gate.end(), { reason: 'reset', side: 'upstream', detail: /GOAWAY.*ENHANCE_YOUR_CALM/ })
})

test('an error GOAWAY that leaves a stream out sends it to another session', async (t) => {
  let asked = 0
  const service = await rawH2Service(t, (send, stream) => {
    if (asked++ === 0) return send(frame(GOAWAY, 0, 0, Buffer.concat([word(0), word(11)])))
    send(Buffer.concat([frame(HEADERS, END_HEADERS, stream, OK), frame(DATA, END_STREAM, stream, 'here')]))
  })
  const gate = await startGate(t, [to(service.port)])
  t.equal(String((await ask(t, gate, 'POST / HTTP/1.1', 'x')).body), 'here')
  t.equal(service.connections.length, 2)
})

test('a body that grows while another session is dialled is sent whole', async (t) => {
  const service = await h2Service(t, (stream) => {
    if (service.streams.length === 1) {
      stream.session!.goaway()
      return stream.close(REFUSED_STREAM)
    }
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  })
  const greetings: (() => Promise<void>)[] = []
  const front = await listen(t, (wire) => {
    greetings.push(async () => {
      const behind = await connect(t, service.port)
      for (const [from, to] of [
        [wire, behind],
        [behind, wire],
      ] as const) {
        void to.write(from.takeUnread())
        from.socket.on('data', (chunk) => void to.write(chunk))
      }
    })
  })
  const gate = await startGate(t, [to(front.port)])
  const client = await connect(t, gate.port)
  await client.write('POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 40003\r\n\r\none')
  await eventually(() => greetings.length === 1)
  await greetings[0]!()
  await eventually(() => greetings.length === 2)
  await client.write('x'.repeat(20_000))
  await eventually(() => gate.open().toUpstream.received > 20_000)
  await greetings[1]!()
  await client.write('y'.repeat(20_000))
  await client.closed
  const answer = parseAnswer(await client.received)
  t.equal(answer.status, 200)
  t.ok(String(answer.body) === `one${'x'.repeat(20_000)}${'y'.repeat(20_000)}`, `${answer.body.length} bytes`)
  t.equal(service.streams.length, 2)
})

for (const { what, end } of [
  {
    what: 'names it and goes',
    end: (stream: number) => frame(GOAWAY, 0, 0, Buffer.concat([word(stream), word(11)])),
  },
  {
    what: 'has begun to answer it',
    end: (stream: number) =>
      Buffer.concat([
        frame(HEADERS, END_HEADERS, stream, OK),
        frame(RST_STREAM, 0, stream, word(REFUSED_STREAM)),
      ]),
  },
])
  test(`a POST is not sent again to a service that ${what}`, async (t) => {
    let asked = 0
    const service = await rawH2Service(t, (send, stream) => {
      asked++
      send(end(stream))
    })
    const gate = await startGate(t, [to(service.port)])
    t.notOk((await ask(t, gate, 'POST / HTTP/1.1', 'x')).isWhole && asked !== 1)
    t.match(await gate.end(), { reason: 'reset', side: 'upstream' })
    t.equal(asked, 1)
  })

test('a GET that ends each session it is asked on is a 502 after the second', async (t) => {
  let asked = 0
  const service = await rawH2Service(t, (send, stream) => {
    const answer = [frame(HEADERS, END_HEADERS, stream, OK), frame(DATA, END_STREAM, stream, 'x')]
    // A frame for a stream that was never opened is an error of the connection.
    send(asked++ === 0 ? Buffer.concat(answer) : frame(DATA, 0, stream + 100, 'x'))
  })
  const gate = await startGate(t, [to(service.port)])
  t.equal((await ask(t, gate)).status, 200)
  t.equal((await ask(t, gate)).status, 502)
  t.equal(asked, 3)
  t.equal(service.connections.length, 2)
})

for (const [name, code] of [
  ['NO_ERROR', 0],
  ['INTERNAL_ERROR', 2],
  ['CANCEL', CANCEL],
] as const)
  test(`an answer that RST_STREAM ${name} cuts is never passed off as whole`, async (t) => {
    const service = await rawH2Service(t, (send, stream) =>
      send(
        Buffer.concat([
          frame(HEADERS, END_HEADERS, stream, OK),
          frame(DATA, 0, stream, 'half of '),
          frame(RST_STREAM, 0, stream, word(code)),
        ]),
      ),
    )
    const gate = await startGate(t, [to(service.port)])
    const answer = await ask(t, gate)
    t.equal(String(answer.body), 'half of ')
    t.notOk(answer.isWhole)
    t.match(await gate.end(), { reason: 'reset', side: 'upstream', detail: new RegExp(name) })
  })

test('a client that leaves cancels its stream, and its neighbour goes on', async (t) => {
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.write('x')
  })
  const gate = await startGate(t, [to(service.port)])
  const clients = await Promise.all([connect(t, gate.port), connect(t, gate.port)])
  for (const client of clients) {
    await client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await eventually(() => client.bytes > 0)
  }
  clients[0].reset()
  await eventually(() => service.ended.length === 1)
  t.same(service.ended, [CANCEL])
  service.streams[1]!.end('y')
  await clients[1].closed
  t.ok(parseAnswer(await clients[1].received).isWhole)
  t.equal(service.sessions.length, 1)
})

test('an early answer ends the request, and what is left of it is cancelled', async (t) => {
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 403 })
    stream.end('no')
  })
  const gate = await startGate(t, [to(service.port)])
  const client = await connect(t, gate.port)
  await client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbegin')
  await client.closed
  const answer = parseAnswer(await client.received)
  t.equal(answer.status, 403)
  t.ok(answer.isWhole)
})

test('a service that does not speak HTTP/2 is a 502 that says so', async (t) => {
  const service = await listen(t, (wire) => {
    wire.socket.once('data', () => wire.socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  })
  const gate = await startGate(t, [to(service.port)])
  t.equal((await ask(t, gate)).status, 502)
  t.match(await gate.end(), {
    reason: 'connect_failed',
    side: 'upstream',
    detail: /no HTTP\/2 there \(upstream\.protocol: h2c\)/,
  })
})

test('one that accepts and does not greet is a 504, after deadlines.connect', async (t) => {
  const service = await listen(t, () => {})
  const gate = await startGate(t, [to(service.port, ', deadlines: { connect: 200ms }')])
  t.equal((await ask(t, gate)).status, 504)
  t.match(await gate.end(), { reason: 'connect_timeout', side: 'upstream' })
})

test('an upgrade is answered with 501: HTTP/2 has none', async (t) => {
  const service = await h2Service(t, (stream) => stream.respond({ ':status': 200 }, { endStream: true }))
  const gate = await startGate(t, [to(service.port)])
  const { bytes } = await requestRaw(
    t,
    gate.port,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  t.equal(parseAnswer(bytes).status, 501)
  t.equal(service.streams.length, 0)
})
