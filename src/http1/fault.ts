// The fault in a head: the first wrong byte, counted from the head's first, and what would be right there. It
// is looked for only in a refused head, since the patterns that refuse one give no position.

import type { Fields } from './fields.ts'
import { CONTENT_LENGTH, TRANSFER_ENCODING } from './header-name.ts'

/** The next part of a head, and its name; a part without a name cannot fail. */
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

/**
 * `rule`, with the place at which `text` breaks it; `text` is a head, or the beginning of one, whose first
 * line is of kind `first`.
 */
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

/** The faults of a message that could be read as another one, with the place of the line that makes it so. */
export const framingFaults = {
  both(headers: Fields): string {
    const at = Math.max(headers.lastAt(CONTENT_LENGTH), headers.lastAt(TRANSFER_ENCODING))
    return `both Content-Length and Transfer-Encoding, the second at byte ${at}: expected one of them`
  },
  length(headers: Fields): string {
    const at = headers.lastAt(CONTENT_LENGTH)
    return headers.values(CONTENT_LENGTH).length > 1
      ? `another Content-Length at byte ${at}: expected one`
      : `malformed Content-Length at byte ${at}: expected one decimal number`
  },
  coding(headers: Fields): string {
    return `a transfer coding other than chunked at byte ${headers.lastAt(TRANSFER_ENCODING)}: expected chunked alone`
  },
  old(headers: Fields): string {
    return `a transfer coding in HTTP/1.0 at byte ${headers.lastAt(TRANSFER_ENCODING)}: expected Content-Length`
  },
}
