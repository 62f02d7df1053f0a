import fc from 'fast-check'
import { test } from 'tap'
import { cut, formatLine, Whole } from '../../src/log/line.ts'
import { anyCharacter } from '../support/any-character.ts'
import { runs } from '../support/runs.ts'

const at = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
const hostile = fc.string({ unit: anyCharacter, maxLength: 400, size: 'max' })
const anyText = fc.oneof(
  hostile,
  fc.string({ maxLength: 400, size: 'max' }),
  fc.constantFrom('\ud800', 'a\udc00b', '\u2028', '\u009b31m', '\x1b[2J', '', '"', '\\', '%0a', '\n', '='),
)

test('a JSON line begins with time, level and msg, and keeps the order of fields', async (t) => {
  t.equal(
    formatLine('json', at, 'info', 'hello', {
      id: 7,
      open: true,
      upstream: null,
      gone: undefined,
      client: '[::1]:5',
    }),
    '{"time":"2026-01-02T03:04:05.006Z","level":"info","msg":"hello","id":7,"open":true,"upstream":null,"client":"[::1]:5"}\n',
  )
})

test('a text line quotes only what needs it', async (t) => {
  t.equal(
    formatLine('text', at, 'warn', 'two words', {
      id: 7,
      client: '[::1]:5',
      empty: '',
      detail: 'a="b"',
      path: 'c:\\d',
      accent: 'é',
    }),
    'time=2026-01-02T03:04:05.006Z level=warn msg="two words" id=7 client=[::1]:5 empty="" detail="a=\\"b\\"" path="c:\\\\d" accent="é"\n',
  )
})

test('whatever a peer sent, a JSON line parses, is one line, and holds nothing that steers a terminal', async (t) => {
  fc.assert(
    fc.property(anyText, anyText, (value, message) => {
      const line = formatLine('json', at, 'info', message, { value })
      const parsed = JSON.parse(line) as { value: string }
      const whole = value.toWellFormed()
      const isKept =
        parsed.value === whole ||
        (parsed.value.endsWith('...') && whole.startsWith(parsed.value.slice(0, -3)))
      return isKept && line.isWellFormed() && isTame(line)
    }),
    { numRuns: runs(1000) },
  )
  t.pass()
})

test('whatever a peer sent, a text line has the same keys, is one line, and holds nothing that steers a terminal', async (t) => {
  fc.assert(
    fc.property(anyText, anyText, (value, detail) => {
      const line = formatLine('text', at, 'info', 'm', { value, detail })
      return isTame(line) && keysOf(line).join() === 'time,level,msg,value,detail'
    }),
    { numRuns: runs(1000) },
  )
  t.pass()
})

test('a value is cut to 256 bytes of UTF-8 between characters', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 600, size: 'max' }), (value) => {
      const short = cut(value, 256)
      return Buffer.byteLength(short) <= 256 && (short === value || short.isWellFormed())
    }),
  )
  t.equal(cut('x'.repeat(256), 256), 'x'.repeat(256))
  t.equal(cut('x'.repeat(257), 256), `${'x'.repeat(253)}...`)
  t.equal(cut('😀'.repeat(100), 256), `${'😀'.repeat(63)}...`)
})

test('words of our own are written in full, and escaped like any others', async (t) => {
  const text = `${'x'.repeat(50_000)} "end"\n`
  const line = formatLine('json', at, 'info', 'm', { value: new Whole(text) })
  t.equal((JSON.parse(line) as { value: string }).value, text)
  t.ok(isTame(line))
  t.same(keysOf(formatLine('text', at, 'info', 'm', { value: new Whole(text) })), [
    'time',
    'level',
    'msg',
    'value',
  ])
})

test('an error shows its message and its stack', async (t) => {
  const line = JSON.parse(
    formatLine('json', at, 'error', 'bug', { error: new Error('half resumed while closed') }),
  ) as Record<string, string>
  t.equal(line['error'], 'half resumed while closed')
  t.match(line['stack'], /line\.test\.ts/)
  const bare = new Error('x')
  delete bare.stack
  t.notOk('stack' in (JSON.parse(formatLine('json', at, 'error', 'bug', { error: bare })) as object))
})

test('a number that is none does not break the line', async (t) => {
  t.same(
    (JSON.parse(formatLine('json', at, 'info', 'm', { value: Number.NaN })) as { value: null }).value,
    null,
  )
})

function isTame(line: string): boolean {
  return (
    line.endsWith('\n') &&
    /^[\x20-\x7e\u00a0-\u2027\u202f-\u2065\u206a-\ufefe\uff00-\uffff]*$/.test(line.slice(0, -1))
  )
}

function keysOf(line: string): string[] {
  const keys: string[] = []
  for (const [, key] of line.matchAll(/([a-z]+)=(?:"(?:[^"\\]|\\.)*"|[^ "]+)(?: |\n)/g))
    keys.push(String(key))
  return keys
}
