// Where a head stops being one: the byte at which it goes wrong, counted from its first, and what would have been right there. Looked for only
// in a head that was refused: the patterns that refuse it tell no place.

/** What comes next, and its name; nothing can go wrong at one without a name. */
type Step = readonly [pattern: RegExp, expected: string]

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const TEXT = /[\t\x20-\x7e\x80-\xff]*/y
const version: Step = [/HTTP\/1\.[01]/y, 'HTTP/1.1 or HTTP/1.0']
const space: Step = [/ /y, 'one space']
const lineEnd: Step = [/\r\n/y, 'CRLF']

const lines = {
  request: [[TOKEN, 'a method'], space, [/[\x21-\x7e]+/y, 'a target'], space, version, lineEnd],
  status: [version, [/ [1-9][0-9]{2}/y, 'a status'], [/(?: [\t\x20-\x7e\x80-\xff]*)?/y, ''], lineEnd],
  header: [[TOKEN, 'the name of a header'], [/:/y, 'a colon'], [TEXT, ''], lineEnd],
} as const satisfies Record<string, readonly Step[]>

/** `rule`, and where `text` breaks it: a head that begins with a line of that kind, or the beginning of one. */
export function faultOf(rule: string, text: string, first: keyof typeof lines): string {
  let at = 0
  for (let line: readonly Step[] = lines[first]; ; line = lines.header) {
    for (const [pattern, expected] of line) {
      pattern.lastIndex = at
      if (!pattern.test(text)) return `${rule} at byte ${at}: expected ${expected}`
      at = pattern.lastIndex
    }
    if (text.startsWith('\r\n', at)) return `${rule} at byte ${at}: expected no empty line`
  }
}
