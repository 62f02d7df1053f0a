import { test } from 'tap'
import { formatPath } from '../../src/config/path.ts'
import { editDistance, oneOf, show, suggest } from '../../src/config/words.ts'

test('a near word is suggested, a far one is not', async (t) => {
  const words = ['idle', 'write', 'halfClose', 'clientIdle', 'handshake']
  for (const [word, meant] of [
    ['idel', 'idle'],
    ['Idle', 'idle'],
    ['wirte', 'write'],
    ['half_close', 'halfClose'],
    ['half-close', 'halfClose'],
    ['clientidle', 'clientIdle'],
    ['handshak', 'handshake'],
  ] as const) {
    t.equal(suggest(word, words), meant, word)
  }
  for (const word of ['zebra', '', 'x', 'connections', '__proto__', 'a'.repeat(100_000)])
    t.equal(suggest(word, words), null, word.slice(0, 20))
})

test('a swap of neighbours is one slip', async (t) => {
  t.equal(editDistance('idle', 'idel'), 1)
  t.equal(editDistance('', 'abc'), 3)
  t.equal(editDistance('kitten', 'sitting'), 3)
  t.equal(editDistance('same', 'same'), 0)
})

test('a value is shown on one line, short, and never mistaken for another kind', async (t) => {
  const table: [unknown, string][] = [
    [null, 'nothing'],
    [undefined, 'nothing'],
    [5, '5'],
    ['5', '"5"'],
    [true, 'true'],
    ['true', '"true"'],
    ['nothing', '"nothing"'],
    ['1e5', '"1e5"'],
    ['0x10', '"0x10"'],
    ['5s', '5s'],
    ['a b', '"a b"'],
    ['a\nb', '"a\\nb"'],
    ['\u001b[31m', '"\\u001b[31m"'],
    ['\u{e0001}', '"\\udb40\\udc01"'],
    ['é', '"é"'],
    [[], 'an empty list'],
    [[1], 'a list'],
    [{}, 'a map of keys'],
    ['x'.repeat(100), `"${'x'.repeat(60)}…"`],
  ]
  for (const [value, shown] of table) t.equal(show(value), shown)
})

test('words are listed as a sentence lists them', async (t) => {
  t.equal(oneOf(['a']), 'a')
  t.equal(oneOf(['a', 'b']), 'a or b')
  t.equal(oneOf(['a', 'b', 'c']), 'a, b or c')
})

test('paths read as they are written in JavaScript', async (t) => {
  t.equal(formatPath(['listeners', 0, 'deadlines', 'idle']), 'listeners[0].deadlines.idle')
  t.equal(formatPath([]), '')
  t.equal(formatPath(['a b', 'x']), '["a b"].x')
})
