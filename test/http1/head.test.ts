import fc from 'fast-check'
import { readAnswerHead } from '../../src/http1/answer-head.ts'
import { test } from 'tap'
import { Field, type Fields } from '../../src/http1/fields.ts'
import {
  encodeHead as encode,
  endToEndHeaders as passOn,
  parseAnswerHead as readAnswer,
  parseRequestHead as readRequest,
  withCrlf,
} from '../../src/http1/head.ts'
import { CONNECTION, TRANSFER_ENCODING, UPGRADE } from '../../src/http1/header-name.ts'
import type { EndToEndOptions } from '../../src/http1/head.ts'
import { fieldsOf, pairsOf } from '../support/fields.ts'
import type { Header } from '../support/fields.ts'
import { HeadCollector, MORE, TOO_BIG } from '../../src/http1/head-collector.ts'
import { runs } from '../support/runs.ts'

const MAX = 16 * 1024
const inPairs = <Head extends { headers: Fields }>(head: Head | string) =>
  typeof head === 'string' ? head : { ...head, headers: pairsOf(head.headers) }
const parseRequestHead = (text: string) => inPairs(readRequest(text))
const parseAnswerHead = (text: string) => inPairs(readAnswer(text))
const encodeHead = (first: string, headers: readonly Header[]): Buffer =>
  encode(
    first,
    headers.map(([key, text]) => Field.of(key, text)),
  )
const endToEndHeaders = (headers: readonly Header[], options?: EndToEndOptions): Header[] | string => {
  const passed = passOn(fieldsOf(headers), options)
  return typeof passed === 'string' ? passed : pairsOf(passed)
}
const request = (...lines: string[]): string => ['GET / HTTP/1.1', ...lines, '', ''].join('\r\n')

/** Gives `bytes` to a reader in those pieces, each in a buffer that is overwritten afterwards, as the shared one is. */
function readInPieces(bytes: Buffer, sizes: number[], maxBytes = MAX): { head: unknown; at: number } {
  const reader = new HeadCollector(maxBytes)
  const shared = Buffer.alloc(64 * 1024, '\r\n\r\n')
  for (let at = 0, piece = 0; at < bytes.length; piece++) {
    const length = Math.min(sizes[piece] ?? bytes.length, bytes.length - at)
    bytes.copy(shared, 0, at, at + length)
    const end = reader.read(shared, 0, length)
    shared.fill('\r\n\r\n', 0, length + 8)
    if (end === TOO_BIG) return { head: 'too big', at: at + length }
    if (end !== MORE) return { head: reader.take(), at: at + end }
    at += length
  }
  return { head: 'more', at: bytes.length }
}

const tokenChar = fc.constantFrom(...Array.from("!#$%&'*+-.^_`|~0123456789abcXYZ"))
const name = fc.string({ unit: tokenChar, minLength: 1, maxLength: 20 })
const visible = fc
  .integer({ min: 0x21, max: 0xff })
  .filter((code) => code !== 0x7f)
  .map((code) => String.fromCharCode(code))
const value = fc
  .string({ unit: fc.oneof({ weight: 5, arbitrary: visible }, fc.constantFrom(' ', '\t')), maxLength: 60 })
  .map((text) => text.trim())
  .filter((text) => !/^[\s\u0085\u00a0]|[\s\u0085\u00a0]$/.test(text))
const headers = fc.array(fc.tuple(name, value), { maxLength: 20 })
const blanks = fc.string({ unit: fc.constantFrom(' ', '\t'), maxLength: 3 })

test('a right head is understood as it was written', (t) => {
  t.same(parseRequestHead(request('Host: a', 'X-Empty:', 'x-two:  \t b  c \t')), {
    method: 'GET',
    target: '/',
    version: '1.1',
    headers: [
      ['Host', 'a'],
      ['X-Empty', ''],
      ['x-two', 'b  c'],
    ],
  })
  t.match(parseRequestHead('OPTIONS * HTTP/1.0\r\n\r\n'), {
    method: 'OPTIONS',
    target: '*',
    version: '1.0',
    headers: [],
  })
  t.match(parseRequestHead(request('A: \x80\xff')), { headers: [['A', '\x80\xff']] })
  t.match(parseAnswerHead('HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n'), {
    version: '1.1',
    status: 101,
    reason: 'Switching Protocols',
    headers: [['A', 'b']],
  })
  t.match(parseAnswerHead('HTTP/1.1 200 \r\n\r\n'), { status: 200, reason: '' })
  t.match(parseAnswerHead('HTTP/1.0 200\r\n\r\n'), { version: '1.0', status: 200, reason: '' })
  t.end()
})

