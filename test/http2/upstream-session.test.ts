// One connection to a service and its owner: the calls of the owner, and the end of the connection. The test
// makes the sweeps.

import http2 from 'node:http2'
import net from 'node:net'
import { once } from 'node:events'
import { test, type Test } from 'tap'
import { http2Codes, makeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { UpstreamSession } from '../../src/http2/upstream-session.ts'
import type { SessionOwner } from '../../src/http2/upstream-session.ts'
import type { UpstreamStream } from '../../src/http2/upstream-stream.ts'
import { eventually } from '../support/eventually.ts'
import { DATA, frame, GOAWAY, h2Service, rawH2Service, word } from '../support/h2-services.ts'
import { mute } from '../support/peers.ts'

class Owner implements SessionOwner {
  readonly told: string[] = []
  onOpen(): void {
    this.told.push('open')
  }
  onRoom(): void {
    this.told.push('room')
  }
  onLeaving(): void {
    this.told.push('leaving')
  }
  onGone(): void {
    this.told.push('gone')
  }
  /** What was told since the last time. */
  news(): string[] {
    return this.told.splice(0)
  }
}

/** A stream as its session knows it. */
const streamOf = (isClosed = false): UpstreamStream => ({ isClosed }) as UpstreamStream

const PINGS = { intervalMs: 10_000, timeoutMs: 1000, misses: 2 }

async function connectTo(t: Test, port: number, isGreeted = true) {
  const time = { now: 7 }
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const owner = new Owner()
  const session = new UpstreamSession(socket, 'http://a', owner, { now: () => time.now, pings: () => PINGS })
  t.teardown(() => session.destroy())
  if (isGreeted) await eventually(() => owner.told.includes('open'))
  owner.news()
  return { session, owner, time, socket }
}

const by = (side: 'client' | 'upstream', reason: 'write_timeout' | 'response_timeout' | 'reset'): Close =>
  makeClose(reason, side, 'relay')

test('a service is told of a window of a mebibyte, of large heads, and that nothing is to be pushed', async (t) => {
  const service = await h2Service(t, () => {})
  await connectTo(t, service.port)
  await eventually(() => (service.sessions[0]!.state.remoteWindowSize ?? 0) >= 1024 * 1024)
  t.match(service.sessions[0]!.remoteSettings, { enablePush: false, maxHeaderListSize: 2 * 1024 * 1024 })
})

test('room is what the service allows, less its streams, never more than a thousand, and is told of as it comes', async (t) => {
  const service = await h2Service(t, () => {}, { settings: { maxConcurrentStreams: 2 } })
  const { session, owner } = await connectTo(t, service.port)
  const [one, other] = [streamOf(), streamOf()]
  session.join(one)
  t.equal(session.room, 1)
  session.join(other)
  t.equal(session.room, 0)
  session.leave(one)
  t.same([session.room, owner.news()], [1, ['room']])
  session.leave(one)
  t.same(owner.news(), [], 'once')
  service.sessions[0]!.settings({ maxConcurrentStreams: 5000 })
  await eventually(() => session.room === 999)
  t.same(owner.news(), ['room'])
  service.sessions[0]!.settings({ maxConcurrentStreams: 0 })
  await eventually(() => session.room === 0)
})

test('it is idle from the end of its last stream on', async (t) => {
  const service = await h2Service(t, () => {})
  const { session, time } = await connectTo(t, service.port)
  const [one, other] = [streamOf(), streamOf()]
  session.join(one)
  session.join(other)
  time.now = 100
  session.leave(one)
  t.equal(session.idleSince, 7, 'it stands since then')
  time.now = 200
  session.leave(other)
  t.equal(session.idleSince, 200)
  time.now = 300
  session.leave(other)
  t.equal(session.idleSince, 200)
})

test('a service that a conversation has ended of is asked, and has no room until it answers; of a client’s fault it is not', async (t) => {
  const service = await h2Service(t, () => {})
  const { session, owner } = await connectTo(t, service.port)
  session.noteStreamEnd(by('client', 'write_timeout'))
  session.noteStreamEnd(by('upstream', 'reset'))
  t.notOk(session.isDoubtful)
  for (const reason of ['write_timeout', 'response_timeout'] as const) {
    session.noteStreamEnd(by('upstream', reason))
    t.same([session.isDoubtful, session.room], [true, 0], reason)
    await eventually(() => !session.isDoubtful)
    t.same(owner.news(), ['room'])
  }
  session.retire()
  session.noteStreamEnd(by('upstream', 'write_timeout'))
  t.notOk(session.isDoubtful, 'one that leaves is asked nothing')
})

test('one that does not answer leaves with its last stream, and is not asked for more', async (t) => {
  const service = await rawH2Service(t, () => {})
  const { session, owner, socket } = await connectTo(t, service.port)
  const stream = streamOf()
  session.join(stream)
  session.noteStreamEnd(by('upstream', 'write_timeout'))
  session.sweep(5006)
  t.same(owner.news(), [])
  session.sweep(5007)
  t.same([owner.news(), session.room], [['leaving'], 0])
  session.destroy()
  await eventually(() => session.isGone)
  session.sweep(6000)
  session.sweep(6999)
  t.notOk(socket.destroyed, 'its FIN may come')
  session.sweep(7000)
  await eventually(() => owner.told.includes('gone'))
  t.same(owner.news(), ['gone'], 'a PING that fails is no answer, and makes no room')
})

test('one whose requests have all left it goes after two seconds, whatever Node keeps of its streams', async (t) => {
  const service = await h2Service(t, () => {})
  const { session } = await connectTo(t, service.port)
  session.sweep(100)
  session.sweep(3000)
  t.notOk(session.isGone, 'at rest')
  const [left, other] = [streamOf(true), streamOf()]
  session.join(left)
  session.join(other)
  session.sweep(3100)
  session.sweep(5200)
  t.notOk(session.isGone, 'another goes on')
  session.leave(other)
  session.sweep(5300)
  session.leave(left)
  session.sweep(7400)
  t.notOk(session.isGone, 'at rest again')
  session.join(left)
  session.sweep(7500)
  session.sweep(9499)
  t.notOk(session.isGone)
  session.sweep(9500)
  t.ok(session.isGone)
})

test('one that leaves and has no stream goes after two seconds, whatever Node has yet to write', async (t) => {
  const service = await h2Service(t, () => {})
  const { session } = await connectTo(t, service.port)
  // A stream that its session does not know stands for frames that Node cannot write.
  session.request({ ':path': '/' }, { endStream: true, waitForTrailers: false })
  session.retire()
  session.sweep(100)
  session.sweep(2099)
  t.notOk(session.isGone)
  session.sweep(2100)
  t.ok(session.isGone)
})

test('a PING that fails with its session is no answer', async (t) => {
  const service = await rawH2Service(t, () => {})
  const { session, owner } = await connectTo(t, service.port)
  session.noteStreamEnd(by('upstream', 'write_timeout'))
  session.destroy()
  await eventually(() => owner.told.includes('gone'))
  t.same([session.isDoubtful, owner.news()], [true, ['gone']])
})

test('PINGs go to a service that owes something, also of one that leaves; the last that is not answered ends it', async (t) => {
  const service = await rawH2Service(t, () => {})
  const { session, owner } = await connectTo(t, service.port)
  const stream = streamOf()
  // What it greeted with was seen at the first.
  for (let now = 0; now <= 60_000; now += 500) session.sweep(now)
  t.notOk(session.isGone, 'it owes nothing')
  session.join(stream)
  session.retire()
  t.same(owner.news(), ['leaving'])
  for (let now = 60_500; now < 90_000 && !session.isGone; now += 500) session.sweep(now)
  t.ok(session.isGone)
  t.match(session.problem, /answered no PING/)
})

test('a service that owes nothing is not asked', async (t) => {
  let pings = 0
  const service = await h2Service(t, () => {})
  const { session } = await connectTo(t, service.port)
  service.sessions[0]!.on('ping', () => pings++)
  for (let now = 0; now <= 60_000; now += 500) session.sweep(now)
  session.join(streamOf())
  session.sweep(60_500)
  await eventually(() => pings > 0)
  t.equal(pings, 1)
})

test('a stream that is done but for its end is cancelled after a second', async (t) => {
  const service = await h2Service(t, (stream) => stream.respond({ ':status': 200 }))
  const { session, time } = await connectTo(t, service.port)
  const stream = session.request({ ':path': '/' }, { endStream: true, waitForTrailers: false })
  await once(stream, 'response')
  time.now = 100
  session.awaitEnd(stream)
  session.sweep(1099)
  t.notOk(stream.closed)
  session.sweep(1100)
  await eventually(() => service.ended.length === 1)
  t.same(service.ended, [http2Codes.CANCEL])
})

test('one whose rest nobody reads comes to its end all the same', async (t) => {
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end('the rest')
  })
  const { session } = await connectTo(t, service.port)
  const stream = session.request({ ':path': '/' }, { endStream: true, waitForTrailers: false })
  await once(stream, 'response')
  stream.pause()
  session.awaitEnd(stream)
  await eventually(() => stream.destroyed && service.ended.length === 1)
  t.same(service.ended, [0])
})

