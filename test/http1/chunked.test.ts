import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'tap'
import { ChunkedScanner } from '../../src/http1/chunked.ts'

/** Scans `bytes` in those pieces: how many belong to the body, -1 if it is malformed, and whether the end was found. */
function scanInPieces(bytes: Buffer, sizes: readonly number[]): { taken: number; isComplete: boolean } {
  const scanner = new ChunkedScanner()
  let taken = 0
  for (let at = 0, piece = 0; at < bytes.length; piece++) {
    const length = Math.min(sizes[piece] ?? bytes.length, bytes.length - at)
    const now = scanner.scan(bytes.subarray(at, at + length), length)
    if (now < 0) return { taken: -1, isComplete: false }
    taken += now
    if (scanner.isComplete) return { taken, isComplete: true }
    assert.equal(now, length, 'all is taken before the end')
    at += length
  }
  return { taken, isComplete: false }
}

const scan = (text: string): { taken: number; isComplete: boolean } => scanInPieces(Buffer.from(text, 'latin1'), [])
const bytewise = (text: string): { taken: number; isComplete: boolean } => scanInPieces(Buffer.from(text, 'latin1'), Array.from({ length: text.length }, () => 1))

const data = fc.uint8Array({ minLength: 1, maxLength: 300, size: 'max' })
const text = fc.string({ unit: fc.constantFrom(...Array.from('abc =";,\t0')), maxLength: 20 })
const chunk = fc.tuple(data, fc.boolean(), fc.integer({ min: 0, max: 4 }), fc.option(text)).map(([bytes, isUpper, zeros, extension]) => {
  const hex = '0'.repeat(zeros) + bytes.length.toString(16)
  return Buffer.concat([Buffer.from(`${isUpper ? hex.toUpperCase() : hex}${extension === null ? '' : `;${extension}`}\r\n`), bytes, Buffer.from('\r\n')])
})
const trailers = fc.array(text.map((value) => `X-T: ${value}\r\n`), { maxLength: 3 })
const body = fc.tuple(fc.array(chunk, { maxLength: 8 }), fc.integer({ min: 1, max: 5 }), trailers).map(([chunks, zeros, lines]) =>
  Buffer.concat([...chunks, Buffer.from(`${'0'.repeat(zeros)}\r\n${lines.join('')}\r\n`)]),
)
const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 300, size: 'max' })

test('however a right body comes, its end is found, and what follows is left', (t) => {
  fc.assert(fc.property(body, fc.uint8Array({ maxLength: 50 }), sizes, (bytes, rest, pieces) => {
    const stream = Buffer.concat([bytes, rest])
    assert.deepEqual(scanInPieces(stream, pieces), { taken: bytes.length, isComplete: true })
    assert.deepEqual(scanInPieces(stream, Array.from({ length: stream.length }, () => 1)), { taken: bytes.length, isComplete: true })
  }), { numRuns: 500 })
  t.end()
})

test('a body that is cut short anywhere is not complete', (t) => {
  fc.assert(fc.property(body, fc.nat(), sizes, (bytes, cut, pieces) => {
    const length = cut % bytes.length
    assert.deepEqual(scanInPieces(bytes.subarray(0, length), pieces), { taken: length, isComplete: false })
  }), { numRuns: 500 })
  t.end()
})

test('a body of which one byte is changed is refused, or means the same to the last byte as its sizes say', (t) => {
  fc.assert(fc.property(body, fc.nat(), fc.integer({ min: 0, max: 255 }), sizes, (bytes, at, byte, pieces) => {
    const changed = Buffer.from(bytes)
    changed[at % bytes.length] = byte
    assert.deepEqual(scanInPieces(changed, pieces), scanInPieces(changed, []), 'whatever is found, the split does not matter')
    const end = oracle(changed)
    const found = scanInPieces(changed, [])
    if (found.isComplete) assert.equal(found.taken, end)
    else assert.equal(end, null)
  }), { numRuns: 1000 })
  t.end()
})

/** The end of a chunked body by another way: a regular expression for each line. Null if it is malformed or not complete. */
function oracle(bytes: Buffer): number | null {
  const all = bytes.toString('latin1')
  let at = 0
  for (let size = -1; size !== 0; ) {
    const line = /^([0-9a-f]{1,12})(;[^\r\n]*)?\r\n/i.exec(all.slice(at))
    if (line === null) return null
    size = Number.parseInt(line[1]!, 16)
    at += line[0].length + size
    if (size > 0 && all.slice(at, (at += 2)) !== '\r\n') return null
  }
  const rest = /^([^\r\n]+\r\n)*\r\n/.exec(all.slice(at))
  return rest === null ? null : at + rest[0].length
}