test('names and values of any right head come back as they were', (t) => {
  fc.assert(
    fc.property(headers, blanks, blanks, (list, before, after) => {
      const lines = list.map(([key, text]) => `${key}:${before}${text}${after}`)
      t.strictSame(parseRequestHead(request(...lines)), {
        method: 'GET',
        target: '/',
        version: '1.1',
        headers: list,
      })
    }),
    { numRuns: runs(300) },
  )
  t.end()
})

test('encodeHead writes what the parser reads', (t) => {
  fc.assert(
    fc.property(headers, (list) => {
      const text = encodeHead('GET / HTTP/1.1', list).toString('latin1')
      t.match(parseRequestHead(text), { headers: list })
    }),
    { numRuns: runs(200) },
  )
  t.end()
})

const badLines: Record<string, string> = {
  'obs-fold': 'A: b\r\n c: d',
  'obs-fold with a tab': 'A: b\r\n\tc',
  'a blank before the first name': ' A: b',
  'space before the colon': 'Content-Length : 5',
  'tab before the colon': 'A\t: b',
  'no colon': 'A b',
  'no colon, and one in the next line': 'A\r\nB: c',
  'no name': ': b',
  'an empty line of blanks': '  ',
  'a name in brackets': '[A]: b',
  'a name with a space': 'A B: c',
  'a name with a slash': 'A/B: c',
  'a name that is not ASCII': 'Ä: b',
  'NUL in a name': 'A\0: b',
  'NUL in a value': 'A: b\0c',
  'NUL at the end': 'A: b\0',
  'ESC in a value': 'A: \x1b[2J',
  'DEL in a value': 'A: b\x7fc',
  'vertical tab in a value': 'A: b\vc',
  'form feed before a value': 'A:\fb',
}

test('header lines that parsers read in more than one way are refused', (t) => {
  for (const [what, line] of Object.entries(badLines)) {
    t.match(
      parseRequestHead(request('Host: a', line)),
      /^malformed header line at byte \d+: expected ./,
      what,
    )
    t.match(
      parseAnswerHead(`HTTP/1.1 200 OK\r\nB: c\r\n${line}\r\n\r\n`),
      /^malformed header line at byte \d+: expected ./,
      `${what}, in an answer`,
    )
  }
  t.end()
})

test('a bare CR or LF anywhere is refused', (t) => {
  const heads = [
    'GET / HTTP/1.1\nHost: a\r\n\r\n',
    'GET / HTTP/1.1\r\nA: b\nContent-Length: 5\r\n\r\n',
    'GET / HTTP/1.1\r\nA: b\rContent-Length: 5\r\n\r\n',
    'GET / HTTP/1.1\r\nA: b\r\r\n\r\n',
    'GET / HTTP/1.1\r\n\rA: b\r\n\r\n',
    'GET / HTTP/1.1\r\nA: b\n\r\n\r\n',
    '\nGET / HTTP/1.1\r\n\r\n',
    '\rGET / HTTP/1.1\r\n\r\n',
    'GET /\r HTTP/1.1\r\n\r\n',
  ]
  for (const head of heads)
    t.match(
      parseRequestHead(head),
      /^bare CR or LF in the head at byte \d+: expected ./,
      JSON.stringify(head),
    )
  t.match(
    parseAnswerHead('HTTP/1.1 200 OK\nA: b\r\n\r\n'),
    /^bare CR or LF in the head at byte \d+: expected ./,
  )
  t.match(parseAnswerHead('HTTP/1.1 200 O\rK\r\n\r\n'), /^bare CR or LF in the head at byte \d+: expected ./)
  t.end()
})

