import fc from 'fast-check'
import { test } from 'tap'
import { parseConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/core/errors.ts'
import { anyCharacter } from '../support/any-character.ts'
import { runs } from '../support/runs.ts'

/** Whether it ends in a Config or a ConfigError; anything else is thrown on. */
function survives(text: string, env: Record<string, string> = {}): boolean {
  try {
    return parseConfig(text, 'f', env).listeners.length > 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    // Each problem is one line without control characters for a terminal, in the order of the file.
    const lines = error.problems.map(({ line }) => line)
    return (
      lines.length > 0 &&
      lines.every((line, index) => line >= (lines[index - 1] ?? 0)) &&
      error.message.split('\n').every((line) => /^f[: ][^\p{C}\p{Zl}\p{Zp}]*$/u.test(line))
    )
  }
}

const words = [
  'listeners:',
  '\n',
  '  ',
  '- ',
  'address',
  ': ',
  '":17080"',
  'protocol',
  'http',
  'upstream',
  'a:1',
  'deadlines',
  '{',
  '}',
  '[',
  ']',
  ', ',
  'idle',
  '5',
  '5s',
  'off',
  '&a ',
  '*a',
  '!x ',
  '"',
  "'",
  '|\n',
  '>\n',
  '#',
  '? ',
  '<<',
  '__proto__',
  'constructor',
  'toString',
  '${A}',
  '$${',
  '${',
  '~',
  'null',
  '0x1',
  '.inf',
  '---\n',
  '...\n',
  '%YAML 1.1\n',
  '\t',
  '\r\n',
  '\u2028',
  '\u202e',
  '\0',
  '\ufeff',
  '\ud800',
  '1e400',
]

test('any text is a configuration or a ConfigError', async () => {
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter, maxLength: 200 }), (text) => survives(text)),
    { numRuns: runs(500) },
  )
})

test('any mixture of YAML is a configuration or a ConfigError', async () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...words), { maxLength: 60 }), fc.string(), (parts, value) =>
      survives(parts.join(''), { A: value }),
    ),
    { numRuns: runs(2000) },
  )
})

test('any value in any place is a configuration or a ConfigError', async () => {
  const places = [
    'health',
    'log',
    'listeners',
    'address',
    'protocol',
    'upstream',
    'deadlines',
    'buffers',
    'websocket',
    'ping',
    'origins',
    'name',
    'idle',
    'high',
    'limits',
    'http',
    '__proto__',
    'x',
  ]
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom(
        5,
        0,
        -1,
        1.5,
        true,
        null,
        '5s',
        'off',
        ':1',
        'a:1',
        'http',
        'tcp',
        '64KiB',
        '10%',
        '${A}',
      ),
      fc.string({ unit: anyCharacter }),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...places), tie('node'), { maxKeys: 4 }),
    ),
  })).node
  const listener = { address: ':1', protocol: 'tcp', upstream: 'a:2' }
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...places), tree), (extra) => {
      return (
        survives(JSON.stringify({ listeners: [listener], ...extra })) &&
        survives(JSON.stringify({ listeners: [{ ...listener, ...extra }] }))
      )
    }),
    { numRuns: runs(1000) },
  )
})
