// A stream of a client as the endpoint of its server: the calls of the server at any moment of the stream's
// life, and the frames that they cause.

import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { ClientStream } from '../../src/http2/client-stream.ts'
import { eventually } from '../support/eventually.ts'
import * as h2 from '../support/h2-frames.ts'
import { memorySession } from './memory-session.ts'
import type { MemorySessionOptions, Served } from './memory-session.ts'
import type { Test } from 'tap'

const { END_STREAM, END_HEADERS, kinds, codes, SETTING } = h2
const POST = h2.literals(...h2.request({ ':method': 'POST' }))
const websocket = h2.websocket()
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n'
const window = (bytes: number): Buffer => h2.settings([SETTING.INITIAL_WINDOW_SIZE, bytes])

async function get(t: Test, options: MemorySessionOptions = {}) {
  const line = memorySession(t, options)
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  return { line, stream, client: stream.client }
}

/** An upload whose body goes on. */
async function post(t: Test, options: MemorySessionOptions = {}) {
  const line = memorySession(t, options)
  line.send(h2.headers(1, POST, END_HEADERS))
  const stream = await line.stream()
  return { line, stream, client: stream.client }
}

type Line = ReturnType<typeof memorySession>
const body = (line: Line, id = 1): string =>
  line
    .ofKind(kinds.DATA)
    .filter(({ stream }) => stream === id)
    .map(({ payload }) => payload.toString())
    .join('')
const isEnded = (line: Line): boolean =>
  line
    .frames()
    .some(({ type, flags }) => (type === kinds.DATA || type === kinds.HEADERS) && (flags & END_STREAM) !== 0)
const resets = (line: Line): number[] =>
  line.ofKind(kinds.RST_STREAM).map(({ payload }) => payload.readUInt32BE(0))
const closed = ({ closed: how }: Served): boolean => how !== undefined

test('requests without a body that are held back leave their client large windows, uploads do not', async (t) => {
  const line = memorySession(t)
  const told = (): number => line.ofKind(kinds.SETTINGS).filter(({ flags }) => flags === 0).length
  for (let nth = 0; nth < 20; nth++) line.send(h2.headers(2 * nth + 1, h2.GET))
  await line.ping()
  for (const { client } of line.served) client.pause()
  await line.clock.pass(500)
  await line.ping()
  t.equal(told(), 1)
  for (let nth = 20; nth < 37; nth++) line.send(h2.headers(2 * nth + 1, POST, END_HEADERS))
  await line.ping()
  for (const { client } of line.served.slice(20)) client.pause()
  await line.ping()
  t.equal(told(), 2)
  line.send(h2.settingsAck(), h2.settingsAck())
  for (const { client } of line.served.slice(20)) client.resume()
  await line.clock.pass(500)
  await line.ping()
  t.equal(told(), 3)
})

test('an upload that is not read keeps its bytes, and they come when it is read again', async (t) => {
  const { line, stream, client } = await post(t)
  client.pause()
  line.send(h2.data(1, 'held'))
  await line.ping()
  t.same([stream.got, client.unread], ['', 4])
  client.resume()
  await line.ping()
  t.same([stream.got, client.unread], ['4\r\nheld\r\n', 0])
  stream.mayRead = false
  line.send(h2.data(1, 'one'))
  await eventually(() => stream.got.endsWith('one\r\n'))
  line.send(h2.data(1, 'two'))
  await line.ping()
  t.same([stream.got, client.unread], ['4\r\nheld\r\n3\r\none\r\n', 3])
})

test('small frames of one read come as one piece, and what precedes a cancel comes before it', async (t) => {
  const { line, stream } = await post(t)
  line.send(h2.data(1, 'a'), h2.data(1, 'b'), h2.data(1, 'c'))
  await eventually(() => stream.got !== '')
  t.equal(stream.got, '3\r\nabc\r\n')
  line.send(h2.data(1, 'd'), h2.data(1, 'e'), h2.rst(1, codes.CANCEL))
  await eventually(() => closed(stream))
  t.equal(stream.got, '3\r\nabc\r\n2\r\nde\r\n')
})