test('request lines that are not exactly HTTP/1.x are refused', (t) => {
  const lines = [
    '',
    'GET /',
    'GET / ',
    'GET  / HTTP/1.1',
    ' GET / HTTP/1.1',
    'GET / HTTP/1.1 ',
    'GET / HTTP/1.1\t',
    'GET\t/ HTTP/1.1',
    'GET / HTTP/1.2',
    'GET / HTTP/2.0',
    'PRI * HTTP/2.0',
    'GET / HTTP/01.1',
    'GET / HTTP/1.10',
    'GET / http/1.1',
    'GET / HTTP/1',
    'GET / ICY/1.1',
    '/ HTTP/1.1',
    'G(T / HTTP/1.1',
    'GET /\0 HTTP/1.1',
    'GET /\xe4 HTTP/1.1',
    'GET /a b HTTP/1.1',
    'GET /\x7f HTTP/1.1',
    'G\xc9T / HTTP/1.1',
    '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
  ]
  for (const line of lines)
    t.match(
      parseRequestHead(`${line}\r\n\r\n`),
      /^malformed request line at byte \d+: expected ./,
      JSON.stringify(line),
    )
  t.match(
    parseRequestHead('\r\nGET / HTTP/1.1\r\n\r\n'),
    /^malformed request line at byte \d+: expected ./,
    'an empty line before the request',
  )
  t.end()
})

test('status lines that are not exactly HTTP/1.x are refused', (t) => {
  const lines = [
    '',
    'HTTP/1.1',
    'HTTP/1.1 ',
    'HTTP/1.1 20',
    'HTTP/1.1 2000',
    'HTTP/1.1 099 Odd',
    'HTTP/1.1  200 OK',
    'HTTP/1.1 200OK',
    'HTTP/2 200',
    'HTTP/1.2 200 OK',
    'http/1.1 200 OK',
    'HTTP/1.1 +20 OK',
    ' HTTP/1.1 200 OK',
    'HTTP/1.1 200 O\0K',
    'HTTP/1.1 200 \x1b',
    'GET / HTTP/1.1',
  ]
  for (const line of lines)
    t.match(
      parseAnswerHead(`${line}\r\n\r\n`),
      /^malformed status line at byte \d+: expected ./,
      JSON.stringify(line),
    )
  t.end()
})

test('256 header lines are read, one more is refused', (t) => {
  const lines = Array.from({ length: 257 }, (_, index) => `a${index}: b`)
  t.equal((parseRequestHead(request(...lines.slice(0, 256))) as { headers: unknown[] }).headers.length, 256)
  t.equal(parseRequestHead(request(...lines)), 'more than 256 header lines')
  t.equal(parseAnswerHead(`HTTP/1.1 200 OK\r\n${lines.join('\r\n')}\r\n\r\n`), 'more than 256 header lines')
  t.end()
})

test('a head of 16 KiB that is wrong only at its end is refused in time that grows with its length', (t) => {
  const runs = [
    ' '.repeat(MAX),
    '\t '.repeat(MAX / 2),
    'a '.repeat(MAX / 2),
    `a${' '.repeat(MAX)}`,
    ' a'.repeat(MAX / 2),
    ','.repeat(MAX),
    ':'.repeat(MAX),
  ]
  for (const run of runs) {
    // The slow way takes 250 ms for each; the fastest of three leaves the garbage collector and other processes out.
    const took = [1, 2, 3].map(() => {
      const before = process.cpuUsage()
      t.match(parseRequestHead(request(`A:${run}\x01`)), /^malformed header line at byte \d+: expected ./)
      fieldsOf([['connection', run]]).tokens(CONNECTION)
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1000
    })
    t.ok(
      Math.min(...took) < 50,
      `${JSON.stringify(run.slice(0, 4))}... took ${Math.min(...took).toFixed(1)} ms`,
    )
  }
  t.end()
})

test('however its bytes come, a head is the same and nothing behind it is taken', (t) => {
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { size: 'max', maxLength: 400 })
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 100 }), sizes, (list, rest, pieces) => {
      const head = encodeHead('GET /x HTTP/1.1', list)
      const read = readInPieces(Buffer.concat([head, rest]), pieces)
      t.equal(read.head, head.toString('latin1'))
      t.equal(read.at, head.length)
    }),
    { numRuns: runs(300) },
  )
  t.end()
})

test('byte by byte a head is the same', (t) => {
  const head = Buffer.from(request('Host: a', 'A: b'))
  const read = readInPieces(
    Buffer.concat([head, Buffer.from('rest')]),
    Array.from({ length: 200 }, () => 1),
  )
  t.same(read, { head: head.toString('latin1'), at: head.length })
  t.end()
})