test('one that came to its end in time is not looked at again', async (t) => {
  const service = await h2Service(t, (stream) => stream.respond({ ':status': 200 }))
  const { session } = await connectTo(t, service.port)
  const stream = session.request({ ':path': '/' }, { endStream: true, waitForTrailers: false })
  await once(stream, 'response')
  session.awaitEnd(stream)
  service.streams[0]!.end()
  await once(stream, 'close')
  stream.close = () => t.fail('it is kept')
  session.sweep(5000)
})

test('one that has not greeted goes at once when it is not wanted any more', async (t) => {
  const service = await mute(t)
  const { session, owner } = await connectTo(t, service.port, false)
  session.retire()
  await eventually(() => owner.told.includes('gone'))
  t.same(owner.news(), ['gone'])
})

test('one that leaves takes no more, and goes when its service has ended the last stream', async (t) => {
  const service = await h2Service(t, (stream) => stream.respond({ ':status': 200 }))
  const { session, owner, socket } = await connectTo(t, service.port)
  const stream = session.request({ ':path': '/' }, { endStream: true, waitForTrailers: false })
  await once(stream, 'response')
  session.retire()
  session.retire()
  t.same([session.room, owner.news()], [0, ['leaving']])
  t.notOk(session.isGone)
  stream.resume()
  service.streams[0]!.end()
  await eventually(() => owner.told.includes('gone'))
  t.ok(socket.destroyed)
})

