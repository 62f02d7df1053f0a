// The end of a client's connection: how it is asked to leave, when it goes, and its last GOAWAY.

import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { Reason } from '../../src/core/close.ts'
import { eventually } from '../support/eventually.ts'
import * as h2 from '../support/h2-frames.ts'
import { memorySession } from './memory-session.ts'

const ALL = 0x7fff_ffff
const { NO_ERROR, INTERNAL_ERROR, ENHANCE_YOUR_CALM, STREAM_CLOSED } = h2.codes
const ours = (reason: Reason) => makeClose(reason, 'sidegate', 'relay')
type Line = ReturnType<typeof memorySession>
const askToLeave = ({ connection }: Line, reason: Reason = 'drain'): void =>
  connection.owner!.close(ours(reason))

/** Answers the PINGs between the two GOAWAYs. */
async function answerPings(line: Line, isOver = false): Promise<void> {
  for (let answered = 0; answered < 2; answered++) {
    await line.ping()
    const asked = line.ofKind(h2.kinds.PING).filter(({ flags }) => flags === 0)[answered]
    if (asked !== undefined) line.send(h2.frame(h2.kinds.PING, h2.ACK, 0, asked.payload))
  }
  if (!isOver) await line.ping()
}

test('a client that is asked to leave twice is told once, and leaves by the first reason', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  askToLeave(line, 'lifetime_timeout')
  askToLeave(line)
  await answerPings(line)
  t.same(line.goaways(), [
    [ALL, NO_ERROR, 'lifetime_timeout'],
    [1, NO_ERROR, ''],
  ])
  stream.done()
  t.match(await line.end(), { reason: 'lifetime_timeout' })
})

test('the last stream is told once, though the answer to the PING and the second that it may take pass', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  askToLeave(line)
  await answerPings(line)
  t.equal(line.goaways().length, 2)
  await line.clock.pass(3000)
  await line.ping()
  t.equal(line.goaways().length, 2)
  stream.done()
  await line.end()
  t.equal(line.goaways().length, 2, 'nor again at the end')
})

test('a request right behind the answer to the PING is served, and no GOAWAY says that it is not', async (t) => {
  for (const isInOneRead of [true, false]) {
    const line = memorySession(t)
    askToLeave(line)
    await line.ping()
    const asked = line.ofKind(h2.kinds.PING).find(({ flags }) => flags === 0)
    const answer = h2.frame(h2.kinds.PING, h2.ACK, 0, asked!.payload)
    // nghttp2 answers a PING ahead of the requests that its client has made before.
    if (isInOneRead) line.send(answer, h2.headers(1, h2.GET))
    else {
      line.send(answer)
      line.send(h2.headers(1, h2.GET))
    }
    const stream = await line.stream()
    await answerPings(line)
    t.same(line.goaways(), [
      [ALL, NO_ERROR, 'drain'],
      [1, NO_ERROR, ''],
    ])
    stream.done()
    t.match(await line.end(), { reason: 'drain' })
  }
})

test('a client that answers no PING is told the last stream after a second, and not before', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  askToLeave(line)
  await line.clock.pass(999)
  await line.ping()
  t.equal(line.goaways().length, 1)
  await line.clock.pass(251)
  await line.ping()
  t.same(line.goaways().at(-1), [1, NO_ERROR, ''])
  stream.done()
  t.match(await line.end(), { reason: 'drain' })
})

test('a client that has said by GOAWAY that it leaves is told the last stream without a round trip', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  line.send(h2.goaway())
  await line.ping()
  const before = line.goaways().length
  askToLeave(line)
  await line.ping()
  t.same(line.goaways().slice(before), [[1, NO_ERROR, '']], 'and no stream is allowed again')
  stream.done()
  t.match(await line.end(), { reason: 'drain' })
})