test('the end of an upload is its last chunk, with its trailers, and a stream of a WebSocket ends as it is', async (t) => {
  const { line, stream } = await post(t)
  line.send(h2.data(1, 'all'), h2.headers(1, h2.literals(['x-sum', '42'])))
  await eventually(() => stream.got.endsWith('\r\n\r\n'))
  t.equal(stream.got, '3\r\nall\r\n0\r\nx-sum: 42\r\n\r\n')
  t.notOk(stream.hasEnded)
  line.send(h2.headers(3, websocket, END_HEADERS), h2.data(3, 'raw', END_STREAM))
  await eventually(() => line.served[1]?.hasEnded)
  t.equal(line.served[1]!.got, 'raw')
})

test('an upload of a known length comes as it is, and its end says nothing', async (t) => {
  const line = memorySession(t)
  const head = h2.literals(...h2.request({ ':method': 'POST', 'content-length': '4' }))
  line.send(h2.headers(1, head, END_HEADERS), h2.data(1, 'body', END_STREAM))
  const stream = await line.stream()
  stream.answer('HTTP/1.1 204 No Content\r\n\r\n')
  await eventually(() => closed(stream))
  t.match(stream, { got: 'body', hasEnded: false })
})

test('an upload that its client cancels in the middle is never complete', async (t) => {
  for (const code of [codes.NO_ERROR, codes.CANCEL]) {
    const { line, stream } = await post(t)
    line.send(h2.data(1, 'half'), h2.rst(1, code))
    await eventually(() => closed(stream))
    t.equal(stream.got, '4\r\nhalf\r\n')
    t.match(stream.closed, { code: 'RST_STREAM' })
  }
})

test('nothing of an upload goes to a server that has parted from it', async (t) => {
  const { line, stream, client } = await post(t, { first: window(5) })
  stream.answer(`${OK}${'x'.repeat(20)}`)
  await eventually(() => body(line).length === 5)
  client.close('flush')
  line.send(h2.data(1, 'late'))
  await line.ping()
  line.send(h2.data(1, '', END_STREAM))
  await line.ping()
  t.equal(stream.got, '')
  line.send(h2.windowUpdate(1, 100))
  await eventually(() => closed(stream))
  t.equal(stream.closed, null)
  t.ok(isEnded(line))
})

test('the rest of an upload that was answered is cancelled with NO_ERROR, once all of the answer is sent', async (t) => {
  for (const isFirst of [false, true]) {
    const { line, stream, client } = await post(t, { first: window(isFirst ? 100 : 5) })
    stream.answer(`${OK}${'x'.repeat(20)}`)
    if (isFirst) await eventually(() => isEnded(line))
    client.close('flush')
    await line.ping()
    if (!isFirst) {
      t.same(resets(line), [])
      line.send(h2.windowUpdate(1, 100))
    }
    await eventually(() => closed(stream) && resets(line).length > 0)
    t.ok(isEnded(line))
    t.same(resets(line), [codes.NO_ERROR])
  }
})

test('answers are whole, though the rest of their uploads comes while their connection is being written to', async (t) => {
  const line = memorySession(t)
  const ids = Array.from({ length: 20 }, (_, nth) => 2 * nth + 1)
  line.send(...ids.map((id) => h2.headers(id, POST, END_HEADERS)))
  await line.ping()
  for (const stream of line.served) {
    stream.answer('HTTP/1.1 204 No Content\r\n\r\n')
    stream.client.close('flush')
    // What Node does of it in this turn of the event loop: it hears in the next one that its write is done.
    for (let nth = 0; nth < 4; nth++) await new Promise<void>((resolve) => process.nextTick(resolve))
  }
  line.send(...ids.map((id) => h2.data(id, 'late', END_STREAM)))
  await eventually(() => line.served.every(closed))
  const ended = line.ofKind(kinds.HEADERS).filter(({ flags }) => (flags & END_STREAM) !== 0)
  t.same(
    ended.map(({ stream }) => stream),
    ids,
  )
})

