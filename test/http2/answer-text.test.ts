import { test } from 'tap'
import { answerText, interimText } from '../../src/http2/answer-text.ts'

const GET = { isEnd: false, method: 'GET' }
const LENGTH = [':status', '200', 'content-length', '5']
const TRAILED = [...LENGTH, 'trailer', 'x-sum']
const lengthLine = 'content-length: 5\r\n'
const chunkedLine = 'Transfer-Encoding: chunked\r\n'

for (const { what, status = 200, fields, shape = GET, lines, body } of [
  { what: 'a body of a length', fields: LENGTH, lines: lengthLine, body: 'length' },
  { what: 'a body without', fields: ['x', 'y'], lines: `x: y\r\n${chunkedLine}`, body: 'chunked' },
  {
    what: 'trailers behind a length, which leaves no room for them',
    fields: ['content-length', '5', 'trailer', 'x-sum'],
    lines: `trailer: x-sum\r\n${chunkedLine}`,
    body: 'chunked',
  },
  {
    what: 'trailers announced',
    fields: ['trailer', 'a'],
    lines: `trailer: a\r\n${chunkedLine}`,
    body: 'chunked',
  },
  {
    what: 'no body',
    fields: [],
    shape: { ...GET, isEnd: true },
    lines: 'Content-Length: 0\r\n',
    body: 'none',
  },
  {
    what: 'no body, and a length',
    fields: LENGTH,
    shape: { ...GET, isEnd: true },
    lines: lengthLine,
    body: 'none',
  },
  {
    what: 'no body, and trailers announced',
    fields: TRAILED,
    shape: { ...GET, isEnd: true },
    lines: `${lengthLine}trailer: x-sum\r\n`,
    body: 'none',
  },
  {
    what: 'an answer to HEAD',
    fields: LENGTH,
    shape: { ...GET, method: 'HEAD' },
    lines: lengthLine,
    body: 'none',
  },
  {
    what: 'an answer to HEAD with trailers announced',
    fields: TRAILED,
    shape: { ...GET, method: 'HEAD' },
    lines: `${lengthLine}trailer: x-sum\r\n`,
    body: 'none',
  },
  {
    what: 'an answer to HEAD of no length',
    fields: [],
    shape: { isEnd: true, method: 'HEAD' },
    lines: '',
    body: 'none',
  },
  { what: '204', status: 204, fields: [], shape: { ...GET, isEnd: true }, lines: '', body: 'none' },
  { what: '204 whose end is to come', status: 204, fields: [], lines: '', body: 'none' },
  { what: '304', status: 304, fields: LENGTH, lines: lengthLine, body: 'none' },
] as {
  what: string
  status?: number
  fields: string[]
  shape?: typeof GET
  lines: string
  body: string
}[])
  test(`the framing of ${what}`, (t) => {
    const made = answerText(status, fields, shape)
    t.equal(made.body, body)
    t.match(made.head, new RegExp(`^HTTP/1\\.1 ${status} [A-Z][A-Za-z ]+\r\n`))
    t.equal(made.head.slice(made.head.indexOf('\r\n') + 2), `${lines}Connection: close\r\n\r\n`)
    t.end()
  })

test('a status that nobody knows has no words', (t) => {
  t.match(answerText(299, [], GET).head, /^HTTP\/1\.1 299 \r\n/)
  t.equal(interimText(199, [':status', '199', 'a', 'b']), 'HTTP/1.1 199 \r\na: b\r\n\r\n')
  t.match(interimText(103, []), /^HTTP\/1\.1 103 Early Hints\r\n\r\n$/)
  t.end()
})
