import { test } from 'tap'
import fc from 'fast-check'
import { bodyOf } from '../../src/http1/body.ts'
import type { Framing } from '../../src/http1/body.ts'
import { BodyWriter } from '../../src/http1/body-writer.ts'
import { forwardTrailers } from '../../src/http1/forwarding.ts'
import { pairsOf } from '../support/fields.ts'
import type { Header } from '../support/fields.ts'
import { runs } from '../support/runs.ts'

const seed = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }

interface Read {
  data: string
  /** What came behind the body. */
  rest: string
  isComplete: boolean
  problem: string
  trailers: readonly Header[]
  /** As it goes out, in chunks of ours. */
  written: string
}

/** Reads `pieces` one after the other, as reads bring them. */
function read(framing: Framing, pieces: string[], isLenient = false): Read {
  const body = bodyOf(framing, isLenient)
  let [data, written, rest] = ['', '', '']
  const writer = new BodyWriter(
    { forward: (bytes, start, end) => void (written += bytes.toString('latin1', start, end)) },
    true,
  )
  const sink = {
    data(bytes: Buffer, start: number, end: number) {
      data += bytes.toString('latin1', start, end)
      writer.data(bytes, start, end)
    },
  }
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, 'latin1')
    const at = body.isComplete ? 0 : body.read(bytes, 0, bytes.length, sink)
    if (at < 0) break
    writer.flush()
    rest += bytes.toString('latin1', at)
  }
  if (body.isComplete) writer.end(forwardTrailers(body.trailers))
  return {
    data,
    rest,
    isComplete: body.isComplete,
    problem: body.problem,
    trailers: pairsOf(body.trailers),
    written,
  }
}

function split(text: string, cuts: readonly number[]): string[] {
  const edges = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length]
  return edges
    .slice(1)
    .map((edge, i) => text.slice(edges[i], edge))
    .filter((piece) => piece !== '')
}

const CHUNKED: Framing = { kind: 'chunked' }
const chunk = fc.record({
  data: fc.string({ minLength: 1, maxLength: 40 }),
  zeros: fc.nat(4),
  isUpper: fc.boolean(),
  extension: fc.constantFrom('', ';a', ';a="b;c"', ' ;x', ';'),
})
const chunks = fc.array(chunk, { maxLength: 8 })
const trailers = fc.constantFrom('', 'X-Sum: 1\r\n', 'A: \r\nB: c d\r\n')

function latin(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

test('a chunked body, cut anywhere, is the same data, ends at the same byte, and goes out in chunks of ours', (t) => {
  fc.assert(
    fc.property(chunks, trailers, fc.array(fc.nat(2000), { maxLength: 12 }), (given, last, cuts) => {
      const data = given.map((one) => latin(one.data))
      const text =
        given
          .map(({ zeros, isUpper, extension }, i) => {
            const size = data[i]!.length.toString(16)
            return `${'0'.repeat(zeros)}${isUpper ? size.toUpperCase() : size}${extension.trimStart()}\r\n${data[i]!}\r\n`
          })
          .join('') + `0\r\n${last}\r\n`
      const seen = read(CHUNKED, split(`${text}GET / HTTP/1.1\r\n`, cuts))
      if (seen.data !== data.join('') || !seen.isComplete || seen.rest !== 'GET / HTTP/1.1\r\n')
        throw new Error(JSON.stringify(seen))
      const again = read(CHUNKED, [seen.written])
      if (again.data !== seen.data || !again.isComplete || again.rest !== '') throw new Error(seen.written)
      if (/;|\r\n0+[1-9a-f]/.test(seen.written.replace(seen.data, ''))) return
    }),
    { numRuns: runs(500), ...seed },
  )
  t.end()
})

test('a body with a length, and one up to the end, are the bytes that they say', (t) => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 60 }),
      fc.nat(80),
      fc.array(fc.nat(100), { maxLength: 5 }),
      (given, bytes, cuts) => {
        const text = latin(given)
        const seen = read({ kind: 'length', bytes }, split(text, cuts))
        if (
          seen.data !== text.slice(0, bytes) ||
          seen.rest !== text.slice(bytes) ||
          seen.isComplete !== text.length >= bytes
        )
          throw new Error(JSON.stringify(seen))
        const all = read({ kind: 'end' }, split(text, cuts))
        if (all.data !== text || all.isComplete) throw new Error(JSON.stringify(all))
      },
    ),
    { numRuns: runs(300), ...seed },
  )
  t.same(read({ kind: 'none' }, ['x']).rest, 'x')
  t.end()
})