test('trailers are the end of their answer, also of one that comes before the end of its upload', async (t) => {
  for (const isWhole of [false, true]) {
    const line = memorySession(t)
    line.send(h2.headers(1, POST, END_HEADERS))
    const stream = await line.stream()
    if (isWhole) line.send(h2.data(1, '', END_STREAM))
    stream.answer('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n')
    stream.client.close('flush')
    await eventually(() => closed(stream))
    const came = line.frames().filter(({ stream: id }) => id === 1)
    t.same(
      came.map(({ type, flags }) => [type, flags]),
      [
        [kinds.HEADERS, END_HEADERS],
        [kinds.DATA, 0],
        [kinds.HEADERS, END_HEADERS | END_STREAM],
        ...(isWhole ? [] : [[kinds.RST_STREAM, 0]]),
      ],
    )
  }
})

test('an upload that goes on behind its whole answer is read until its server parts', async (t) => {
  const { line, stream } = await post(t)
  stream.answer(`${OK}${'x'.repeat(20)}`)
  await eventually(() => isEnded(line))
  line.send(h2.data(1, 'more'))
  await line.ping()
  t.equal(stream.got, '4\r\nmore\r\n')
  t.same(resets(line), [])
})

test('what is written behind the end goes nowhere, and does not complete an answer', async (t) => {
  const { line, stream, client } = await get(t, { first: window(5) })
  stream.answer(`${OK}${'x'.repeat(10)}`)
  await eventually(() => body(line).length === 5)
  client.end()
  stream.answer('x'.repeat(10))
  client.writeHead!('HTTP/1.1 200 OK\r\n\r\n')
  line.send(h2.windowUpdate(1, 100))
  await eventually(() => closed(stream) && resets(line).length > 0)
  t.equal(body(line), 'x'.repeat(10))
  t.notOk(isEnded(line))
  t.same(resets(line), [codes.CANCEL])
})

test('a second answer goes nowhere', async (t) => {
  const { line, stream, client } = await get(t)
  stream.done()
  stream.answer(`${OK}${'y'.repeat(20)}`)
  client.writeHead!(OK)
  await eventually(() => closed(stream))
  t.equal(body(line), 'ok')
  t.equal(line.ofKind(kinds.HEADERS).length, 1)
})

test('an answer to a stream that its client has just cancelled goes nowhere', async (t) => {
  for (const write of [
    ({ client }: Served) => client.writeHead!(OK),
    (stream: Served) => stream.answer(OK),
    (stream: Served) => stream.answer('HTTP/1.1 103 Early Hints\r\n\r\n'),
  ]) {
    const { line, stream } = await get(t)
    line.send(h2.rst(1))
    write(stream)
    await eventually(() => closed(stream))
    t.match(stream.closed, { code: 'RST_STREAM', message: 'CANCEL' })
    t.same(line.ofKind(kinds.HEADERS), [])
  }
})

test('interim answers pass, one with status 100 as well, with their fields and none of a connection', async (t) => {
  const { line, stream } = await get(t)
  for (const status of ['100 Continue', '103 Early Hints'])
    stream.answer(`HTTP/1.1 ${status}\r\nConnection: close\r\nX-${status[2]}: a\r\n\r\n`)
  stream.done()
  await eventually(() => closed(stream))
  const blocks = line.ofKind(kinds.HEADERS).map(({ payload }) => payload)
  t.equal(blocks.length, 3)
  for (const block of blocks.slice(0, 2)) t.ok(block.length > 5, 'a status and a field')
})

test('a WebSocket ends with END_STREAM behind its last bytes, and any other answer that is cut with RST_STREAM', async (t) => {
  const { line, stream, client } = await get(t)
  stream.answer('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nlast words')
  client.close('flush')
  await eventually(() => isEnded(line))
  t.same(
    line.ofKind(kinds.DATA).map(({ payload, flags }) => [payload.toString(), flags]),
    [
      ['last words', 0],
      ['', END_STREAM],
    ],
  )
  t.ok(stream.progress > 0, 'its server hears that they were taken')
  const cut = await get(t)
  cut.stream.answer(`${OK}half`)
  cut.client.close('flush')
  await eventually(() => closed(cut.stream) && resets(cut.line).length > 0)
  t.equal(body(cut.line), 'half')
  t.notOk(isEnded(cut.line))
  t.same(resets(cut.line), [codes.CANCEL])
})

