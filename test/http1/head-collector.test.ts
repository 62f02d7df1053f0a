import { test } from 'tap'
import fc from 'fast-check'
import { HeadCollector, MORE, TOO_BIG } from '../../src/http1/head-collector.ts'

const seed = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }

/** Reads the pieces; the head, and what is left of the stream behind it. */
function collect(pieces: string[], maxBytes = 1000): { text: string; rest: string } | 'more' | 'too big' {
  const head = new HeadCollector(maxBytes)
  for (const [index, piece] of pieces.entries()) {
    const bytes = Buffer.from(piece, 'latin1')
    const at = head.read(bytes, head.skipEmptyLines(bytes, 0, bytes.length), bytes.length)
    if (at === TOO_BIG) return 'too big'
    if (at !== MORE) return { text: head.text, rest: piece.slice(at) + pieces.slice(index + 1).join('') }
  }
  return 'more'
}

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n'
const heads = [HEAD, 'GET / HTTP/1.0\r\n\r\n', 'GET / HTTP/1.1\nHost: a\n\n', 'GET / HTTP/1.1\r\nHost: a\n\r\n', 'A\r\n\n']

test('a head, cut anywhere, is the same head, and what follows it is left', (t) => {
  fc.assert(fc.property(fc.constantFrom(...heads), fc.string({ maxLength: 30 }), fc.array(fc.nat(100), { maxLength: 8 }), (head, behind, cuts) => {
    const stream = head + Buffer.from(behind).toString('latin1')
    const edges = [0, ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length]
    const pieces = edges.slice(1).map((edge, i) => stream.slice(edges[i], edge)).filter((piece) => piece !== '')
    const seen = collect(pieces)
    if (typeof seen === 'string' || seen.text !== head || seen.text + seen.rest !== stream) throw new Error(JSON.stringify([pieces, seen]))
  }), { numRuns: 500, ...seed })
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