test('the end of the last head in the shared buffer does not end this one', (t) => {
  const reader = new HeadCollector(MAX)
  const shared = Buffer.from('GET / HTTP/1.1\r\n\r\nstale')
  t.equal(reader.read(shared, 0, 16), MORE)
  t.equal(reader.isEmpty, false)
  t.same([reader.read(Buffer.from('\r\nmore'), 0, 6), reader.take()], [2, 'GET / HTTP/1.1\r\n\r\n'])
  t.equal(reader.isEmpty, true)
  t.end()
})

test('a head of exactly its bound is read, one byte more is too big, however it comes', (t) => {
  const exact = encodeHead('GET / HTTP/1.1', [['A', 'b'.repeat(100)]])
  for (const size of [1, 7, exact.length, 1000]) {
    const pieces = Array.from({ length: 200 }, () => size)
    t.equal(readInPieces(exact, pieces, exact.length).head, exact.toString('latin1'))
    t.equal(readInPieces(exact, pieces, exact.length - 1).head, 'too big')
    t.equal(readInPieces(Buffer.alloc(exact.length - 1, 'a'), pieces, exact.length - 1).head, 'more')
    t.same(readInPieces(Buffer.alloc(1000, 'a'), pieces, 99).head, 'too big')
  }
  t.same(
    readInPieces(
      Buffer.alloc(1000, 'a'),
      Array.from({ length: 1000 }, () => 1),
      99,
    ),
    { head: 'too big', at: 100 },
    'judged at the first byte over the bound',
  )
  t.end()
})

test('hop-by-hop headers and those that Connection lists do not go on', (t) => {
  const passed = endToEndHeaders([
    ['Host', 'a'],
    ['CONNECTION', 'Upgrade, X-Private'],
    ['Keep-Alive', '5'],
    ['Proxy-Connection', 'x'],
    ['Proxy-Authorization', 'x'],
    ['Proxy-Authenticate', 'x'],
    ['TE', 'trailers'],
    ['Trailer', 'x'],
    ['Transfer-Encoding', 'chunked'],
    ['Upgrade', 'h2c'],
    ['HTTP2-Settings', 'AAA'],
    ['x-private', '1'],
    ['Cookie', 'a=b'],
    ['X-Other', '1'],
    ['X-Other', '2'],
  ])
  t.same(passed, [
    ['Host', 'a'],
    ['Trailer', 'x'],
    ['Cookie', 'a=b'],
    ['X-Other', '1'],
    ['X-Other', '2'],
  ])
  t.same(
    endToEndHeaders(
      [
        ['Connection', 'close'],
        ['Transfer-Encoding', 'chunked'],
        ['Upgrade', 'x'],
      ],
      { keep: [TRANSFER_ENCODING] },
    ),
    [['Transfer-Encoding', 'chunked']],
  )
  t.end()
})

test('Connection may not list a header that says who asks or what is said, and read leniently that header stays', (t) => {
  const names = [
    'Host',
    'Content-Length',
    'Authorization',
    'Cookie',
    'Set-Cookie',
    'Origin',
    'Forwarded',
    'Via',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'Sec-WebSocket-Key',
    'Sec-WebSocket-Protocol',
    'Sec-WebSocket-Extensions',
  ]
  for (const listed of names) {
    const headers: Header[] = [
      ['Connection', `X-Other, close , ${listed.toUpperCase()}, Host`],
      [listed, 'x'],
      ['X-Other', 'y'],
    ]
    t.equal(endToEndHeaders(headers), listed.toLowerCase())
    t.same(endToEndHeaders(headers, { isLenient: true }), [[listed, 'x']])
  }
  t.equal(
    endToEndHeaders([
      ['Connection', 'close'],
      ['connection', 'x, cookie'],
    ]),
    'cookie',
    'in a second Connection header',
  )
  t.same(
    endToEndHeaders([
      ['Connection', 'X-Host'],
      ['X-Host', 'x'],
      ['Host', 'a'],
    ]),
    [['Host', 'a']],
    'a name that only looks like one may be listed',
  )
  t.end()
})

