import { test } from 'tap'
import { MessageReader } from '../../src/http2/message-reader.ts'
import type { Framing } from '../../src/http1/body.ts'

function setUp(framing: Framing) {
  const told = { head: '', data: '', ends: 0 }
  const reader = new MessageReader({
    onHead(text) {
      told.head += text
      return framing
    },
    data: (bytes, start, end) => void (told.data += bytes.toString('latin1', start, end)),
    onEnd: () => void told.ends++,
  })
  const read = (text: string): void => reader.read(Buffer.from(text, 'latin1'), 0, text.length)
  return { told, reader, read }
}

const HEAD = 'POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n'

test('a message is the same in one piece and in many; what follows it is none of its', (t) => {
  for (const pieces of [[`${HEAD}abcdef`], [...`${HEAD}abc`.split(''), 'def']]) {
    const { told, read } = setUp({ kind: 'length', bytes: 3 })
    for (const piece of pieces) read(piece)
    t.same(told, { head: HEAD, data: 'abc', ends: 1 }, `in ${pieces.length}`)
  }
  t.end()
})

test('one without a body ends with its head, once', (t) => {
  const { told, reader, read } = setUp({ kind: 'none' })
  reader.readHead(HEAD)
  t.equal(told.ends, 1)
  read('abc')
  t.same(told, { head: HEAD, data: '', ends: 1 })
  t.end()
})

test('a head of a mebibyte passes; one without end and a malformed body are bugs of ours', (t) => {
  const long = `POST / HTTP/1.1\r\nx: ${'x'.repeat(1024 * 1024)}\r\n\r\n`
  const { told, read } = setUp({ kind: 'none' })
  read(long)
  t.equal(told.head.length, long.length)
  t.throws(() => setUp({ kind: 'none' }).read('x'.repeat(17 * 1024 * 1024)), /without end/)
  const chunked = setUp({ kind: 'chunked' })
  chunked.read(HEAD)
  t.throws(() => chunked.read('no chunk\r\n'), /a body of ours/)
  t.end()
})
