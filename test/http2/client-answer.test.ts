// The answer to a stream, read again from the HTTP/1.1 that the engine writes.

import { test } from 'tap'
import { InvariantError } from '../../src/core/errors.ts'
import { answerFields, AnswerReader } from '../../src/http2/client-answer.ts'
import type { AnswerSink } from '../../src/http2/client-answer.ts'

/** Records its calls as words. */
class Sink implements AnswerSink {
  readonly told: string[] = []
  body = ''

  onInterim({ status }: { status: number }): void {
    this.told.push(`interim ${status}`)
  }

  onAccepted({ status }: { status: number }): void {
    this.told.push(`accepted ${status}`)
  }

  onHead({ status }: { status: number }, { kind }: { kind: string }): void {
    this.told.push(`head ${status} ${kind}`)
  }

  data(bytes: Buffer, start: number, end: number): void {
    if (start >= end) this.told.push('nothing')
    this.body += bytes.toString('latin1', start, end)
  }

  onEnd(trailers: { list: readonly { name: { key: string }; value: string }[] }): void {
    this.told.push(['end', ...trailers.list.map(({ name, value }) => `${name.key}=${value}`)].join(' '))
  }
}

function setUp(method = 'GET') {
  const sink = new Sink()
  const reader = new AnswerReader(method, sink)
  /** In pieces of that size, with other bytes around each. */
  const read = (text: string, size = text.length): void => {
    for (let at = 0; at < text.length; at += size) {
      const piece = text.slice(at, at + size)
      reader.read(Buffer.from(`??${piece}??`, 'latin1'), 2, 2 + piece.length)
    }
  }
  return { sink, reader, read }
}

const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

for (const size of [1, 7, 10_000])
  test(`interim answers, a head, a body and its trailers, in pieces of ${size}`, (t) => {
    const { sink, reader, read } = setUp()
    read(
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${chunked}4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n`,
      size,
    )
    t.same(sink.told, ['interim 100', 'interim 103', 'head 200 chunked', 'end x-sum=42'])
    t.equal(sink.body, 'body')
    t.ok(reader.isComplete)
    t.end()
  })

test('a body of a length ends with it, and what is written behind it goes nowhere', (t) => {
  const { sink, reader, read } = setUp()
  read('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo')
  t.notOk(reader.isComplete)
  read('dy and more')
  read('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore')
  t.same([sink.told, sink.body], [['head 200 length', 'end'], 'body'])
  t.end()
})

test('a head alone may come as text, and completes an answer without a body', (t) => {
  for (const [method, head, framing] of [
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n', '200 none'],
    ['HEAD', chunked, '200 none'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', '204 none'],
    ['GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 100\r\n\r\n', '204 none'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n', '304 none'],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', '200 none'],
  ] as const) {
    const { sink, reader } = setUp(method)
    reader.readHead(head)
    t.same(sink.told, [`head ${framing}`, 'end'], head)
    t.ok(reader.isComplete)
  }
  const { sink, reader, read } = setUp()
  reader.readHead(chunked)
  t.notOk(reader.isComplete)
  read('4\r\nbody\r\n0\r\n\r\n')
  t.same([sink.told, sink.body], [['head 200 chunked', 'end'], 'body'])
  t.end()
})

test('behind a 101 all bytes are of the tunnel, also those that look like a head', (t) => {
  const { sink, reader, read } = setUp()
  read('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')
  t.same([sink.told, sink.body], [['accepted 101'], ''])
  read('HTTP/1.1 200 OK\r\n\r\n')
  t.same([sink.told, sink.body], [['accepted 101'], 'HTTP/1.1 200 OK\r\n\r\n'])
  t.notOk(reader.isComplete)
  t.end()
})

test('bytes of a tunnel may come with its 101', (t) => {
  const { sink, read } = setUp()
  read('HTTP/1.1 101 Switching Protocols\r\n\r\nraw')
  t.same([sink.told, sink.body], [['accepted 101'], 'raw'])
  t.end()
})

test('a malformed answer is a bug of ours', (t) => {
  t.throws(() => setUp().read('nonsense\r\n\r\n'), InvariantError)
  t.throws(() => setUp().read(`${chunked}nonsense\r\n`), InvariantError)
  t.end()
})

test('a long answer of single bytes is none: each was all that a read brought', (t) => {
  const { sink, reader, read } = setUp()
  read(chunked)
  for (let nth = 0; nth < 20_000; nth++) read('1\r\nx\r\n')
  read('0\r\n\r\n')
  t.ok(reader.isComplete)
  t.equal(sink.body.length, 20_000)
  t.end()
})

test('fields of one connection stay behind, and the proof of a WebSocket with them', (t) => {
  const seen: string[][] = []
  const sink = Object.assign(new Sink(), {
    onHead: (head: Parameters<typeof answerFields>[0]) => void seen.push(answerFields(head)),
    onAccepted: (head: Parameters<typeof answerFields>[0]) => void seen.push(answerFields(head)),
  })
  const fields =
    'Connection: x\r\nKeep-Alive: timeout=5\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: proof\r\nX-Fine: 1\r\nX-Fine: 2\r\n\r\n'
  new AnswerReader('GET', sink).readHead(`HTTP/1.1 101 Switching Protocols\r\n${fields}`)
  new AnswerReader('GET', sink).readHead(`HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n${fields}`)
  t.same(seen, [
    [':status', '200', 'x-fine', '1', 'x-fine', '2'],
    [':status', '404', 'sec-websocket-accept', 'proof', 'x-fine', '1', 'x-fine', '2'],
  ])
  t.end()
})
