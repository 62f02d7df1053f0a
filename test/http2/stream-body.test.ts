// The body of a request on its way into a stream, and into another one where the service refused the first.
// The streams are the test's.

import type { ClientHttp2Stream } from 'node:http2'
import { test } from 'tap'
import { StreamBody } from '../../src/http2/stream-body.ts'
import { NO_FIELDS } from '../../src/http1/fields.ts'

/** Takes one write, and the next once the test says so. */
class Stream {
  got = ''
  ends = 0
  closed = false
  destroyed = false
  writableEnded = false
  #written: (() => void) | null = null

  on(): void {}
  cork(): void {}
  uncork(): void {}

  write(bytes: Buffer, written?: () => void): void {
    this.got += bytes.toString('latin1')
    if (written !== undefined) this.#written = written
  }

  end(): void {
    this.ends++
    this.writableEnded = true
  }

  /** All that it has is in frames. */
  take(): void {
    const written = this.#written
    this.#written = null
    written?.()
  }
}

function setUp() {
  const told = { taken: 0 }
  const body = new StreamBody(() => told.taken++)
  return {
    body,
    told,
    attach(stream = new Stream()): Stream {
      body.attach(stream as unknown as ClientHttp2Stream)
      return stream
    },
    send(text: string): void {
      const bytes = Buffer.from(text, 'latin1')
      body.data(bytes, 0, bytes.length)
    },
  }
}

test('one write is under way at a time; what waits is counted, and its end goes with the last', (t) => {
  const { body, told, attach, send } = setUp()
  const stream = attach()
  send('one')
  send('two')
  t.same([stream.got, body.queued, body.given], ['one', 6, 3])
  body.end(NO_FIELDS)
  t.equal(stream.ends, 0)
  stream.take()
  t.same([stream.got, stream.ends, body.queued, body.given], ['onetwo', 1, 3, 6])
  stream.take()
  t.same([stream.ends, body.queued, told.taken], [1, 0, 2])
  t.end()
})

test('a body that is not whole is not ended', (t) => {
  const { attach, send } = setUp()
  const stream = attach()
  send('one')
  stream.take()
  t.equal(stream.ends, 0)
  t.end()
})

test('sixteen kibibytes are remembered, and no byte more', (t) => {
  for (const pieces of [[16_384], [10_000, 6384]]) {
    const { body, attach, send } = setUp()
    attach()
    for (const bytes of pieces) send('x'.repeat(bytes))
    t.ok(body.isRepeatable, pieces.join())
    send('y')
    t.notOk(body.isRepeatable)
    send('z')
    t.notOk(body.isRepeatable, 'what follows does not make it whole again')
  }
  t.end()
})

test('a body that nobody asks for again is not remembered', (t) => {
  const { body, attach, send } = setUp()
  attach()
  send('one')
  body.forget()
  t.notOk(body.isRepeatable)
  send('two')
  t.notOk(body.isRepeatable)
  t.end()
})

test('another stream gets all of it once, whatever the first had taken', (t) => {
  for (const taken of [0, 1, 2]) {
    const { body, told, attach, send } = setUp()
    const first = attach()
    send('one')
    send('two')
    for (let i = 0; i < taken; i++) first.take()
    const before = told.taken
    first.closed = true
    send('six')
    t.notMatch(first.got, 'six', 'what is closed gets nothing more')
    body.detach()
    t.equal(body.queued, 9, 'all of it waits')
    const second = attach()
    t.same([second.got, body.queued, body.given], ['onetwosix', 9, 9], `${taken} taken`)
    first.take()
    t.same([body.queued, told.taken], [9, before], 'the first tells of nothing any more')
    body.end(NO_FIELDS)
    second.take()
    t.same([second.got, second.ends, body.queued], ['onetwosix', 1, 0])
  }
  t.end()
})

test('what comes between two streams goes to the second, however much it is; then it is too much for a third', (t) => {
  for (const isKnown of [true, false]) {
    const { body, attach, send } = setUp()
    const first = attach()
    send('one')
    first.closed = true
    if (isKnown) body.detach()
    send('x'.repeat(20_000))
    if (!isKnown) body.detach()
    t.ok(body.isRepeatable)
    t.equal(body.queued, 20_003, 'and its client waits for it')
    const second = attach()
    t.equal(body.queued, 20_003)
    while (body.queued > 0) second.take()
    t.equal(second.got, `one${'x'.repeat(20_000)}`)
    t.notOk(body.isRepeatable)
  }
  t.end()
})

test('a write that ends with its stream is nothing taken', (t) => {
  const { body, told, attach, send } = setUp()
  const stream = attach()
  send('one')
  stream.closed = true
  stream.take()
  t.same([body.queued, told.taken], [3, 0])
  t.end()
})
