// A stream leaves nothing behind on its session, however it ended, and the session counts no completed stream
// as a cancel.

import { test } from 'tap'
import { http2Codes } from '../../src/core/close.ts'
import { eventually } from '../support/eventually.ts'
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
  SETTINGS,
  WINDOW_UPDATE,
  word,
} from '../support/h2-services.ts'
import type { SeenFrame } from '../support/h2-services.ts'
import { askAt } from '../support/upstream-streams.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n'
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n'
/** One more than a session takes of cancels, and of streams that nobody reads with large windows. */
const [MANY_ENDS, MANY_STALLED] = [201, 17]
const [SMALL, LARGE] = [16_384, 65_535]

/** SETTINGS_INITIAL_WINDOW_SIZE, each time that it is told. */
function windowsIn({ payload }: SeenFrame): number[] {
  const told: number[] = []
  for (let at = 0; at < payload.length; at += 6)
    if (payload.readUInt16BE(at) === 4) told.push(payload.readUInt32BE(at + 2))
  return told
}

test('an owner that parts in the moment in which the last of an answer comes has cancelled nothing', async (t) => {
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end('body')
  })
  const { open, sessions } = askAt(t, service.port)
  for (let nth = 0; nth < MANY_ENDS; nth++) {
    const { endpoint, owner, write } = await open()
    endpoint.owner = {
      onBytes: (_endpoint, bytes, length) => {
        if (bytes.toString('latin1', 0, length).endsWith('0\r\n\r\n')) endpoint.close('drop')
        return true
      },
      onEnd() {},
      onProgress() {},
      onClosed: () => owner.ends++,
    }
    write(GET)
    await eventually(() => owner.ends === 1 && sessions.counts.streams === 0)
  }
  t.equal(service.sessions.length, 1)
  t.same(new Set(service.ended), new Set([0]))
})

test('an owner that parts from a stream that its service has closed, its request half taken, has cancelled nothing', async (t) => {
  const service = await rawH2Service(t, (send, stream) => {
    send(frame(HEADERS, END_HEADERS | END_STREAM, stream, OK))
    send(frame(RST_STREAM, 0, stream, word(http2Codes.NO_ERROR)))
    send(frame(WINDOW_UPDATE, 0, 0, word(65_535)))
  })
  const { open, sessions } = askAt(t, service.port)
  for (let nth = 0; nth < MANY_ENDS; nth++) {
    const { endpoint, owner, write } = await open()
    write(POST + 'x'.repeat(80_000))
    await eventually(() => owner.got !== '' && sessions.counts.streams === 0)
    endpoint.close('drop')
  }
  t.match(sessions.counts, { open: 1, leaving: 0 })
})

for (const size of [0, 1000, 30_000])
  test(`an owner that parts from a whole answer of ${size} bytes that it has not read leaves nothing`, async (t) => {
    const service = await h2Service(t, (stream) => {
      stream.respond({ ':status': 200 })
      stream.end('x'.repeat(size))
    })
    const { open, sessions } = askAt(t, service.port)
    const { endpoint, owner, write } = await open()
    owner.mayRead = false
    write(GET)
    await eventually(() => service.ended.length === 1 && (size === 0 || endpoint.unread! >= size))
    endpoint.close('reset')
    await eventually(() => owner.ends === 1 && sessions.counts.streams === 0)
    sessions.clear()
    await eventually(() => sessions.counts.open + sessions.counts.leaving === 0)
    t.same(service.ended, [0])
  })

test('what is kept of answers that were cut is no reason for small windows', async (t) => {
  const told: number[] = []
  let send = (_bytes: Buffer): void => {}
  const service = await rawH2Service(
    t,
    (write, stream) => {
      send = write
      send(frame(HEADERS, END_HEADERS, stream, OK))
      send(frame(DATA, 0, stream, 'x'.repeat(1000)))
    },
    (_send, seen) => seen.type === SETTINGS && told.push(...windowsIn(seen)),
  )
  const { open, sessions } = askAt(t, service.port)
  /** What either side has said before has arrived then. */
  const ask = async (): Promise<void> => {
    const { endpoint, owner, write } = await open()
    write(GET)
    await eventually(() => owner.got.includes('xxx'))
    endpoint.close('drop')
  }
  const all = await Promise.all(Array.from({ length: MANY_STALLED }, open))
  for (const { owner, write } of all) {
    owner.mayRead = false
    write(GET)
  }
  await eventually(() => told.at(-1) === SMALL && all.every(({ endpoint }) => endpoint.unread! >= 1000))
  for (let nth = 0; nth < MANY_STALLED; nth++)
    send(frame(RST_STREAM, 0, 2 * nth + 1, word(http2Codes.INTERNAL_ERROR)))
  await eventually(() => sessions.counts.streams === 0 && told.at(-1) === LARGE)
  await ask()
  // Each takes what is kept, and then nothing more.
  for (const { endpoint } of all) endpoint.resume()
  await eventually(() => all.every(({ owner }) => owner.got.includes('xxx')))
  await ask()
  t.equal(told.at(-1), LARGE)
})

test('streams that nobody reads make the windows small of the session on which they are sent again', async (t) => {
  const service = await h2Service(t, () => {})
  const { open } = askAt(t, service.port)
  const all = await Promise.all(Array.from({ length: MANY_STALLED }, open))
  for (const { endpoint, write } of all) {
    endpoint.pause()
    write(GET)
  }
  await eventually(() => service.streams.length === MANY_STALLED)
  const refused = service.streams.slice()
  service.sessions[0]!.close()
  for (const stream of refused) stream.close(http2Codes.REFUSED_STREAM)
  await eventually(() => service.streams.length === 2 * MANY_STALLED)
  t.equal(service.sessions.length, 2)
  await eventually(() => service.sessions[1]!.remoteSettings.initialWindowSize === SMALL)
})