test('a client that says by GOAWAY that it met a fault ends as aborted, whether it was leaving or not', async (t) => {
  for (const isLeaving of [false, true]) {
    const line = memorySession(t)
    line.send(h2.headers(1, h2.GET))
    await line.ping()
    if (isLeaving) line.send(h2.goaway())
    await line.ping()
    line.send(h2.goaway(0, INTERNAL_ERROR))
    t.match(await line.end(), { reason: 'aborted', side: 'client', detail: 'GOAWAY with INTERNAL_ERROR' })
    t.match(line.served[0]!.closes, [{ reason: 'aborted' }])
    line.served[0]!.client.close('reset')
    await eventually(() => line.ends.length > 1)
    await line.clock.pass(1000)
    t.equal(line.ends.length, 2, 'the stream hears once')
  }
})

test('a client whose fault has just ended its session can be asked to leave, and ends', async (t) => {
  const line = memorySession(t)
  await line.ping()
  line.send(h2.goaway(0, INTERNAL_ERROR))
  askToLeave(line)
  await line.end()
  t.ok(line.client.isClosed || line.client.isEnding)
})

test('in a drain a client that was not asked yet is asked at the end of a stream', async (t) => {
  let leaving: 'drain' | null = null
  const line = memorySession(t, {
    context: { leaving: () => leaving },
  })
  line.send(h2.headers(1, h2.GET), h2.headers(3, h2.GET), h2.headers(5, h2.GET))
  await line.ping()
  line.served[0]!.done()
  await line.ping()
  t.equal(line.goaways().length, 0)
  leaving = 'drain'
  line.served[1]!.done()
  await answerPings(line)
  t.same(line.goaways(), [
    [ALL, NO_ERROR, 'drain'],
    [5, NO_ERROR, ''],
  ])
  line.served[2]!.done()
  t.match(await line.end(), { reason: 'drain' })
})

for (const { reason, code, isFin } of [
  { reason: 'killed', code: NO_ERROR, isFin: false },
  { reason: 'overloaded', code: ENHANCE_YOUR_CALM, isFin: false },
  { reason: 'internal_error', code: INTERNAL_ERROR, isFin: false },
  { reason: 'message_too_big', code: ENHANCE_YOUR_CALM, isFin: true },
  { reason: 'eof', code: NO_ERROR, isFin: true },
] as const)
  test(`${reason}: one GOAWAY says why, and up to which stream the client was heard`, async (t) => {
    const line = memorySession(t)
    line.send(h2.headers(1, h2.GET), h2.headers(3, h2.GET))
    await line.ping()
    askToLeave(line, reason)
    t.same(line.goaways(), [[3, code, reason]])
    t.equal(line.client.closes[0], isFin ? 'flush' : 'reset')
    t.same(
      line.served.map(({ closes }) => closes),
      [[ours(reason)], [ours(reason)]],
    )
    if (isFin) line.client.fin()
    t.match(await line.end(), { reason })
  })

test('a stream in the same read as the one at which its connection ended is not served', async (t) => {
  const line = memorySession(t)
  const { served } = line
  const push = served.push.bind(served)
  served.push = (one) => {
    push(one)
    askToLeave(line, 'killed')
    return served.length
  }
  line.send(h2.headers(1, h2.GET), h2.headers(3, h2.GET))
  t.match(await line.end(), { reason: 'killed' })
  await eventually(() => line.ends.length === 2)
  t.equal(served.length, 1)
  t.equal(line.registry.size, 1, 'the connection, which the test does not take out')
})

test('a client at rest leaves once it has answered the PING, and nothing of its last requests is lost', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  askToLeave(line)
  stream.done()
  await line.clock.pass(500)
  t.same(line.ends, [stream.connection], 'a request may be on its way')
  await answerPings(line, true)
  t.match(await line.end(), { reason: 'drain' })
  t.same(line.goaways().at(-1), [1, NO_ERROR, ''])
})

test('streams hear of the end as one of their relay, and the client is told in no more bytes than count', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET))
  const stream = await line.stream()
  line.connection.owner!.close({ ...ours('drain_timeout'), phase: 'close' })
  t.same(stream.closes, [ours('drain_timeout')])
  t.equal(line.connection.toClient.sent, line.client.got.length)
  await line.end()
})

