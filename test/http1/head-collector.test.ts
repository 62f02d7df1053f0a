import { test } from 'tap'
import fc from 'fast-check'
import { HeadCollector, MORE, TOO_BIG } from '../../src/http1/head-collector.ts'
import { notHttp } from '../../src/http1/not-http.ts'
import { runs } from '../support/runs.ts'

const seed = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }

/** Reads the pieces; the head, and what is left of the stream behind it. */
function collect(pieces: string[], maxBytes = 1000): { text: string; rest: string } | 'more' | 'too big' {
  const head = new HeadCollector(maxBytes)
  for (const [index, piece] of pieces.entries()) {
    const bytes = Buffer.from(piece, 'latin1')
    const at = head.read(bytes, head.skipEmptyLines(bytes, 0, bytes.length), bytes.length)
    if (at === TOO_BIG) return 'too big'
    if (at !== MORE) return { text: head.take(), rest: piece.slice(at) + pieces.slice(index + 1).join('') }
  }
  return 'more'
}

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n'
const heads = [
  HEAD,
  'GET / HTTP/1.0\r\n\r\n',
  'GET / HTTP/1.1\nHost: a\n\n',
  'GET / HTTP/1.1\r\nHost: a\n\r\n',
  'A\r\n\n',
]
/** Two empty lines, of which the first counts: the second is not its end. */
const twice = ['A\r\n\n\r\n', 'A\n\n\r\n', 'A\n\n\n', 'A\r\n\r\n\n']

test('a head, cut anywhere, is the same head, and what follows it is left', (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(...heads),
      fc.string({ maxLength: 30 }),
      fc.array(fc.nat(100), { maxLength: 8 }),
      (head, behind, cuts) => {
        const stream = head + Buffer.from(behind).toString('latin1')
        const edges = [
          0,
          ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b),
          stream.length,
        ]
        const pieces = edges
          .slice(1)
          .map((edge, i) => stream.slice(edges[i], edge))
          .filter((piece) => piece !== '')
        const seen = collect(pieces)
        if (typeof seen === 'string' || seen.text !== head || seen.text + seen.rest !== stream)
          throw new Error(JSON.stringify([pieces, seen]))
      },
    ),
    { numRuns: runs(500), ...seed },
  )
  t.end()
})

test('a head over its bound is told so, whole or not; one at it passes', (t) => {
  t.same(collect([HEAD], HEAD.length), { text: HEAD, rest: '' })
  t.equal(collect([HEAD], HEAD.length - 1), 'too big')
  t.equal(collect(['x'.repeat(1001)]), 'too big')
  t.equal(collect(['x'.repeat(600), 'x'.repeat(401)]), 'too big')
  t.equal(collect(['x'.repeat(1000)]), 'more')
  t.same(collect([HEAD + 'x'.repeat(5000)], HEAD.length), { text: HEAD, rest: 'x'.repeat(5000) })
  t.end()
})

test('empty lines before a head mean nothing', (t) => {
  t.same(collect([`\r\n\r\n${HEAD}`]), { text: HEAD, rest: '' })
  t.same(collect(['\r\n', '\r\n\r\n', HEAD]), { text: HEAD, rest: '' })
  t.equal(collect(['\r\n'.repeat(30_000)]), 'more')
  t.end()
})

test('what cannot become a head that begins so is known before its end', (t) => {
  const head = new HeadCollector(1000)
  const bytes = Buffer.from('HTT')
  head.read(bytes, 0, 3)
  t.same([head.isOf('HTTP/1.'), head.isOf('SSH'), head.isEmpty], [true, false, false])
  head.read(Buffer.from('Q/1.1 200'), 0, 9)
  t.equal(head.isOf('HTTP/1.'), false)
  head.reset()
  t.equal(head.isEmpty, true)
  t.end()
})

test('an empty line before a head that is cut between its CR and its LF is an empty line', (t) => {
  for (const pieces of [
    ['\r', `\n${HEAD}`],
    ['\r\n\r', '\n', HEAD],
    ['\r', '\n\r', '\n', ...HEAD.split('')],
  ]) {
    const head = new HeadCollector(1000)
    for (const piece of pieces) {
      const bytes = Buffer.from(piece)
      head.read(bytes, head.skipEmptyLines(bytes, 0, bytes.length), bytes.length)
      t.equal(notHttp(head.begin), null, JSON.stringify([pieces, piece]))
      t.ok(head.isOf('GET /'), 'whatever goes before it')
    }
    t.equal(head.take(), HEAD)
    t.equal(head.take(), '', 'it is not kept for as long as the connection')
  }
  t.end()
})

test('the first empty line ends a head, however it is cut, though another one follows that shares its LF', (t) => {
  for (const stream of twice) {
    const head = /^A(?:\r?\n){2}/.exec(stream)![0]
    for (let cut = 0; cut <= stream.length; cut++)
      t.match(
        collect([stream.slice(0, cut), stream.slice(cut)].filter((piece) => piece !== '')),
        { text: head },
        JSON.stringify([stream, cut]),
      )
    t.match(collect(stream.split('')), { text: head }, `${JSON.stringify(stream)} byte by byte`)
  }
  t.end()
})

test('the end of a head is the first empty line behind another one, or a CR without LF, however the bytes come', (t) => {
  const model = (text: string, takesLf: boolean): string | null => {
    const begin = (takesLf ? /^(?:\r?\n)*/ : /^(?:\r\n)*/).exec(text)![0].length
    const end = /\n\r?\n|\r(?=[^\n])/.exec(text.slice(begin))
    return end === null ? null : text.slice(begin, begin + end.index + end[0].length)
  }
  const sizesOf = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 24 })
  const stream = fc.string({ unit: fc.constantFrom('\r', '\n', '\r\n', 'a', 'bc'), maxLength: 24 })
  fc.assert(
    fc.property(stream, sizesOf, fc.boolean(), (text, sizes, takesLf) => {
      const head = new HeadCollector(1000, takesLf)
      let at = 0
      let read = MORE
      for (let nth = 0; at < text.length && read === MORE; nth++) {
        const piece = Buffer.from(text.slice(at, at + (sizes[nth] ?? 100)))
        const from = head.skipEmptyLines(piece, 0, piece.length)
        read = head.read(piece, from, piece.length)
        at += read === MORE ? piece.length : read
      }
      const expected = model(text, takesLf)
      t.equal(read === MORE ? null : head.take(), expected, JSON.stringify([text, sizes, takesLf]))
      if (expected !== null) t.ok(text.slice(0, at).endsWith(expected), 'nothing behind it is taken')
    }),
    { numRuns: runs(2000) },
  )
  t.end()
})
