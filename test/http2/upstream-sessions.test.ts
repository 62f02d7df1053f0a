// The sessions at one address: which stream gets which session, when the gate dials another, and when each
// ends. Dials, time and sweeps are the test's.

import type { ServerHttp2Stream } from 'node:http2'
import net from 'node:net'
import { once } from 'node:events'
import { test, type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Swept } from '../../src/core/clock.ts'
import { http2Codes, makeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import type { Endpoint } from '../../src/endpoint/endpoint.ts'
import { UpstreamSessions } from '../../src/http2/upstream-sessions.ts'
import type { Dial, SocketDialler } from '../../src/upstream/dial.ts'
import type { AwaitedStream } from '../../src/upstream/streams.ts'
import { addressOf } from '../support/addresses.ts'
import { eventually } from '../support/eventually.ts'
import {
  DATA,
  frame,
  GOAWAY,
  h2Service,
  MAX_CONCURRENT_STREAMS,
  rawH2Service,
  setting,
  WINDOW_UPDATE,
  word,
} from '../support/h2-services.ts'
import { mute } from '../support/peers.ts'

const CONNECT_MS = 2000
const KEEP_ALIVE_MS = 4000

interface Seeker {
  /** Null before; the stream, and how long its dial took; or why there is none. */
  got: { endpoint: Endpoint; dialMs: number | null } | Close | null
  awaited: AwaitedStream | null
  /** How often it was told. */
  told: number
  connection: Connection
}

function setUp(t: Test, port: number, maxIdle = 64) {
  const time = { now: 1000 }
  const swept = new Set<Swept>()
  const dials: SocketDialler[] = []
  const sessions = new UpstreamSessions({
    name: 'a',
    host: 'a',
    isSecure: false,
    keepAliveMs: KEEP_ALIVE_MS,
    maxIdle,
    clock: { ...systemClock, now: () => time.now },
    sweep: { add: (one: Swept) => swept.add(one), delete: (one: Swept) => swept.delete(one) } as never,
    pings: () => ({ intervalMs: Infinity, timeoutMs: 1000, misses: 3 }),
    dial: (dialler) => {
      dials.push(dialler)
      return { cancel() {} } as unknown as Dial
    },
  })
  const sockets: net.Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  /** The dial that is under way finds the service. */
  const connect = async (): Promise<void> => {
    const socket = net.connect(port, '127.0.0.1')
    sockets.push(socket)
    await once(socket, 'connect')
    dials.shift()!.onSocket(socket, 0)
  }
  const seek = (): Seeker => {
    const connection = new Connection(1, 'l', 'http', addressOf('127.0.0.1:1'), 0)
    const seeker: Seeker = { got: null, awaited: null, told: 0, connection }
    seeker.awaited = sessions.open(connection, CONNECT_MS, {
      onStream: (endpoint, dialMs) => {
        endpoint.owner = { onBytes: () => true, onEnd() {}, onProgress() {}, onClosed() {} }
        seeker.got = { endpoint, dialMs }
        seeker.told++
      },
      onDialFailed: (close) => {
        seeker.got = close
        seeker.told++
      },
    })
    return seeker
  }
  const pass = (ms: number): void => {
    time.now += ms
    for (const one of [...swept]) one.sweep(time.now)
  }
  return { sessions, dials, connect, seek, pass, swept }
}

const drop = ({ got }: Seeker): void => (got as { endpoint: Endpoint }).endpoint.close('flush')

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n'
/** More than the window of a connection. */
const LARGE = POST + 'x'.repeat(65_536)

function ask({ got }: Seeker, text: string): void {
  const bytes = Buffer.from(text, 'latin1')
  ;(got as { endpoint: Endpoint }).endpoint.write(bytes, 0, bytes.length)
}

/** Two sessions of one stream each. */
async function withTwo(t: Test, port: number) {
  const set = setUp(t, port)
  const seekers = [set.seek(), set.seek()]
  for (const seeker of seekers) {
    await set.connect()
    await eventually(() => seeker.got !== null)
  }
  return { ...set, seekers }
}

/** As many streams of one session at a time. */
const allowing = (t: Test, maxConcurrentStreams: number) =>
  h2Service(t, () => {}, { settings: { maxConcurrentStreams } })

test('one dial at a time; those that wait are served in their order, and the next is dialled for the rest', async (t) => {
  const { port } = await allowing(t, 2)
  const { dials, seek, connect, sessions, pass } = setUp(t, port)
  const seekers = [seek(), seek(), seek()]
  t.equal(dials.length, 1)
  pass(300)
  t.equal(dials.length, 1)
  await connect()
  pass(10)
  seek().awaited!.cancel()
  t.equal(dials.length, 0, 'while it has not greeted')
  await eventually(() => seekers[1]!.got !== null)
  t.match(seekers[0]!.got, { dialMs: 310 })
  t.same([seekers[2]!.got, dials.length, sessions.counts], [null, 1, { open: 1, leaving: 0, streams: 2 }])
  await connect()
  await eventually(() => seekers[2]!.got !== null)
  const standing = seek()
  t.match(standing.got, { dialMs: null })
  t.equal(standing.awaited, null)
  t.equal(sessions.counts.open, 2)
})

test('room that comes is for those that wait, but for one that has given up', async (t) => {
  const { port } = await allowing(t, 1)
  const { dials, seek, connect } = setUp(t, port)
  const first = seek()
  await connect()
  await eventually(() => first.got !== null)
  const [left, waiting] = [seek(), seek()]
  left.awaited!.cancel()
  t.equal(dials.length, 1)
  drop(first)
  t.equal(left.got, null)
  t.match(waiting.got, { dialMs: null })
})

test('who waits for deadlines.connect gets none, and a dial that fails is for all that wait', async (t) => {
  const { port } = await allowing(t, 1)
  const { dials, seek, pass } = setUp(t, port)
  const early = seek()
  pass(CONNECT_MS - 1)
  t.equal(early.got, null)
  const late = seek()
  pass(1)
  t.match(early.got, { reason: 'connect_timeout' })
  t.equal(late.got, null)
  dials.shift()!.onDialFailed(makeClose('connect_refused', 'upstream', 'connect'))
  t.match(late.got, { reason: 'connect_refused' })
  pass(CONNECT_MS)
  pass(CONNECT_MS)
  t.same([early.told, late.told], [1, 1])
  seek()
  t.equal(dials.length, 1, 'another is dialled for the next')
})

test('a service that does not greet in time is none, and is dialled anew', async (t) => {
  const { port } = await mute(t)
  const { dials, seek, connect, pass, sessions } = setUp(t, port)
  seek()
  pass(500)
  await connect()
  const later = seek()
  pass(CONNECT_MS - 501)
  t.equal(later.got, null)
  pass(1)
  t.match(later.got, { reason: 'connect_timeout', detail: 'no SETTINGS (deadlines.connect)' })
  seek()
  t.equal(dials.length, 1)
  await eventually(() => sessions.counts.leaving === 0)
  t.same(sessions.counts, { open: 0, leaving: 0, streams: 0 })
})

test('an address that is given up before its service has greeted fails those that wait for it', async (t) => {
  const { port } = await mute(t)
  const { seek, connect, sessions } = setUp(t, port)
  const waiting = seek()
  await connect()
  sessions.clear()
  t.match(waiting.got, { reason: 'connect_failed', detail: 'the address was given up' })
  await eventually(() => sessions.counts.leaving === 0)
  t.equal(waiting.told, 1)
})

test('a service that allows no stream just now is not dialled again and again, but once that session is gone', async (t) => {
  const service = await allowing(t, 0)
  const { dials, seek, connect, pass, sessions } = setUp(t, service.port)
  const seeker = seek()
  await connect()
  await eventually(() => sessions.counts.open === 1)
  pass(100)
  t.same([seeker.got, dials.length], [null, 0])
  service.sessions[0]!.destroy()
  await eventually(() => sessions.counts.open === 0)
  pass(100)
  t.same([seeker.got, dials.length], [null, 1])
})

test('sessions without streams go after upstream.keepAlive, those beyond upstream.maxIdle at once; nothing is swept when all are gone', async (t) => {
  const { port } = await allowing(t, 1)
  const { seek, connect, pass, sessions, swept } = setUp(t, port, 2)
  const seekers = [seek(), seek(), seek()]
  for (const seeker of seekers) {
    await connect()
    await eventually(() => seeker.got !== null)
  }
  pass(KEEP_ALIVE_MS)
  t.equal(sessions.counts.open, 3, 'with streams they stay')
  for (const seeker of seekers) drop(seeker)
  pass(1)
  t.equal(sessions.counts.open, 2)
  pass(KEEP_ALIVE_MS - 2)
  t.equal(sessions.counts.open, 2)
  pass(1)
  t.equal(sessions.counts.open, 0)
  await eventually(() => sessions.counts.leaving === 0)
  pass(1)
  t.equal(swept.size, 0)
})

test('a stuck service that was given up is forgotten, whatever it answers', async (t) => {
  const { port } = await rawH2Service(t, () => {})
  const { seek, connect, pass, sessions, swept } = setUp(t, port)
  const seeker = seek()
  await connect()
  await eventually(() => seeker.got !== null)
  drop(seeker)
  pass(KEEP_ALIVE_MS)
  t.same(sessions.counts, { open: 0, leaving: 1, streams: 0 })
  await eventually(() => (pass(500), sessions.counts.leaving === 0))
  pass(1)
  t.equal(swept.size, 0)
})

test('an address that is given up keeps the streams that it has, and takes no other', async (t) => {
  const { port } = await allowing(t, 10)
  const { seek, connect, sessions, dials } = setUp(t, port)
  const seeker = seek()
  await connect()
  await eventually(() => seeker.got !== null)
  sessions.clear()
  t.same(sessions.counts, { open: 0, leaving: 1, streams: 1 })
  const next = seek()
  t.same([next.got, dials.length], [null, 1])
  await connect()
  sessions.clear()
  await eventually(() => next.got !== null)
  t.match(next.got, { reason: 'connect_failed' }, 'one that had not greeted goes at once')
})

test('all of its sessions are given up with an address', async (t) => {
  const { port } = await allowing(t, 1)
  const { sessions } = await withTwo(t, port)
  sessions.clear()
  t.same(sessions.counts, { open: 0, leaving: 2, streams: 2 })
})

for (const how of ['destroy', 'close'] as const)
  test(`a session that its service ends by ${how} takes no other along`, async (t) => {
    const service = await allowing(t, 1)
    const { sessions, seekers, seek, pass, dials } = await withTwo(t, service.port)
    drop(seekers[0]!)
    service.sessions[0]![how]()
    await eventually(() => sessions.counts.open === 1 && sessions.counts.leaving === 0)
    drop(seekers[1]!)
    pass(1)
    t.match(seek().got, { dialMs: null }, 'the other is used')
    t.same([dials.length, sessions.counts], [0, { open: 1, leaving: 0, streams: 1 }])
  })

test('a session that is reset is no more', async (t) => {
  const service = await rawH2Service(t, () => {})
  const { seek, connect, sessions } = setUp(t, service.port)
  const seeker = seek()
  await connect()
  await eventually(() => seeker.got !== null)
  ;(await service.connection()).reset()
  await eventually(() => sessions.counts.open + sessions.counts.leaving === 0)
})

/** A service that opens no window by itself, with a request on it that has used up that of the connection. */
async function shut(t: Test) {
  let open = (): void => {}
  let came = 0
  const service = await rawH2Service(
    t,
    (send) => (open = () => send(frame(WINDOW_UPDATE, 0, 0, word(10)))),
    (_send, { payload, type }) => type === DATA && (came += payload.length),
  )
  const set = setUp(t, service.port)
  const stalled = set.seek()
  await set.connect()
  await eventually(() => stalled.got !== null)
  ask(stalled, LARGE)
  await eventually(() => came === 65_535)
  // What was taken is seen.
  set.pass(1)
  set.pass(999)
  const beside = set.seek()
  t.match(beside.got, { dialMs: null }, 'it may still open')
  set.pass(1)
  return { ...set, stalled, beside, open: () => open() }
}

test('a session whose window stays shut takes no more: others are dialled for, until it opens', async (t) => {
  const { open, pass, seek, dials, connect, sessions } = await shut(t)
  const other = seek()
  t.same([other.got, dials.length, sessions.counts.open], [null, 1, 1])
  open()
  await eventually(() => (pass(1), other.got !== null))
  t.match(other.got, { dialMs: null })
  await connect()
  await eventually(() => sessions.counts.open === 2)
})

test('one whose window stays shut goes with its last stream', async (t) => {
  const { pass, stalled, beside, sessions } = await shut(t)
  pass(1)
  t.same(sessions.counts, { open: 1, leaving: 0, streams: 2 })
  drop(stalled)
  await eventually(() => sessions.counts.streams === 1)
  pass(1)
  t.equal(sessions.counts.open, 1)
  drop(beside)
  await eventually(() => sessions.counts.streams === 0)
  pass(1)
  t.same(sessions.counts, { open: 0, leaving: 1, streams: 0 })
})

test('one that has no room because it is asked whether it lives does not keep others from being dialled for', async (t) => {
  const service = await rawH2Service(
    t,
    () => {},
    () => {},
    setting(MAX_CONCURRENT_STREAMS, 1),
  )
  const { seek, connect, dials } = setUp(t, service.port)
  const first = seek()
  await connect()
  await eventually(() => first.got !== null)
  first.connection.end = makeClose('response_timeout', 'upstream', 'relay')
  drop(first)
  const [second, third] = [seek(), seek()]
  await connect()
  await eventually(() => second.got !== null)
  t.same([third.got, dials.length], [null, 1])
})

test('a dial that nobody waits for any more is watched to its end', async (t) => {
  const { port } = await mute(t)
  const { seek, connect, pass, swept } = setUp(t, port)
  seek().awaited!.cancel()
  pass(1)
  t.equal(swept.size, 1, 'while it is dialled')
  await connect()
  pass(1)
  t.equal(swept.size, 1, 'while it has not greeted')
  await eventually(() => (pass(CONNECT_MS), swept.size === 0))
})

test('a request that is given up while it waits for another session is not sent', async (t) => {
  let asked = 0
  const service = await rawH2Service(t, (send) => {
    asked++
    send(frame(GOAWAY, 0, 0, Buffer.concat([word(0), word(0)])))
  })
  const { seek, connect, sessions, dials } = setUp(t, service.port)
  const seeker = seek()
  await connect()
  await eventually(() => seeker.got !== null)
  ask(seeker, GET)
  await eventually(() => dials.length === 1)
  drop(seeker)
  await connect()
  await eventually(() => sessions.counts.open === 1)
  t.same([asked, sessions.counts.streams], [1, 0])
})

const early = (stream: ServerHttp2Stream): void => {
  stream.respond({ ':status': 403 })
  stream.end('no')
}

for (const { what, request, answer } of [
  { what: 'without an answer', request: GET, answer: () => {} },
  {
    what: 'of whose answer the head is there',
    request: GET,
    answer: (stream) => stream.respond({ ':status': 200 }),
  },
  {
    what: 'of whose answer a part is there',
    request: GET,
    answer: (stream) => {
      stream.respond({ ':status': 200, 'content-length': '5' })
      stream.write('par')
    },
  },
  { what: 'that was answered before all of it was there', request: POST + 'x'.repeat(1000), answer: early },
  { what: 'that was answered before all of it was taken', request: LARGE, answer: early },
] as { what: string; request: string; answer: (stream: ServerHttp2Stream) => void }[])
  test(`a request ${what} is cancelled at once when it is given up`, async (t) => {
    const service = await h2Service(t, (stream) => {
      stream.pause()
      answer(stream)
    })
    const { seek, connect } = setUp(t, service.port)
    const seeker = seek()
    await connect()
    await eventually(() => seeker.got !== null)
    ask(seeker, request)
    await eventually(() => service.streams.length === 1)
    // What the service has sent by then is here.
    await new Promise((resolve) => service.sessions[0]!.ping(resolve))
    drop(seeker)
    await eventually(() => service.ended.length > 0)
    t.same(service.ended, [http2Codes.CANCEL])
  })
