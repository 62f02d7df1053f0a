// A stream as an endpoint with its owner: the engine's calls of it, and its promises to the engine.

import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import net from 'node:net'
import type { Test } from 'tap'
import { test } from 'tap'
import { http2Codes, makeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { eventually } from '../support/eventually.ts'
import {
  DATA,
  END_HEADERS,
  frame,
  GOAWAY,
  h2Service,
  HEADERS,
  OK,
  rawH2Service,
  RST_STREAM,
  word,
} from '../support/h2-services.ts'
import type { H2Service, OnStream } from '../support/h2-services.ts'
import { askAt } from '../support/upstream-streams.ts'
import type { Streams } from '../support/upstream-streams.ts'
import type { Upstream } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'

async function setUp(t: Test, onStream: OnStream, options = {}): Promise<Streams & { service: H2Service }> {
  const service = await h2Service(t, onStream, options)
  return { service, ...askAt(t, service.port) }
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n'
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n'

test('an owner that pauses gets no more, neither head nor body, until it resumes', async (t) => {
  const { open, service } = await setUp(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end('body')
  })
  const { endpoint, owner, write } = await open()
  endpoint.pause()
  write(GET)
  await eventually(() => service.streams.length === 1)
  await sleep(50)
  t.equal(owner.got, '')
  endpoint.resume()
  t.equal(owner.got, '', 'never from within')
  await eventually(() => owner.got.endsWith('0\r\n\r\n'))
  t.match(owner.got, /^HTTP\/1\.1 200 OK\r\n.*4\r\nbody\r\n0\r\n\r\n$/s)
})

test('each read of an owner that pauses at every one is followed by the next, in order', async (t) => {
  const { open } = await setUp(t, (stream) => {
    stream.respond({ ':status': 200, 'content-length': '300000' })
    stream.end(Buffer.alloc(300_000, '0123456789'))
  })
  const { endpoint, owner, write } = await open()
  owner.mayRead = false
  write(GET)
  let before = -1
  await eventually(async () => {
    if (owner.got.length === before) await turn()
    before = owner.got.length
    endpoint.resume()
    return owner.got.length >= 300_000 && owner.got.endsWith('789')
  })
  t.equal(owner.got.slice(owner.got.indexOf('\r\n\r\n') + 4), '0123456789'.repeat(30_000))
})

for (const isAtOnce of [true, false])
  test(`while nobody reads, a window of the stream is all that comes, ${isAtOnce ? 'from its head on' : 'also in the middle'}`, async (t) => {
    let written = 0
    const { open } = await setUp(t, (stream) => {
      stream.respond({ ':status': 200 })
      const more = (): void => {
        while (!stream.destroyed && stream.write(Buffer.alloc(1000))) written += 1000
      }
      stream.on('drain', more)
      more()
    })
    const { endpoint, owner, write } = await open()
    owner.mayRead = !isAtOnce
    write(GET)
    await eventually(() => owner.got.length > (isAtOnce ? 0 : 200_000))
    owner.mayRead = false
    const before = owner.got.length
    await sleep(200)
    t.ok(written - before < 65_535 + 2 * 16_384 + 2000, `${written} bytes`)
    endpoint.close('drop')
  })

test('a service that goes leaves what it has sent to an owner that reads it later', async (t) => {
  for (const how of ['close', 'destroy', 'error'] as const) {
    const { open, service, sessions } = await setUp(t, (stream) => {
      stream.respond({ ':status': 200 })
      stream.end(Buffer.alloc(50_000, 'answer '))
    })
    const { endpoint, owner, write } = await open()
    owner.mayRead = false
    write(GET)
    await eventually(() => service.ended.length === 1 && owner.got !== '')
    const [session] = service.sessions
    if (how === 'close') session!.close()
    else if (how === 'destroy') session!.destroy()
    else session!.goaway(2)
    await eventually(() => sessions.counts.open === 0)
    await sleep(50)
    t.equal(owner.closed, undefined, `${how}: it is not over`)
    owner.mayRead = true
    endpoint.resume()
    await eventually(() => owner.got.endsWith('0\r\n\r\n'), { what: `the end (${how})` })
    const data = owner.got.split('\r\n').filter((line) => /^[answer ]{20}/.test(line))
    t.equal(data.join('').length, 50_000, how)
    t.equal(owner.closed, undefined, `${how}: it was whole`)
  }
})

/** Sends the head of an answer and 32,000 bytes of its body, and nothing more. */
const halfway = (t: Test): Promise<Upstream> =>
  rawH2Service(t, (send, stream) => {
    send(frame(HEADERS, END_HEADERS, stream, OK))
    for (let i = 0; i < 2; i++) send(frame(DATA, 0, stream, Buffer.alloc(16_000, 'x')))
  })

/** A stream of it whose owner reads the head and then nothing. */
async function slowly(t: Test) {
  const service = await halfway(t)
  const { open, sessions } = askAt(t, service.port)
  const { endpoint, owner, write } = await open()
  owner.mayRead = false
  write(GET)
  await eventually(() => owner.got !== '' && endpoint.unread === 32_000)
  return { service, sessions, endpoint, owner }
}

for (const { how, cut, code } of [
  {
    how: 'RST_STREAM',
    cut: ({ socket }) => socket.write(frame(RST_STREAM, 0, 1, word(8))),
    code: 'RST_STREAM',
  },
  { how: 'FIN', cut: ({ socket }) => socket.end(), code: 'ECONNRESET' },
  { how: 'RST', cut: (wire) => wire.reset(), code: 'ECONNRESET' },
  {
    how: 'GOAWAY',
    cut: ({ socket }) => socket.write(frame(GOAWAY, 0, 0, Buffer.concat([word(1), word(2)]))),
    code: 'GOAWAY',
  },
] as { how: string; cut: (service: Wire) => void; code: string }[])
  test(`an answer that ${how} cuts is read up to there, also by a slow owner, who is told behind it`, async (t) => {
    const { service, sessions, endpoint, owner } = await slowly(t)
    cut(await service.connection())
    await eventually(() => sessions.counts.streams === 0)
    t.equal(owner.closed, undefined)
    t.ok(endpoint.unread! >= 32_000, `${endpoint.unread} bytes are to be read`)
    while (owner.closed === undefined) {
      endpoint.resume()
      await turn()
    }
    t.equal(owner.got.match(/x/g)?.length, 32_000)
    t.match(owner.closed, { code })
  })

test('an owner that parts from an answer before it has read it is told once, of its own end, and nothing is kept', async (t) => {
  for (const isCut of [false, true]) {
    const { service, sessions, endpoint, owner } = await slowly(t)
    if (isCut) {
      ;(await service.connection()).socket.end()
      await eventually(() => sessions.counts.streams === 0)
    }
    endpoint.resume()
    endpoint.pause()
    const { got } = owner
    endpoint.close('drop')
    if (isCut) t.equal(endpoint.unread, 0)
    await eventually(() => sessions.counts.streams === 0 && owner.ends > 0)
    await turn()
    t.same([owner.ends, owner.closed, owner.got, endpoint.unread], [1, null, got, 0], `cut: ${isCut}`)
  }
})

test('what waits for the window is queued, falls as it opens, and is told of', async (t) => {
  const { open, service } = await setUp(t, () => {})
  const { endpoint, owner, write } = await open()
  write(POST)
  write('x'.repeat(100_000))
  await eventually(() => endpoint.queued <= 100_000 - 49_152)
  await sleep(50)
  const { queued } = endpoint
  t.ok(queued >= 100_000 - 65_535, `${queued} bytes are over the window`)
  t.equal(endpoint.unacked, queued)
  const before = owner.progress
  service.streams[0]!.resume()
  await eventually(() => endpoint.queued === 0)
  t.ok(owner.progress > before)
})

test('closing cancels, is told of later, and a second call does nothing', async (t) => {
  const { open, service } = await setUp(t, (stream) => stream.respond({ ':status': 200 }))
  for (const manner of ['flush', 'drop', 'deliver', 'reset'] as const) {
    const { endpoint, owner, write } = await open()
    write(GET)
    await eventually(() => owner.got !== '')
    owner.isInside = true
    endpoint.close(manner)
    endpoint.close('reset')
    owner.isInside = false
    t.ok(endpoint.isClosed)
    await eventually(() => owner.closed !== undefined)
    t.equal(owner.closed, null)
  }
  await eventually(() => service.ended.length === 4)
  t.same(service.ended, [8, 8, 8, 8])
})

test('an answer that is whole is not reset, also where END_STREAM comes behind it', async (t) => {
  const { open, service } = await setUp(t, (stream) => {
    stream.respond({ ':status': 200, 'content-length': '4' })
    stream.write('body')
    setTimeout(() => stream.end(), 100)
  })
  const { endpoint, owner, write } = await open()
  write(GET)
  await eventually(() => owner.got.endsWith('body'))
  endpoint.close('drop')
  await eventually(() => service.ended.length === 1)
  t.same(service.ended, [0])
})

test('an owner that resumes before the head loses nothing of what comes with it', async (t) => {
  const { open } = await setUp(t, (stream) => {
    stream.respond({ ':status': 200, 'content-length': '4' })
    stream.end('body')
  })
  for (let nth = 0; nth < 3; nth++) {
    const { endpoint, owner, write } = await open()
    endpoint.pause()
    write(GET)
    endpoint.resume()
    await eventually(() => owner.got.endsWith('body'))
    endpoint.close('flush')
  }
})

test('a request whose answer has begun is not sent again, though it was refused then', async (t) => {
  const { open, service } = await setUp(t, (stream) => {
    stream.additionalHeaders({ ':status': 103 })
    setImmediate(() => stream.close(http2Codes.REFUSED_STREAM))
  })
  const { endpoint, owner, write } = await open()
  write(GET)
  await eventually(() => owner.closed !== undefined)
  t.ok(endpoint.isClosed)
  t.match(owner.closed, { code: 'RST_STREAM', message: 'REFUSED_STREAM' })
  t.match(owner.got, /^HTTP\/1\.1 103 /)
  t.equal(service.streams.length, 1)
})

test('one that is sent again counts on the session that it is sent on', async (t) => {
  let nth = 0
  const { open, service, sessions } = await setUp(t, (stream) => {
    if (nth++ === 0) stream.close(http2Codes.REFUSED_STREAM)
    else stream.respond({ ':status': 200 })
  })
  const { endpoint, owner, write } = await open()
  write(GET)
  await eventually(() => owner.got !== '')
  t.same([service.streams.length, sessions.counts.streams], [2, 1])
  endpoint.close('drop')
  await eventually(() => sessions.counts.streams === 0)
})

test('a place on a session is given back by a stream that never asked', async (t) => {
  const { open, service } = await setUp(t, (stream) => stream.respond({ ':status': 200 }), {
    settings: { maxConcurrentStreams: 1 },
  })
  for (let i = 0; i < 3; i++) {
    const { endpoint, write } = await open()
    endpoint.close('drop')
    write(GET)
    endpoint.writeHead!(GET)
  }
  t.equal(service.sessions.length, 1)
  const { owner, write } = await open()
  write(GET)
  await eventually(() => owner.got !== '')
  t.equal(service.streams.length, 1, 'what is closed asks for nothing')
})

test('a service that closes right after it has accepted is no session', async (t) => {
  const server = net.createServer((socket) => socket.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { sessions, connection } = askAt(t, (server.address() as net.AddressInfo).port)
  const close = await new Promise<Close>((resolve) =>
    sessions.open(connection, 2000, { onStream: () => t.fail('a stream'), onDialFailed: resolve }),
  )
  t.match(close, { ...makeClose('connect_failed', 'upstream', 'connect'), detail: /no HTTP\/2 there/ })
})
