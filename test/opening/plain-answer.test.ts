import { test } from 'tap'
import type { Close } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import type { Half } from '../../src/pair/half.ts'
import type { AnswerHead, Header } from '../../src/http1/head.ts'
import { answerIdleOf, PlainAnswer, plainAnswerHead } from '../../src/opening/plain-answer.ts'
import type { Framing } from '../../src/opening/plain-answer.ts'

const answer = (status: number, headers: Header[] = [], version: '1.0' | '1.1' = '1.1'): AnswerHead => ({ version, status, reason: 'Why', headers })
const framing = (status: number, headers: Header[] = [], version: '1.0' | '1.1' = '1.1'): Framing | string => {
  const plain = plainAnswerHead(answer(status, headers, version))
  return typeof plain === 'string' ? plain : plain.framing
}

test('the end of a body is known in one way only', (t) => {
  const end = { kind: 'end' }
  t.same(framing(200), end)
  t.same(framing(401, [['content-length', '5']]), { kind: 'length', bytes: 5 })
  t.same(framing(200, [['Content-Length', '0']]), { kind: 'length', bytes: 0 })
  t.same(framing(200, [['Content-Length', '999999999999999']]), { kind: 'length', bytes: 999_999_999_999_999 })
  t.same(framing(200, [['Transfer-Encoding', 'Chunked']]), { kind: 'chunked' })
  t.same(framing(204), { kind: 'length', bytes: 0 })
  t.same(framing(304), { kind: 'length', bytes: 0 })
  t.same(framing(304, [['Content-Length', '5']]), { kind: 'length', bytes: 0 }, '304 tells the length of what it does not send')
  t.same(framing(200, [['Content-Length', '5']], '1.0'), { kind: 'length', bytes: 5 })
  t.same(framing(200, [], '1.0'), end)
  t.end()
})

test('an answer whose end two parsers could see in two places is refused', (t) => {
  const coding = 'a transfer coding other than chunked'
  t.equal(framing(200, [['Content-Length', '5'], ['Transfer-Encoding', 'chunked']]), 'both Content-Length and Transfer-Encoding')
  for (const value of ['gzip', 'gzip, chunked', 'chunked, chunked', 'chunked, identity', 'xchunked', 'chunked;a=b', '"chunked"']) t.equal(framing(200, [['Transfer-Encoding', value]]), coding, value)
  t.equal(framing(200, [['Transfer-Encoding', 'chunked'], ['transfer-encoding', 'chunked']]), coding)
  t.equal(framing(200, [['Transfer-Encoding', 'chunked']], '1.0'), coding)
  for (const status of [204, 304]) t.equal(framing(status, [['Transfer-Encoding', 'chunked']]), 'a transfer coding where there is no body')
  for (const value of ['', '05', '010', '+5', '-5', '5 ', '5,5', '5, 6', '0x5', '5.0', '5e1', '1000000000000000', 'five']) t.equal(framing(200, [['Content-Length', value]]), 'malformed Content-Length', JSON.stringify(value))
  t.equal(framing(200, [['Content-Length', '5'], ['content-length', '5']]), 'malformed Content-Length', 'even twice the same')
  t.equal(framing(204, [['Content-Length', 'x']]), 'malformed Content-Length')
  t.end()
})

test('an empty Transfer-Encoding does not hide what follows it', (t) => {
  t.equal(framing(200, [['Transfer-Encoding', ''], ['Content-Length', '5']]), 'both Content-Length and Transfer-Encoding')
  t.equal(framing(200, [['Transfer-Encoding', ',chunked']]), 'a transfer coding other than chunked')
  t.end()
})

test('the head that goes on ends the connection, and says what Upgrade means only where it is due', (t) => {
  const headers: Header[] = [['Connection', 'keep-alive, Upgrade, X-Hop'], ['Upgrade', 'websocket'], ['Keep-Alive', '5'], ['X-Hop', '1'], ['WWW-Authenticate', 'Basic'], ['Transfer-Encoding', 'chunked'], ['Set-Cookie', 'a'], ['Set-Cookie', 'b']]
  const head = (status: number): string => (plainAnswerHead(answer(status, headers)) as { head: Buffer }).head.toString()
  t.equal(head(401), 'HTTP/1.1 401 Why\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: close\r\n\r\n')
  t.match(head(426), 'Upgrade: websocket\r\n')
  t.match(head(426), 'Connection: close, Upgrade\r\n\r\n')
  t.equal(plainAnswerHead(answer(401, [['Connection', 'Set-Cookie']])), 'Connection lists set-cookie')
  t.end()
})

