// A stream as an endpoint, in the hands of its owner: what the engine does with it, and what it may rely on.

import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import net from 'node:net'
import type { Test } from 'tap'
import { test } from 'tap'
import { Sweep, systemClock } from '../../src/core/clock.ts'
import { http2Codes, makeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import type { Endpoint, EndpointOwner } from '../../src/endpoint/endpoint.ts'
import { UpstreamSessions } from '../../src/http2/upstream-sessions.ts'
import { Dial } from '../../src/upstream/dial.ts'
import { addressOf } from '../support/addresses.ts'
import { eventually } from '../support/eventually.ts'
import { h2Service } from '../support/h2-services.ts'
import type { H2Service, OnStream } from '../support/h2-services.ts'

class Owner implements EndpointOwner {
  got = ''
  mayRead = true
  progress = 0
  closed: NodeJS.ErrnoException | null | undefined
  /** A call came from within a method of the endpoint. */
  isInside = false

  onBytes(_endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    this.got += bytes.toString('latin1', 0, length)
    return this.mayRead
  }
  onEnd(): void {}
  onProgress(): void {
    this.progress++
  }
  onClosed(_endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    if (this.isInside) throw new Error('called from within')
    this.closed = error
  }
}

interface SetUp {
  service: H2Service
  sessions: UpstreamSessions
  connection: Connection
  /** A stream, with its owner. */
  open(): Promise<{ endpoint: Endpoint; owner: Owner; write(text: string): void }>
}

async function setUp(t: Test, onStream: OnStream, options = {}): Promise<SetUp> {
  const service = await h2Service(t, onStream, options)
  const clock = systemClock
  const sweep = new Sweep(clock, 80)
  const sessions = new UpstreamSessions({
    name: 'a',
    host: `127.0.0.1:${service.port}`,
    isSecure: false,
    keepAliveMs: 4000,
    maxIdle: 64,
    clock,
    sweep,
    pings: () => ({ intervalMs: Infinity, timeoutMs: 1000, misses: 3 }),
    dial: (dialler, connectMs) =>
      new Dial(
        {
          target: { host: '127.0.0.1', port: service.port },
          from: null,
          read: { readBytes: 0, isShared: false },
          noDelay: true,
          secure: null,
          connectMs,
        },
        { clock, sweep },
        dialler,
      ),
  })
  t.teardown(() => sessions.clear())
  const connection = new Connection(1, 'l', 'http', addressOf('127.0.0.1:1'), 0)
  const open = async (): ReturnType<SetUp['open']> => {
    const endpoint = await new Promise<Endpoint>((resolve, reject) =>
      sessions.open(connection, 2000, {
        onStream: resolve,
        onDialFailed: (close: Close) => reject(new Error(close.detail)),
      }),
    )
    const owner = new Owner()
    endpoint.owner = owner
    const write = (text: string): void => {
      const bytes = Buffer.from(text, 'latin1')
      endpoint.write(bytes, 0, bytes.length)
      // As a read buffer, it is somebody else's from here on.
      bytes.fill(0)
    }
    return { endpoint, owner, write }
  }
  return { service, sessions, connection, open }
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

test('while nobody reads, a window of the stream is all that comes', async (t) => {
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
  owner.mayRead = false
  write(GET)
  await eventually(() => owner.got !== '')
  await sleep(200)
  t.ok(written < 65_535 + 2 * 16_384 + 2000, `${written} bytes`)
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
  t.equal(endpoint.untaken, queued)
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
  for (let i = 0; i < 3; i++) (await open()).endpoint.close('drop')
  t.equal(service.sessions.length, 1)
})

test('a service that closes right after it has accepted is no session', async (t) => {
  const server = net.createServer((socket) => socket.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as net.AddressInfo
  const { sessions, connection } = await setUp(t, () => {})
  const clock = systemClock
  const sweep = new Sweep(clock, 80)
  void sessions
  const there = new UpstreamSessions({
    name: 'b',
    host: `127.0.0.1:${port}`,
    isSecure: false,
    keepAliveMs: 4000,
    maxIdle: 64,
    clock,
    sweep,
    pings: () => ({ intervalMs: Infinity, timeoutMs: 1000, misses: 3 }),
    dial: (dialler, connectMs) =>
      new Dial(
        {
          target: { host: '127.0.0.1', port },
          from: null,
          read: { readBytes: 0, isShared: false },
          noDelay: true,
          secure: null,
          connectMs,
        },
        { clock, sweep },
        dialler,
      ),
  })
  const close = await new Promise<Close>((resolve) =>
    there.open(connection, 2000, { onStream: () => t.fail('a stream'), onDialFailed: resolve }),
  )
  t.match(close, { ...makeClose('connect_failed', 'upstream', 'connect'), detail: /no HTTP\/2 there/ })
})
