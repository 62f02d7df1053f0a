import fc from 'fast-check'
import { test } from 'tap'
import { Field, Fields } from '../../src/http1/fields.ts'
import { CONTENT_LENGTH, HOST, nameAt } from '../../src/http1/header-name.ts'
import { fieldsOf } from '../support/fields.ts'
import { runs } from '../support/runs.ts'

const name = fc.string({
  unit: fc.constantFrom(...Array.from("!#$%&'*+-.^_`|~0123456789abcXYZ")),
  minLength: 1,
  maxLength: 50,
})
const value = fc.string({ unit: fc.constantFrom('a', ' ', '\t', ':', '\xe4'), maxLength: 12 })
const blanks = fc.constantFrom('', ' ', '  ', '\t', ' \t', '\t ')

test('whatever goes on is written with one space, and nothing else of it changes', (t) => {
  const line = fc.record({
    name,
    value: value.map((text) => text.replaceAll(/^[ \t]+|[ \t]+$/g, '')),
    before: blanks,
    after: blanks,
    goesOn: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, hasOurs) => {
      const text = lines.map((one) => `${one.name}:${one.before}${one.value}${one.after}\r\n`).join('')
      const { list } = new Fields(text, 0, text.length)
      t.same(
        list.map((field) => [field.spelling, field.value, field.name.key]),
        lines.map((one) => [one.name, one.value, one.name.toLowerCase()]),
      )
      const passed = list.filter((_, i) => lines[i]!.goesOn)
      const ours = hasOurs ? [Field.of('X-Ours', 'x')] : []
      const written = lines.filter((one) => one.goesOn).map((one) => `${one.name}: ${one.value}\r\n`)
      t.equal(Field.lines([...passed, ...ours]), written.join('') + (hasOurs ? 'X-Ours: x\r\n' : ''))
    }),
    { numRuns: runs(500) },
  )
  t.end()
})

test('a header that is asked for is found in any case, beside any number of names that nobody knows', (t) => {
  // All of one place of the table: `20` and `0n` add up to the same.
  const alike = Array.from({ length: 1024 }, (_, i) =>
    Array.from({ length: 10 }, (_, bit) => ((i >> bit) & 1 ? '20' : '0n')).join(''),
  )
  const others = Array.from({ length: 2000 }, (_, i) => `x-${i}`)
  for (const spelling of [...alike, ...others, 'x'.repeat(100)])
    t.equal(nameAt(`${spelling}: 1`, 0, spelling.length).key, spelling.toLowerCase())
  for (const spelling of ['host', 'HOST', 'hOsT']) t.equal(nameAt(`a${spelling}:`, 1, 5), HOST)
  const headers = fieldsOf([
    ...others.map((other): [string, string] => [other, '1']),
    ['HOST', 'a'],
    ['host', 'b'],
  ])
  t.same([headers.has(HOST), headers.values(HOST), headers.value(HOST)], [true, ['a', 'b'], null])
  t.same(
    [headers.has(CONTENT_LENGTH), headers.values(CONTENT_LENGTH), headers.value(CONTENT_LENGTH)],
    [false, [], undefined],
  )
  t.end()
})

test('a name is no other because a letter of it is not one', (t) => {
  // These differ from letters by the bit that tells upper from lower case.
  for (const [spelling, key] of [
    ['_', '_'],
    ['\x7f', '\x7f'],
    ['^', '^'],
    ['~', '~'],
    ['`', '`'],
    ['@', '@'],
  ] as const) {
    t.equal(nameAt(spelling, 0, 1).key, key)
  }
  t.not(nameAt('content\rlength', 0, 14), CONTENT_LENGTH)
  t.not(nameAt('content_length', 0, 14), CONTENT_LENGTH)
  t.end()
})