/** A body fed by hand: what is forwarded, and how the connection ends. */
function body(framing: Framing): { plain: PlainAnswer; feed: (text: string, direction?: 'to_client' | 'to_upstream') => void; sent: () => string; ends: Close[]; half: Half } {
  const connection = new Connection(1, 'l', 'websocket', 'c', 0)
  const ends: Close[] = []
  connection.owner = { close: (close) => void ends.push(close), queued: () => 0, takenAt: () => 0, isPaused: () => false }
  const plain = new PlainAnswer(connection, framing, { current: { answerIdleMs: 1000 } })
  let sent = ''
  const forward = (bytes: Buffer, start: number, end: number): void => void (sent += bytes.toString('latin1', start, end))
  const half = { direction: 'to_client', activity: 0, forward, flow: { received: 0 }, isPaused: false, isDelayed: false, sink: { queued: 0 } } as unknown as Half
  const feed = (text: string, direction: 'to_client' | 'to_upstream' = 'to_client'): void => {
    const bytes = Buffer.from(`${text}stale`)
    plain.relay(direction === 'to_client' ? half : ({ direction, forward } as unknown as Half), bytes, bytes.length - 5)
  }
  return { plain, feed, sent: () => sent, ends, half }
}

test('a body ends with its last byte, and what comes behind it goes nowhere', (t) => {
  const length = body({ kind: 'length', bytes: 10 })
  length.feed('hello')
  t.same([length.ends, length.half.activity], [[], 1])
  length.feed('worldHTTP/1.1 200 OK')
  t.equal(length.sent(), 'helloworld')
  t.match(length.ends, [{ reason: 'eof', side: 'upstream', phase: 'relay' }])
  const chunked = body({ kind: 'chunked' })
  chunked.feed('5\r\nhello\r\n0\r\n')
  t.same(chunked.ends, [])
  chunked.feed('\r\nHTTP/1.1 200 OK')
  t.equal(chunked.sent(), '5\r\nhello\r\n0\r\n\r\n')
  t.match(chunked.ends, [{ reason: 'eof' }])
  const none = body({ kind: 'length', bytes: 0 })
  none.plain.attach(none.half)
  t.match(none.ends, [{ reason: 'eof' }], 'no bytes are complete at once')
  t.end()
})

test('FIN completes a body that has no other end, and cuts every other one short', (t) => {
  const { plain, half } = body({ kind: 'end' })
  t.match(plain.onSourceEnd(half), { reason: 'eof', side: 'upstream' })
  for (const cut of [{ kind: 'length', bytes: 10 }, { kind: 'chunked' }] as const) {
    const { plain, half, feed } = body(cut)
    feed(cut.kind === 'length' ? 'hello' : '5\r\nhello\r\n')
    t.match(plain.onSourceEnd(half), { reason: 'aborted', side: 'upstream', detail: 'FIN inside the body' })
  }
  t.end()
})

test('a malformed chunked body ends the connection, and its bytes do not go on', (t) => {
  const { feed, sent, ends } = body({ kind: 'chunked' })
  feed('5\r\nhello\r\n')
  feed('x\r\n')
  t.match(ends, [{ reason: 'protocol_error', side: 'upstream', detail: 'malformed chunked body' }])
  t.equal(sent(), '5\r\nhello\r\n')
  t.end()
})

test('what the client sends after a declined upgrade goes nowhere, and its FIN changes nothing', (t) => {
  const { plain, feed, sent, ends, half } = body({ kind: 'end' })
  plain.attach(half)
  feed('GET /smuggled HTTP/1.1\r\n\r\n', 'to_upstream')
  t.same([sent(), ends], ['', []])
  t.equal(plain.onSourceEnd({ direction: 'to_upstream' } as Half), null)
  t.same([plain.isAnswered(), plain.sweep(0)], [false, null])
  t.end()
})

test('an answer that stalls in its body ends by upstreamIdle; one that goes on, is not taken, or is made of events lives', (t) => {
  const { plain, half } = body({ kind: 'length', bytes: 100 })
  plain.attach(half)
  const turn = (now: number, seen: { received?: number; queued?: number; isPaused?: boolean }): string | null => {
    const { received = half.flow.received, queued = 0, isPaused = false } = seen
    Object.assign(half, { flow: { received }, sink: { queued }, isPaused })
    return plain.sweep(now)?.reason ?? null
  }
  t.equal(turn(0, {}), null)
  t.equal(turn(999, {}), null)
  t.equal(turn(1500, { received: 1 }), null, 'a byte')
  t.equal(turn(2600, { queued: 5 }), null, 'a client that does not take what there is')
  t.equal(turn(3700, { isPaused: true }), null)
  t.equal(plain.describe().next?.at, 4700)
  t.equal(turn(4699, {}), null)
  t.match(plain.sweep(4700), { reason: 'idle_timeout', side: 'upstream', phase: 'relay' })
  const head = (type: string) => answer(200, [['Content-Type', type]])
  t.equal(answerIdleOf(head('Text/Event-Stream; charset=utf-8'), { current: { answerIdleMs: 5 } }).current.answerIdleMs, Infinity)
  t.equal(answerIdleOf(head('text/html'), { current: { answerIdleMs: 5 } }).current.answerIdleMs, 5)
  t.end()
})