const malformed = [
  'x\r\n',
  '\r\n',
  ';a\r\n',
  '-1\r\n',
  '0x5\r\nhello\r\n',
  '5\r\nhello!\r\n',
  '5\r\nhelloX\n',
  '11111111111111111\r\n',
  'ffffffffffffffff\r\n',
  '5\r\rhello',
  `5;${'x'.repeat(5000)}\r\n`,
  '0\r\nX : y\r\n\r\n',
  '0\r\n: y\r\n\r\n',
  '0\r\nX\r\n\r\n',
  `0\r\n${'X: y\r\n'.repeat(3000)}\r\n`,
  '0\r\n y: z\r\n\r\n',
]
const loose: Array<[text: string, data: string]> = [
  ['5 \r\nhello\r\n0\r\n\r\n', 'hello'],
  ['5\t;x\r\nhello\r\n0\r\n\r\n', 'hello'],
  ['5\nhello\n0\n\n', 'hello'],
  ['5\r\nhello\r\n0\nX: y\n\n', 'hello'],
  ['0005\r\nhello\r\n0 \r\n\r\n', 'hello'],
]

test('what is malformed is told so, whole or cut, lenient or not; what is only loose passes where that is asked for', (t) => {
  for (const text of malformed) {
    for (const isLenient of [false, true]) {
      t.not(read(CHUNKED, [text], isLenient).problem, '', text.slice(0, 40))
      t.not(read(CHUNKED, text.split(''), isLenient).problem, '', `${text.slice(0, 40)}, byte by byte`)
    }
  }
  for (const [text, data] of loose) {
    t.match(read(CHUNKED, [text], true), { data, isComplete: true, problem: '' }, text)
    t.match(
      read(CHUNKED, text.split(''), true),
      { data, isComplete: true, problem: '' },
      `${text}, byte by byte`,
    )
    if (!text.startsWith('0005')) t.equal(read(CHUNKED, [text]).isComplete, false, text)
  }
  t.same(read(CHUNKED, ['0\r\nX-Sum: 1\r\nx: \xe9\r\n\r\n']).trailers, [
    ['X-Sum', '1'],
    ['x', '\xe9'],
  ])
  t.end()
})

test('a long body that is hardly more than syntax is refused; a short one, and one in chunks of two bytes, pass', (t) => {
  t.match(read(CHUNKED, ['1\r\nx\r\n'.repeat(18_000)]).problem, 'hardly more')
  t.match(read(CHUNKED, [`${'1\r\nx\r\n'.repeat(15_000)}0\r\n\r\n`]), { isComplete: true, problem: '' })
  t.match(read(CHUNKED, [`${'2\r\nxy\r\n'.repeat(50_000)}0\r\n\r\n`]), { isComplete: true, problem: '' })
  t.end()
})

test('all data of a read is one chunk, and no chunk is larger than 64 KiB', (t) => {
  t.equal(
    read(CHUNKED, ['1\r\na\r\n2;x\r\nbc\r\n', '1\r\nd\r\n0\r\nX: y\r\n\r\n']).written,
    '3\r\nabc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\n',
  )
  const large = 'x'.repeat(150_000)
  const { written } = read(CHUNKED, [`${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`])
  t.same(
    [...written.matchAll(/([0-9a-f]+)\r\nx/g)].map(([, size]) => Number.parseInt(size!, 16)),
    [65_536, 65_536, 18_928],
  )
  t.equal(read(CHUNKED, [written]).data, large)
  t.end()
})

test('a malformed chunk is told by its byte of the body, whatever the reads were', (t) => {
  for (const cuts of [[], [3], [5, 8]]) {
    const body = bodyOf({ kind: 'chunked' }, false)
    const bytes = Buffer.from('2\r\nab\r\nx')
    const edges = [0, ...cuts, bytes.length]
    for (let i = 1; i < edges.length; i++) body.read(bytes, edges[i - 1]!, edges[i]!, { data() {} })
    t.equal(body.problem, 'malformed chunk at byte 7 of the body: expected a chunk size', String(cuts))
  }
  t.end()
})