test('an end that cannot wait is told to a client that is leaving already', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET))
  await line.stream()
  askToLeave(line)
  await answerPings(line)
  askToLeave(line, 'overloaded')
  t.same(line.goaways(), [
    [ALL, NO_ERROR, 'drain'],
    [1, NO_ERROR, ''],
    [1, ENHANCE_YOUR_CALM, 'overloaded'],
  ])
  t.match(await line.end(), { reason: 'overloaded' })
})

test('a client that leaves at the first GOAWAY is told the last stream with its end, and has left as it was asked', async (t) => {
  const line = memorySession(t)
  await line.ping()
  askToLeave(line)
  line.client.fin()
  t.match(await line.end(), { reason: 'drain', side: 'sidegate' })
  t.same(line.goaways(), [
    [ALL, NO_ERROR, 'drain'],
    [0, NO_ERROR, 'drain'],
  ])
})

test('a client that is asked to leave, and says itself that it does, has left as it was asked', async (t) => {
  const line = memorySession(t)
  await line.ping()
  askToLeave(line)
  line.send(h2.goaway())
  t.match(await line.end(), { reason: 'drain', side: 'sidegate' })
})

test('streams that have last bytes to send hear of the end of a connection that takes none', async (t) => {
  const line = memorySession(t, { first: h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 5]) })
  line.send(h2.headers(1, h2.GET), h2.headers(3, h2.GET))
  await line.ping()
  for (const one of line.served) {
    one.manner = 'deliver'
    one.answer(`HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n${'x'.repeat(10)}`)
  }
  await line.ping()
  askToLeave(line, 'killed')
  t.match(await line.end(), { reason: 'killed' })
  await eventually(() => line.ends.length === 3)
})

test('a rule that the client broke is told once, as its fault', async (t) => {
  const line = memorySession(t)
  line.send(h2.headers(1, h2.GET))
  await line.ping()
  line.send(h2.data(1, 'behind its end'))
  t.match(await line.end(), { reason: 'protocol_error', side: 'client' })
  t.same(
    line.goaways().map(([, code]) => code),
    [STREAM_CLOSED],
  )
})

test('a client that answers its first GOAWAY by one of its own ends as it was asked to, with and without a stream', async (t) => {
  for (const hasStream of [false, true]) {
    const line = memorySession(t)
    if (hasStream) line.send(h2.headers(1, h2.GET))
    await line.ping()
    askToLeave(line)
    line.send(h2.goaway())
    if (hasStream) (await line.stream()).done()
    t.match(await line.end(), { reason: 'drain', side: 'sidegate' })
  }
})

test('no GOAWAY precedes our SETTINGS, whatever ends a connection in the turn in which it begins', async (t) => {
  for (const reason of ['drain', 'reloaded', 'killed', 'overloaded'] as const) {
    const line = memorySession(t)
    askToLeave(line, reason)
    const isPatient = reason === 'drain' || reason === 'reloaded'
    // Node writes its PING in a turn after our GOAWAY.
    const isSaid = (): boolean =>
      !isPatient || line.ofKind(h2.kinds.PING).some(({ flags }) => flags !== h2.ACK)
    await eventually(() => line.goaways().length > 0 && isSaid())
    const types = line.frames().map(({ type, flags }) => (flags === h2.ACK ? null : type))
    t.equal(types[0], h2.kinds.SETTINGS, reason)
    t.equal(line.ofKind(h2.kinds.SETTINGS).filter(({ flags }) => flags !== h2.ACK).length, 1, reason)
    t.same(line.goaways()[0]!.slice(0, 1), [isPatient ? ALL : 0])
    if (isPatient) t.ok(types.indexOf(h2.kinds.PING) > types.indexOf(h2.kinds.GOAWAY), 'then the round trips')
    line.client.fin()
    await line.end()
  }
})
