import { test } from 'tap'
import type { Close } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import type { Half } from '../../src/pair/half.ts'
import { judgeAnswer } from '../../src/http1/answer-head.ts'
import type { JudgedAnswer } from '../../src/http1/answer-head.ts'
import { fieldsOf } from '../support/fields.ts'
import type { Header } from '../support/fields.ts'
import { PlainAnswer } from '../../src/http1/plain-answer.ts'
import { addressOf } from '../support/addresses.ts'

const judged = (headers: Header[], status = 401): JudgedAnswer => {
  const answer = judgeAnswer(
    { version: '1.1', status, reason: 'Why', headers: fieldsOf(headers) },
    'GET',
    false,
  )
  if (typeof answer === 'string') throw new Error(answer)
  return answer
}
const ofLength = (bytes: number): Header[] => [['Content-Length', String(bytes)]]
const CHUNKED: Header[] = [['Transfer-Encoding', 'chunked']]
const UNTIL_END: Header[] = []

/** A body fed by hand: what is forwarded, and how the connection ends. */
function body(
  headers: Header[],
  isLenient = false,
): {
  plain: PlainAnswer
  feed: (text: string, direction?: 'to_client' | 'to_upstream') => void
  sent: () => string
  ends: Close[]
  half: Half
} {
  const connection = new Connection(1, 'l', 'websocket', addressOf('192.0.2.1:1'), 0)
  const ends: Close[] = []
  connection.owner = {
    close: (close) => void ends.push(close),
    queued: () => 0,
    lastDrainAt: () => 0,
    isPaused: () => false,
  }
  const plain = new PlainAnswer(connection, judged(headers), {
    isLenient,
    idle: { current: { answerIdleMs: 1000 } },
  })
  let sent = ''
  const forward = (bytes: Buffer, start: number, end: number): void =>
    void (sent += bytes.toString('latin1', start, end))
  const half = {
    direction: 'to_client',
    activity: 0,
    forward,
    flow: { received: 0 },
    isPaused: false,
    isDelayed: false,
    sink: { queued: 0 },
  } as unknown as Half
  plain.attach(half)
  const feed = (text: string, direction: 'to_client' | 'to_upstream' = 'to_client'): void => {
    const bytes = Buffer.from(`${text}stale`)
    plain.relay(
      direction === 'to_client' ? half : ({ direction, forward } as unknown as Half),
      bytes,
      bytes.length - 5,
    )
  }
  return { plain, feed, sent: () => sent, ends, half }
}

test('a body ends with its last byte, and what comes behind it goes nowhere', (t) => {
  const length = body(ofLength(10))
  length.feed('hello')
  t.same([length.ends, length.half.activity], [[], 1])
  length.feed('worldHTTP/1.1 200 OK')
  t.equal(length.sent(), 'helloworld')
  t.match(length.ends, [{ reason: 'eof', side: 'upstream', phase: 'relay' }])
  const chunked = body(CHUNKED)
  chunked.feed('5\r\nhello\r\n0\r\n')
  t.same(chunked.ends, [])
  chunked.feed('\r\nHTTP/1.1 200 OK')
  t.equal(chunked.sent(), '5\r\nhello\r\n0\r\n\r\n')
  t.match(chunked.ends, [{ reason: 'eof' }])
  const none = body(ofLength(0))
  t.match(none.ends, [{ reason: 'eof' }], 'no bytes are complete at once')
  t.end()
})

test('FIN completes a body that has no other end, and cuts every other one short', (t) => {
  const { plain, half, feed, sent } = body(UNTIL_END)
  feed('hello')
  t.match(plain.onSourceEnd(half), { reason: 'eof', side: 'upstream', httpStatus: 401 })
  t.equal(sent(), '5\r\nhello\r\n0\r\n\r\n', 'which the client sees without its FIN')
  for (const cut of [ofLength(10), CHUNKED]) {
    const { plain, half, feed } = body(cut)
    feed(cut === CHUNKED ? '5\r\nhello\r\n' : 'hello')
    t.match(plain.onSourceEnd(half), { reason: 'aborted', side: 'upstream', detail: 'FIN inside the body' })
  }
  t.end()
})

test('a malformed chunked body ends the connection, and its bytes do not go on', (t) => {
  const { feed, sent, ends } = body(CHUNKED)
  feed('5\r\nhello\r\n')
  feed('x\r\n')
  t.match(ends, [
    {
      reason: 'protocol_error',
      side: 'upstream',
      detail: /^malformed chunk at byte \d+ of the body: expected a chunk size$/,
    },
  ])
  t.equal(sent(), '5\r\nhello\r\n')
  t.end()
})

test('what is written loosely goes on strictly, where it may be written so', (t) => {
  const loose = body(CHUNKED, true)
  loose.feed('05 \nhel\n2;a=b\r\nlo\r\n0\n\n'.replace('05 ', '03 '))
  t.equal(loose.sent(), '5\r\nhello\r\n0\r\n\r\n')
  const strict = body(CHUNKED)
  strict.feed('3 \nhel\n')
  t.match(strict.ends, [{ reason: 'protocol_error' }])
  t.end()
})

test('what the client sends after a declined upgrade goes nowhere, and its FIN changes nothing', (t) => {
  const { plain, feed, sent, ends } = body(UNTIL_END)
  feed('GET /smuggled HTTP/1.1\r\n\r\n', 'to_upstream')
  t.same([sent(), ends], ['', []])
  t.equal(plain.onSourceEnd({ direction: 'to_upstream' } as Half), null)
  t.same([plain.isAnswered(), plain.sweep(0)], [false, null])
  t.end()
})

test('an answer that stalls in its body ends by upstreamIdle; one that goes on, is not taken, or is made of events lives', (t) => {
  const { plain, half } = body(ofLength(100))
  const turn = (
    now: number,
    seen: { received?: number; queued?: number; isPaused?: boolean },
  ): string | null => {
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
  const events = body([['Content-Type', 'Text/Event-Stream; charset=utf-8']])
  t.equal(events.plain.sweep(0), null)
  t.equal(events.plain.sweep(100_000), null)
  t.end()
})
