// A stream that is cancelled in the turn in which its body ends, while its connection is read: the reset comes
// in the next turn (reset-stream.ts). Whatever else happens in between, the stream ends once and is no whole
// message, and the process goes on: Node aborts it where a stream is destroyed too early.

import type net from 'node:net'
import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { Reason } from '../../src/core/close.ts'
import { eventually } from '../support/eventually.ts'
import * as h2 from '../support/h2-frames.ts'
import { DATA, GOAWAY, h2Service, rawH2Service, RST_STREAM, frame, word } from '../support/h2-services.ts'
import type { SeenFrame } from '../support/h2-services.ts'
import { askAt } from '../support/upstream-streams.ts'
import type { Streams } from '../support/upstream-streams.ts'
import { memorySession } from './memory-session.ts'

const { CANCEL, INTERNAL_ERROR, NO_ERROR } = h2.codes
const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n'
/** The end of a chunked body. */
const END = '0\r\n\r\n'
const POST = h2.literals(...h2.request({ ':method': 'POST' }))

type Line = ReturnType<typeof memorySession>
const asked =
  (reason: Reason) =>
  ({ connection }: Line): void =>
    connection.owner!.close(makeClose(reason, 'sidegate', 'relay'))
const none: readonly Buffer[] = []

interface Meanwhile {
  /** Frames that come in one read with the DATA. */
  frames?: readonly Buffer[]
  /** In the turn of the reset. */
  run?: (line: Line) => void
  /** How the connection ends; null if it goes on. */
  reason: Reason | null
}

const towardsClient: Record<string, Meanwhile> = {
  nothing: { reason: null },
  'a drain': { run: asked('drain'), reason: 'drain' },
  'the lifetime of its connection': { run: asked('lifetime_timeout'), reason: 'lifetime_timeout' },
  'a kill of its connection': { run: asked('killed'), reason: 'killed' },
  'a timeout of its connection': { run: asked('write_timeout'), reason: 'write_timeout' },
  'a GOAWAY of the client': { frames: [h2.goaway()], reason: 'eof' },
  'a GOAWAY of the client that names a fault': { frames: [h2.goaway(0, INTERNAL_ERROR)], reason: 'aborted' },
  'a GOAWAY of the client, and a drain': { frames: [h2.goaway()], run: asked('drain'), reason: 'drain' },
  'the end of the upload': { frames: [h2.data(1, '', h2.END_STREAM)], reason: null },
  'a RST_STREAM of the client': { frames: [h2.rst(1)], reason: null },
  'a broken rule of the client': { frames: [h2.data(2, 'x')], reason: 'protocol_error' },
  'the FIN of the client': { run: ({ client }) => client.fin(), reason: 'eof' },
  'the RST of the client': { run: ({ client }) => client.rst(), reason: 'reset' },
}

for (const isLeaving of [false, true])
  for (const [what, { frames = none, run, reason }] of Object.entries(towardsClient))
    test(`an answer to a client, and in its turn ${what}${isLeaving ? ', where clients are to leave' : ''}`, async (t) => {
      const line = memorySession(t, { context: { leaving: () => (isLeaving ? 'reloaded' : null) } })
      line.send(h2.headers(1, POST, h2.END_HEADERS))
      const stream = await line.stream()
      stream.answer(`HTTP/1.1 200 OK\r\n${CHUNKED}`)
      await line.ping()
      let isReset = false
      stream.onBytes = () => {
        if (isReset) return true
        isReset = true
        stream.answer(END)
        stream.client.close('reset')
        run?.(line)
        return true
      }
      line.send(h2.data(1, 'x'), ...frames)
      await eventually(() => stream.closed !== undefined, { what: 'the end of the stream' })
      const ended = line
        .frames()
        .filter(({ type, flags }) => type <= h2.kinds.HEADERS && (flags & h2.END_STREAM) !== 0)
      t.same(ended, [], 'the answer is not whole')
      const end = isLeaving && (reason ?? 'eof') === 'eof' ? 'reloaded' : reason
      if (end !== null) {
        // A client that is asked to leave has a second for that.
        await line.clock.pass(1250)
        t.equal((await line.end()).reason, end)
      } else {
        await line.ping()
        line.send(h2.headers(3, h2.GET))
        await eventually(() => line.served[1])
        t.same(
          line.ofKind(h2.kinds.RST_STREAM).map(({ payload }) => payload.readUInt32BE(0)),
          what.includes('RST_STREAM') ? [] : [CANCEL],
        )
      }
      t.equal(line.ends.filter((one) => one === stream.connection).length, 1)
    })