for (const { how, end, words } of [
  { how: 'FIN', end: (socket: net.Socket) => socket.end(), words: /FIN without GOAWAY/ },
  { how: 'RST', end: (socket: net.Socket) => socket.resetAndDestroy(), words: /^read ECONNRESET$/ },
  {
    how: 'an error GOAWAY',
    end: (socket: net.Socket) => socket.write(frame(GOAWAY, 0, 0, Buffer.concat([word(0), word(2)]))),
    words: /^GOAWAY: INTERNAL_ERROR$/,
  },
  {
    how: 'GOAWAY and FIN',
    end: (socket: net.Socket) => socket.end(frame(GOAWAY, 0, 0, Buffer.concat([word(1), word(0)]))),
    words: /^ECONNRESET: FIN before the end of its streams$/,
  },
  {
    how: 'what is no frame of its',
    end: (socket: net.Socket) => socket.write(frame(DATA, 0, 0, 'x')),
    words: /^ERR_HTTP2_ERROR: Protocol error$/,
  },
])
  test(`a service that ends by ${how} is gone, and that is said`, async (t) => {
    let seen = 0
    const service = await rawH2Service(t, () => seen++)
    const { session, owner } = await connectTo(t, service.port)
    session.join(streamOf())
    const open = session.request({ ':path': '/' }, { endStream: true, waitForTrailers: false })
    await eventually(() => seen === 1)
    end((await service.connection()).socket)
    await eventually(() => owner.told.includes('gone'))
    t.match(session.problem, words)
    t.match(session.whyClosed(open, 'before a head'), {
      code: session.problem.split(/[: ]/).find((part) => /^[A-Z]/.test(part)),
    })
    t.ok(session.isGone)
    t.equal(session.room, 0)
  })

