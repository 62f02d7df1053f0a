// Windows that are opened by a few bytes: shut ones by a client that has each byte sent alone, and wide ones by
// a client that acknowledges what it reads.

import { test } from 'tap'
import { budgets } from '../../src/http2/frame-budgets.ts'
import * as h2 from '../support/h2-frames.ts'
import { connection, get, isFlood, serve } from './budgeted-line.ts'

for (const [step, isDribble] of [
  [1, true],
  [63, true],
  [64, false],
] as const)
  test(`a shut window that is opened by ${step} is ${isDribble ? 'not ' : ''}paid for by the frame that it makes us send`, (t) => {
    const line = connection()
    serve(line, 1)
    line.flow.setInitial(0)
    const count = line.until((nth) => {
      if (nth > 1) line.gate(h2.data(1, Buffer.alloc(step)))
      return h2.windowUpdate(1, step)
    })
    t.equal(count, isDribble ? budgets.dribbles.burst + 1 : Number.POSITIVE_INFINITY)
    if (isDribble) isFlood(t, line, budgets.dribbles.words)
    t.end()
  })

test('a stream that begins with a shut window, and is opened by a byte in the same read', (t) => {
  const line = connection()
  line.flow.setInitial(0)
  const count = line.until((nth) => [get(2 * nth + 1), h2.windowUpdate(2 * nth + 1, 1)])
  t.equal(count, budgets.dribbles.burst + 1)
  t.end()
})

test('gRPC of C++ opens each stream by 5 bytes, and acknowledges small messages: it calls for ever', (t) => {
  const line = connection()
  for (let id = 1; id < 20_000; id += 2) {
    line.client(get(id), h2.windowUpdate(id, 5))
    serve(line, id)
    line.client(h2.data(id, Buffer.alloc(7), h2.END_STREAM))
    line.gate(h2.headers(id, h2.GET, h2.END_HEADERS), h2.data(id, Buffer.alloc(7)))
    line.gate(h2.headers(id, h2.GET))
    line.client(h2.windowUpdate(0, 7), h2.windowUpdate(id, 7))
  }
  t.equal(line.fault, null)
  t.end()
})

test('a stream of messages of a few bytes, each of which is acknowledged, goes on for ever', (t) => {
  const line = connection()
  line.client(get(1))
  serve(line, 1)
  for (let at = 0; at < 10_000; at++) {
    line.gate(h2.data(1, Buffer.alloc(15)))
    line.client(h2.windowUpdate(1, 15), h2.windowUpdate(0, 15))
  }
  t.equal(line.fault, null)
  t.end()
})

test('a client may acknowledge each of many small messages that came in one frame, later and however slowly', (t) => {
  const line = connection()
  line.client(get(1))
  serve(line, 1)
  for (let at = 0; at < 4; at++) line.gate(h2.data(1, Buffer.alloc(16_000)))
  const acknowledge = (): Buffer[] => [h2.windowUpdate(1, 5), h2.windowUpdate(0, 5)]
  t.equal(line.until(acknowledge, 64_000 / 5), Number.POSITIVE_INFINITY)
  const { burst, words } = budgets.windows
  t.equal(line.until(acknowledge), burst / 2 + 1, 'and what came to nobody is not paid for')
  isFlood(t, line, words)
  t.end()
})

test('an acknowledgement by the byte counts as one of five', (t) => {
  const line = connection()
  line.client(get(1))
  serve(line, 1)
  line.gate(h2.data(1, Buffer.alloc(10_000)))
  t.equal(
    line.until(() => h2.windowUpdate(1, 1), 20_000),
    (2 * 10_000) / 5 + budgets.windows.burst + 1,
  )
  t.end()
})