test('deliver is RST_STREAM behind what was accepted, reset and drop are RST_STREAM at once', async (t) => {
  for (const manner of ['deliver', 'drop', 'reset'] as const) {
    const { line, stream, client } = await get(t, { first: window(5) })
    stream.answer(`${OK}${'x'.repeat(10)}`)
    await eventually(() => body(line).length === 5)
    client.close(manner)
    line.send(h2.windowUpdate(1, 100))
    await eventually(() => closed(stream) && resets(line).length > 0)
    t.equal(body(line).length, manner === 'deliver' ? 10 : 5, manner)
    t.same(resets(line), [codes.CANCEL], manner)
    t.notOk(isEnded(line), manner)
  }
})

test('a tunnel that is delivered ends with RST_STREAM, though it is whole', async (t) => {
  const { line, stream, client } = await get(t)
  stream.answer('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nlast words')
  client.close('deliver')
  await eventually(() => closed(stream))
  t.equal(body(line), 'last words')
  t.notOk(isEnded(line))
})

test('a whole answer that is delivered is whole, with a body and without', async (t) => {
  for (const answer of [`${OK}${'x'.repeat(20)}`, 'HTTP/1.1 204 No Content\r\n\r\n']) {
    const { line, stream, client } = await get(t, { first: window(5) })
    stream.answer(answer)
    client.close('deliver')
    line.send(h2.windowUpdate(1, 100))
    await eventually(() => closed(stream))
    t.ok(isEnded(line))
    t.same(resets(line), [])
  }
})

test('an upload whose whole answer is delivered ends without a fault', async (t) => {
  const { line, stream, client } = await post(t)
  stream.answer('HTTP/1.1 204 No Content\r\n\r\n')
  client.close('deliver')
  await eventually(() => closed(stream) && resets(line).length > 0)
  t.ok(isEnded(line))
  t.same(resets(line), [codes.NO_ERROR])
})