test('one that is given up is gone from then on', async (t) => {
  const service = await h2Service(t, () => {})
  const { session } = await connectTo(t, service.port)
  const stream = session.request({ ':path': '/' }, { endStream: true, waitForTrailers: false })
  session.destroy()
  session.destroy()
  t.same([session.isGone, session.room], [true, 0])
  session.noteStreamEnd(by('upstream', 'write_timeout'))
  t.match(session.whyClosed(stream, 'before a head'), { code: 'ECONNRESET', message: 'closed without FIN' })
})

test('a service that leaves by two GOAWAYs leaves once, and what each names is its', async (t) => {
  let seen = 0
  const service = await rawH2Service(t, () => seen++)
  const { session, owner } = await connectTo(t, service.port)
  const { socket } = await service.connection()
  const ask = () => session.request({ ':path': '/' }, { endStream: true, waitForTrailers: false })
  const streams = [ask(), ask(), ask()]
  await eventually(() => seen === 3)
  for (const last of [0x7fff_ffff, 3]) {
    socket.write(frame(GOAWAY, 0, 0, Buffer.concat([word(last), word(0)])))
    await eventually(() => owner.told.includes('leaving') && session.hasLeftOut(streams[2]!) === (last === 3))
  }
  session.retire()
  t.same(owner.news(), ['leaving'])
  t.same(
    streams.map((stream) => session.hasLeftOut(stream)),
    [false, false, true],
  )
})

test('TCP probes are asked for once', async (t) => {
  const service = await h2Service(t, () => {})
  const { session, socket } = await connectTo(t, service.port)
  const asked: unknown[] = []
  socket.setKeepAlive = (...how) => (asked.push(how), socket)
  session.keepAlive(15_000)
  session.keepAlive(15_000)
  t.same(asked, [[true, 15_000]])
})

test('a service is told of small windows while many streams are not read, of large ones once they have left', async (t) => {
  const service = await h2Service(t, () => {})
  const { session } = await connectTo(t, service.port)
  const told: unknown[] = []
  service.sessions[0]!.on('remoteSettings', ({ initialWindowSize }) => told.push(initialWindowSize))
  const streams = Array.from({ length: 17 }, streamOf)
  for (const stream of streams) {
    session.join(stream)
    session.windows.onStalled(stream)
  }
  await eventually(() => told.at(-1) === 16_384)
  for (const stream of streams) session.leave(stream)
  await eventually(() => (session.sweep(100), told.at(-1) === 65_535))
})

test('megabytes that wait to be sent are in the way of no answer', async (t) => {
  const service = await h2Service(t, (stream, { ':path': path }) => {
    if (path === '/answers') stream.respond({ ':status': 200 }, { endStream: true })
  })
  const { session } = await connectTo(t, service.port)
  for (let i = 0; i < 3; i++)
    session
      .request({ ':path': '/', ':method': 'POST' }, { endStream: false, waitForTrailers: false })
      .write(Buffer.alloc(5_000_000))
  const stream = session.request({ ':path': '/answers' }, { endStream: true, waitForTrailers: false })
  const [headers] = (await once(stream, 'response')) as [{ ':status': number }]
  t.equal(headers[':status'], 200)
})

test('one that has used half of the numbers that streams can have leaves, before it has none for another', async (t) => {
  const service = await h2Service(t, () => {})
  const { connect } = http2
  const made: http2.ClientHttp2Session[] = []
  http2.connect = ((...args: Parameters<typeof connect>) => {
    const session = connect(...args)
    made.push(session)
    return session
  }) as typeof connect
  const { session, owner } = await connectTo(t, service.port).finally(() => (http2.connect = connect))
  const numbered = made[0] as unknown as { setNextStreamID(id: number): void }
  numbered.setNextStreamID(2 ** 30 - 1)
  session.join(streamOf())
  session.sweep(100)
  t.same(owner.news(), [])
  numbered.setNextStreamID(2 ** 30 + 1)
  session.sweep(200)
  t.same([owner.news(), session.room], [['leaving'], 0])
})