test('malformed bodies are refused at the byte that is wrong', (t) => {
  const bodies: Record<string, string> = {
    'no size': '\r\n',
    'no size before an extension': ';a\r\n',
    'a sign': '+5\r\n',
    'a minus': '-5\r\n',
    'a prefix': '0x5\r\n',
    'a blank before the size': ' 5\r\n',
    'a blank behind the size': '5 \r\n',
    'a tab behind the size': '5\t;a\r\n',
    'another letter': 'g\r\n',
    'a bare LF behind the size': '5\n',
    'a bare LF in an extension': '5;a\n',
    'a bare CR behind the size': '5\rhello',
    'a bare CR in an extension': '5;a\rb\r\n',
    'data longer than its size': '5\r\nhello!',
    'a bare LF behind the data': '5\r\nhello\n',
    'a bare CR behind the data': '5\r\nhello\r0',
    'a bare LF as the last line': '0\r\n\n',
    'a bare LF in a trailer': '0\r\nA: b\n',
    'a bare CR in a trailer': '0\r\nA: b\rC',
    'a size over 12 digits': '1000000000000\r\n',
    'a size of thirteen zeros': '0000000000000\r\n',
    'NUL as a size': '\0\r\n',
  }
  for (const [what, bytes] of Object.entries(bodies)) {
    t.equal(scan(bytes).taken, -1, what)
    t.equal(bytewise(bytes).taken, -1, `${what}, byte by byte`)
  }
  t.end()
})

test('a chunk may be of any size that 12 digits say', (t) => {
  const scanner = new ChunkedScanner()
  const size = Buffer.from('ffffffffffff\r\n')
  t.equal(scanner.scan(size, size.length), size.length)
  t.equal(scanner.scan(Buffer.alloc(65_536), 65_536), 65_536)
  t.equal(scanner.isComplete, false)
  t.end()
})

test('extensions of 4 KiB a line pass, longer ones are refused; each line has its own bound', (t) => {
  const line = (length: number): string => `1;${'a'.repeat(length - 1)}\r\nx\r\n`
  const two = line(4096) + line(4096)
  t.same(scan(`${two}0\r\n\r\n`), { taken: two.length + 5, isComplete: true })
  t.equal(scan(`${line(4097)}0\r\n\r\n`).taken, -1)
  t.equal(bytewise(`5;${'a'.repeat(5000)}`).taken, -1, 'before its line ends')
  t.end()
})

test('trailers of 16 KiB together pass, more are refused', (t) => {
  const trailer = (length: number): string => `A: ${'b'.repeat(length - 5)}\r\n`
  t.equal(scan(`0\r\n${trailer(8000)}${trailer(8000)}\r\n`).isComplete, true)
  t.equal(scan(`0\r\n${trailer(8300)}${trailer(8300)}\r\n`).taken, -1)
  t.equal(scan(`0\r\n${'A: b\r\n'.repeat(4000)}`).taken, -1, 'many small ones, before they end')
  t.end()
})

test('nothing is taken once the body is complete', (t) => {
  const scanner = new ChunkedScanner()
  const bytes = Buffer.from('0\r\n\r\nHTTP/1.1 200 OK\r\n')
  t.equal(scanner.scan(bytes, bytes.length), 5)
  t.equal(scanner.scan(bytes, bytes.length), 0)
  t.end()
})

test('a body is mostly syntax where more than 100 KiB of it carry less than a fifth', (t) => {
  const scanned = (text: string): ChunkedScanner => {
    const scanner = new ChunkedScanner()
    scanner.scan(Buffer.from(text), text.length)
    return scanner
  }
  const ofOne = '1\r\nx\r\n'
  t.match(scanned(ofOne.repeat(17_000)), { dataBytes: 17_000, isMostlySyntax: false }, '102,000 bytes')
  t.match(scanned(ofOne.repeat(17_100)), { dataBytes: 17_100, isMostlySyntax: true }, '102,600 bytes')
  t.match(scanned('2\r\nxy\r\n'.repeat(50_000)), { dataBytes: 100_000, isMostlySyntax: false }, 'two bytes in seven')
  t.match(scanned(`3;${'e'.repeat(1000)}\r\nxyz\r\n`.repeat(200)), { isMostlySyntax: true }, 'extensions')
  t.match(scanned(`20000\r\n${'x'.repeat(0x20000)}\r\n${ofOne.repeat(20_000)}`), { isMostlySyntax: false }, 'what it carries before counts')
  t.end()
})