test('tokens are found over all values of a header, in any case, empty ones left out', (t) => {
  const list = fieldsOf([
    ['Connection', 'Keep-Alive,, UPGRADE ,'],
    ['x', 'y'],
    ['connection', 'TE'],
  ])
  t.same(list.tokens(CONNECTION), ['keep-alive', 'upgrade', 'te'])
  t.same(list.tokens(UPGRADE), [])
  t.same(list.values(CONNECTION), ['Keep-Alive,, UPGRADE ,', 'TE'])
  t.end()
})

test('empty lines before a head are left out, and the first empty line ends it, with CRLF or LF alone, in whatever pieces it comes', (t) => {
  const rows = [
    'GET / HTTP/1.1\r\nA: b\r\n\r\n',
    'GET / HTTP/1.1\nA: b\n\n',
    'GET / HTTP/1.1\r\nA: b\n\n',
    'GET / HTTP/1.1\nA: b\r\n\r\n',
    'GET / HTTP/1.1\nA: b\n\r\n',
  ]
  for (const before of ['', '\r\n', '\r\n\r\n\r\n']) {
    for (const head of rows) {
      const bytes = Buffer.from(`${before}${head}\n\nrest\r\n\r\n`)
      for (const sizes of [[], Array<number>(200).fill(1), Array<number>(200).fill(3)]) {
        const read = readInPieces(bytes, sizes)
        t.equal(read.head, head, JSON.stringify([before, head, sizes.length]))
        if (sizes[0] === 1) t.equal(read.at, before.length + head.length)
      }
      t.match(parseAnswerHead(withCrlf(head.replace('GET / HTTP/1.1', 'HTTP/1.1 200 OK'))), {
        status: 200,
        headers: [['A', 'b']],
      })
      t.match(
        parseRequestHead(head),
        head.replaceAll('\r\n', '').includes('\n') ? /bare/ : { headers: [['A', 'b']] },
      )
    }
  }
  t.equal(readInPieces(Buffer.from('\r\n'.repeat(MAX)), []).head, 'too big', 'empty lines count')
  t.end()
})

test('a refusal says at which byte a head goes wrong, and what was expected there', (t) => {
  for (const [head, said] of [
    ['GET  / HTTP/1.1\r\n\r\n', 'malformed request line at byte 4: expected a target'],
    ['G@T / HTTP/1.1\r\n\r\n', 'malformed request line at byte 1: expected one space'],
    ['GET / HTTP/2.0\r\n\r\n', 'malformed request line at byte 6: expected HTTP/1.1 or HTTP/1.0'],
    ['GET / HTTP/1.1\r\nHost a\r\n\r\n', 'malformed header line at byte 20: expected a colon'],
    [
      'GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n',
      'malformed header line at byte 25: expected the name of a header',
    ],
    ['GET / HTTP/1.1\r\nA: b\x01\r\n\r\n', 'malformed header line at byte 20: expected CRLF'],
    ['GET / HTTP/1.1\nHost: a\r\n\r\n', 'bare CR or LF in the head at byte 14: expected CRLF'],
    ['GET / HTTP/1.1\r\nA: b\rc\r\n\r\n', 'bare CR or LF in the head at byte 20: expected CRLF'],
  ] as const)
    t.equal(parseRequestHead(head), said, JSON.stringify(head))
  t.equal(parseAnswerHead('HTTP/1.1 20 OK\r\n\r\n'), 'malformed status line at byte 8: expected a status')
  t.equal(
    parseAnswerHead('ICY 200 OK\r\n\r\n'),
    'malformed status line at byte 0: expected HTTP/1.1 or HTTP/1.0',
  )
  t.end()
})

test('a reason that may not be written is left out where that is asked for, but for one with a bare CR', (t) => {
  t.match(readAnswerHead('HTTP/1.1 200 O\x01K\r\nA: b\r\n\r\n', true), { status: 200, reason: '' })
  t.match(readAnswerHead('HTTP/1.1 200 O\x01K\r\nA: b\r\n\r\n', false), /malformed status line/)
  for (const isLenient of [true, false])
    t.match(
      readAnswerHead('HTTP/1.1 200 OK\rA: b\r\n\r\n', isLenient),
      /bare CR or LF in the head at byte 15/,
    )
  t.end()
})