test('a WebSocket that its server has ended is read to its own end, also where it was not read', async (t) => {
  const line = memorySession(t, { isRead: false })
  line.send(h2.headers(1, websocket, END_HEADERS))
  const stream = await line.stream()
  stream.answer('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  stream.client.pause()
  line.send(h2.data(1, 'held'))
  await line.ping()
  t.equal(stream.got, '')
  stream.client.close('flush')
  await eventually(() => isEnded(line) && stream.got === 'held')
  line.send(h2.data(1, ' more', END_STREAM))
  await eventually(() => closed(stream))
  t.match(stream, { got: 'held more', closed: null, hasEnded: true })
  t.same(resets(line), [])
})

test('what came of an upload is dropped once its server parts, though its answer still waits', async (t) => {
  const { line, stream, client } = await post(t, { first: window(5) })
  client.pause()
  line.send(h2.data(1, 'held'))
  stream.answer(`${OK}${'x'.repeat(10)}`)
  await line.ping()
  t.equal(client.unread, 4)
  client.close('deliver')
  await eventually(() => client.unread === 0)
  t.same([stream.got, closed(stream)], ['', false])
})

test('a server that resets its stream is done with it, also while its client takes nothing', async (t) => {
  const line = memorySession(t, { first: window(1_000_000) })
  line.send(h2.windowUpdate(0, 1_000_000), h2.headers(1, h2.GET), h2.headers(3, h2.GET))
  await line.ping()
  const [large, other] = line.served
  line.client.stall()
  large!.answer(`HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n${'x'.repeat(500_000)}`)
  await eventually(() => line.client.queued > 49_152)
  other!.client.close('reset')
  await eventually(() => closed(other!))
  t.equal((other!.client as ClientStream).window, 0, 'nor does it have a window')
})

test('an answer may come in parts, with time between them', async (t) => {
  const { line, stream } = await get(t)
  stream.answer(OK)
  await line.ping()
  for (let nth = 0; nth < 4; nth++) {
    t.notOk(isEnded(line))
    stream.answer('x'.repeat(5))
    await line.ping()
  }
  t.equal(body(line).length, 20)
  t.ok(isEnded(line))
  const tunnel = await get(t)
  tunnel.stream.answer('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  for (let nth = 0; nth < 4; nth++) {
    tunnel.stream.answer('x'.repeat(5))
    await tunnel.line.ping()
  }
  t.equal(body(tunnel.line).length, 20)
  t.notOk(isEnded(tunnel.line))
})

test('a head has what its service wrote, and nothing of Node’s; without a body it is all of its answer', async (t) => {
  for (const [answer, block, flags] of [
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', '880f0d0130', END_HEADERS | END_STREAM],
    ['HTTP/1.1 204 No Content\r\n\r\n', '89', END_HEADERS | END_STREAM],
    [OK, '880f0d023230', END_HEADERS],
    ['HTTP/1.1 101 Switching Protocols\r\n\r\n', '88', END_HEADERS],
  ] as const) {
    const { line, stream } = await get(t)
    stream.answer(answer)
    await line.ping()
    t.same(
      line.ofKind(kinds.HEADERS).map((one) => [one.payload.toString('hex'), one.flags]),
      [[block, flags]],
      answer,
    )
    t.same(line.ofKind(kinds.DATA), [])
  }
})

test('a server that does not read yet gets nothing yet', async (t) => {
  const { line, stream } = await post(t, { isRead: false })
  line.send(h2.data(1, 'early'))
  await line.ping()
  t.equal(stream.got, '')
  stream.client.resume()
  await eventually(() => stream.got === '5\r\nearly\r\n')
})

test('bytes that wait for the connection are queued, and not unacked: the connection is judged for them', async (t) => {
  const { line, stream, client } = await get(t, { first: window(1_000_000) })
  const waits = client as ClientStream
  t.notOk(waits.isWaitingForConnection)
  stream.answer(`HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n${'x'.repeat(80_000)}`)
  await eventually(() => body(line).length === 65_535)
  t.same([client.queued, client.unacked, waits.isWaitingForConnection], [80_000 - 65_535, 0, true])
  line.send(h2.windowUpdate(0, 100_000))
  await eventually(() => body(line).length === 80_000)
  t.same([client.queued, waits.isWaitingForConnection], [0, false])
  const shut = await get(t, { first: window(5) })
  shut.stream.answer(`${OK}${'x'.repeat(20)}`)
  await eventually(() => body(shut.line).length === 5)
  t.notOk((shut.client as ClientStream).isWaitingForConnection)
})

test('a client that has ended its half loses a stream whose answer cannot get on, and no other', async (t) => {
  const half = `HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n${'x'.repeat(10)}`
  const empty = await get(t, { first: window(10) })
  empty.stream.answer(half)
  await eventually(() => body(empty.line).length === 10)
  empty.line.client.fin()
  await empty.line.clock.pass(500)
  t.same(empty.stream.closes, [], 'nothing waits')
  empty.stream.answer('x'.repeat(10))
  await empty.line.clock.pass(500)
  t.match(empty.stream.closes, [{ reason: 'aborted' }])
  const slow = await get(t)
  slow.line.client.stall()
  slow.stream.answer(`HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n${'x'.repeat(60_000)}`)
  await eventually(() => slow.line.client.queued > 49_152)
  slow.line.client.fin()
  await slow.line.clock.pass(500)
  t.same(slow.stream.closes, [], 'its windows are open')
  const shut = await get(t, { first: window(1_000_000) })
  shut.stream.answer(`HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n${'x'.repeat(80_000)}`)
  await eventually(() => body(shut.line).length === 65_535)
  shut.line.client.fin()
  await shut.line.clock.pass(500)
  t.match(shut.stream.closes, [{ reason: 'aborted' }], 'the window of its connection is shut')
})

test('the code of RST_STREAM is that of the reason', async (t) => {
  const { line, stream } = await get(t)
  stream.close(makeClose('internal_error', 'sidegate', 'relay'))
  await eventually(() => closed(stream) && resets(line).length > 0)
  t.same(resets(line), [codes.INTERNAL_ERROR])
  t.equal(stream.closed, null, 'our own end is no error')
})

test('a server is told once that its stream is gone, and not from within a call of its own', async (t) => {
  const { line, stream, client } = await get(t)
  client.close('reset')
  t.notOk(closed(stream))
  client.close('reset')
  await eventually(() => closed(stream) && resets(line).length > 0)
  client.close('reset')
  client.resume()
  client.pause()
  await line.ping()
  t.equal(line.ends.length, 1)
  t.same(resets(line).length, 1)
})

test('bytes in frames are not queued, and those that wait for a shut window of the stream are unacked', async (t) => {
  const { line, stream, client } = await get(t, { first: window(5) })
  stream.answer(`${OK}${'x'.repeat(12)}`)
  stream.answer('x'.repeat(8))
  await eventually(() => body(line).length === 5)
  t.same([client.queued, client.unacked], [15, 15])
  line.client.inKernel = 3
  line.client.measure()
  await Promise.resolve()
  t.equal(client.unacked, 0, 'some are on their way')
  line.client.inKernel = 0
  line.client.measure()
  await Promise.resolve()
  t.equal(client.unacked, 15)
  line.send(h2.windowUpdate(1, 100))
  await eventually(() => body(line).length === 20)
  t.same([client.queued, client.unacked], [0, 0])
  t.ok(stream.progress > 0)
})

test('the memory of a stream is not held by Node once it is closed', async (t) => {
  const { stream, client } = await get(t)
  stream.done()
  await eventually(() => closed(stream))
  t.ok(client.isClosed)
})

const answers = {
  'without a body': {
    text: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    frames: [[kinds.HEADERS, END_STREAM]],
  },
  'of a known length': {
    text: `${OK}${'x'.repeat(20)}`,
    frames: [
      [kinds.HEADERS, 0],
      [kinds.DATA, END_STREAM],
    ],
  },
  'with trailers': {
    text: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n',
    frames: [
      [kinds.HEADERS, 0],
      [kinds.DATA, 0],
      [kinds.HEADERS, END_STREAM],
    ],
  },
}

const turns = async (count: number): Promise<void> => {
  for (let nth = 0; nth < count; nth++) await turn()
}

for (const [what, { text, frames }] of Object.entries(answers))
  for (const manner of ['flush', 'deliver'] as const)
    for (const request of ['without a body', 'complete', 'not complete'] as const)
      for (const isEarly of [true, false])
        test(`an answer ${what} that waits for its connection is whole: a request ${request}, ${manner} ${isEarly ? 'with' : 'after'} its end`, async (t) => {
          const line = memorySession(t, { first: window(1_000_000), isRead: false })
          line.send(h2.windowUpdate(0, 1_000_000), h2.headers(1, h2.GET))
          if (request === 'without a body') line.send(h2.headers(3, h2.GET))
          else line.send(h2.headers(3, POST, END_HEADERS))
          if (request === 'complete') line.send(h2.data(3, 'x', END_STREAM))
          await line.ping()
          const [large, other] = line.served
          line.client.stall()
          large!.answer(`HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n${'x'.repeat(500_000)}`)
          // The connection is full: Node writes nothing more.
          for (let before = -1; before < line.client.queued; await turns(5)) before = line.client.queued
          other!.answer(text)
          // Node ends its side of the stream before the client takes anything.
          if (!isEarly) await turns(20)
          other!.client.close(manner)
          await turns(20)
          line.client.take(10_000_000)
          await eventually(() => closed(other!))
          await line.ping()
          const came = line.frames().filter(({ stream }) => stream === 3)
          t.same(
            came.map(({ type, flags }) => [type, flags & END_STREAM]),
            request === 'not complete' ? [...frames, [kinds.RST_STREAM, 0]] : frames,
          )
        })

test('a stream whose end is under way as its session falls is over: nobody else tells its server', async (t) => {
  const { line, stream, client } = await get(t, { first: window(4) })
  // A pair that ends already has nothing to do for a further cause.
  stream.close = () => {}
  stream.connection.end = makeClose('reset', 'upstream', 'relay')
  stream.answer(`${OK}abcdefghijklmnopqrst`)
  client.close('deliver')
  await line.ping()
  t.same([closed(stream), client.queued], [false, 16])
  line.send(h2.goaway(0, codes.INTERNAL_ERROR))
  await eventually(() => closed(stream))
})