const REQUEST = `POST / HTTP/1.1\r\nHost: a\r\n${CHUNKED}`
const OK = frame(1, 4, 1, Buffer.from([0x88]))
const goaway = (last: number, code: number): Buffer =>
  frame(GOAWAY, 0, 0, Buffer.concat([word(last), word(code)]))

const towardsService: Record<
  string,
  { frames?: Buffer[]; run?: (streams: Streams) => void; end?: (socket: net.Socket) => void }
> = {
  nothing: {},
  'a reload or a drain of its address': { run: ({ sessions }) => sessions.clear() },
  'a GOAWAY of the service': { frames: [goaway(1, NO_ERROR)] },
  'a GOAWAY that leaves the stream out': { frames: [goaway(0, NO_ERROR)] },
  'a GOAWAY that names a fault': { frames: [goaway(1, INTERNAL_ERROR)] },
  'a GOAWAY, and a reload': { frames: [goaway(1, NO_ERROR)], run: ({ sessions }) => sessions.clear() },
  'a RST_STREAM of the service': { frames: [frame(RST_STREAM, 0, 1, word(CANCEL))] },
  'a refusal of the service': { frames: [frame(RST_STREAM, 0, 1, word(h2.codes.REFUSED_STREAM))] },
  'a broken rule of the service': { frames: [frame(0, 0, 2, 'x')] },
  'the FIN of the service': { end: (socket) => socket.end() },
  'the RST of the service': { end: (socket) => socket.resetAndDestroy() },
}

for (const [what, { frames = [], run, end }] of Object.entries(towardsService))
  test(`a request to a service, and in its turn ${what}`, async (t) => {
    const seen: SeenFrame[] = []
    let heads = 0
    const service = await rawH2Service(
      t,
      (send) => {
        heads++
        send(Buffer.concat([OK, frame(0, 0, 1, 'x'), ...frames]))
        end?.(socket)
      },
      (_send, one) => seen.push(one),
    )
    const streams = askAt(t, service.port)
    const { endpoint, owner, write } = await streams.open()
    owner.onBytes = () => {
      if (endpoint.isClosed) return true
      write(END)
      endpoint.close('reset')
      run?.(streams)
      return true
    }
    const { socket } = await service.connection()
    write(REQUEST)
    await eventually(() => owner.ends === 1 && streams.sessions.counts.streams === 0)
    await eventually(
      () => socket.destroyed || seen.some(({ type }) => type === RST_STREAM || type === GOAWAY),
    )
    const ends = seen.filter(({ type, flags }) => type === DATA && (flags & h2.END_STREAM) !== 0)
    t.same([ends, heads], [[], 1], 'the request is not whole, and has no trailers')
    t.equal(owner.ends, 1)
  })

test('a session lives on after such a cancel', async (t) => {
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.write('x')
  })
  const streams = askAt(t, service.port)
  for (let nth = 0; nth < 20; nth++) {
    const { endpoint, owner, write } = await streams.open()
    owner.onBytes = () => {
      if (endpoint.isClosed) return true
      write(END)
      endpoint.close('reset')
      return true
    }
    write(REQUEST)
    await eventually(() => owner.ends === 1 && streams.sessions.counts.streams === 0)
  }
  t.equal(service.sessions.length, 1)
  await eventually(() => service.ended.length === 20)
  t.same(new Set(service.ended), new Set([CANCEL]))
})
