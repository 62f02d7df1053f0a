// The input: valid streams of requests, answers, frames and PROXY headers, and copies with a few bytes
// changed. All text is latin1, so that a character is a byte.

import { encodeFrame } from '../support/frames.ts'
import { times } from './random.ts'
import type { Chance } from './random.ts'

const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n'
const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'

function body(chance: Chance, hidden: string): string {
  if (chance.oneIn(3)) return hidden
  return times(chance.below(chance.oneIn(10) ? 3000 : 30), () =>
    chance.pick(['a', '0', '\r', '\n', '\r\n', ' ', '\0', '\xff', 'Z']),
  ).join('')
}

function chunked(chance: Chance, text: string): string {
  let out = ''
  for (let at = 0; at < text.length;) {
    const size = 1 + chance.below(Math.min(text.length - at, 50))
    const digits = size.toString(16)
    out += `${chance.oneIn(5) ? '000' : ''}${chance.oneIn(3) ? digits.toUpperCase() : digits}${chance.oneIn(5) ? ';a="b;c"' : ''}\r\n${text.slice(at, at + size)}\r\n`
    at += size
  }
  return `${out}${chance.oneIn(4) ? '000' : '0'}\r\n${chance.oneIn(4) ? 'X-Sum: 1\r\nB:\r\n' : ''}\r\n`
}

/** Header lines for a body, and it. */
function framed(chance: Chance, text: string): string {
  const other = chance.pick([
    '',
    'X: y\r\n',
    'Accept:  \t*/* \r\n',
    `X-Long: ${'z'.repeat(chance.below(300))}\r\n`,
  ])
  return chance.oneIn(2)
    ? `${other}Content-Length: ${text.length}\r\n\r\n${text}`
    : `Transfer-Encoding: chunked\r\n${other}\r\n${chunked(chance, text)}`
}

export function requests(chance: Chance): string {
  return times(1 + chance.below(4), (nth) => {
    const [empty, target] = [
      chance.oneIn(8) ? '\r\n' : '',
      `/${nth}${chance.pick(['', '?a=b', '/%2e%2e/', '//'])}`,
    ]
    if (chance.oneIn(2))
      return `${empty}${chance.pick(['GET', 'HEAD', 'DELETE', 'OPTIONS'])} ${target} HTTP/1.1\r\nHost: a\r\n${chance.oneIn(3) ? 'Cookie: a=b; c=d\r\n' : ''}\r\n`
    return `${empty}${chance.pick(['POST', 'PUT', 'GET', 'HEAD', 'PATCH'])} ${target} HTTP/1.1\r\nHost: a\r\n${framed(chance, body(chance, HIDDEN))}`
  }).join('')
}

/** To one request: interim answers, the one that counts, and perhaps more than was asked for. */
export function answers(chance: Chance): string {
  const interim = times(chance.oneIn(3) ? chance.below(4) : 0, () =>
    chance.pick(['HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n']),
  )
  const [status, connection] = [
    chance.pick(['200 OK', '404 Not Found', '500', '302 Found', '401 No', '418 \xe9']),
    chance.pick(['', '', 'Connection: close\r\n', 'Keep-Alive: timeout=60\r\n']),
  ]
  const last = chance.oneIn(5)
    ? `HTTP/1.1 ${chance.pick(['204 None', '304 Same'])}\r\n${connection}\r\n`
    : `HTTP/1.1 ${status}\r\n${connection}${framed(chance, body(chance, POISON))}`
  return (
    interim.join('') +
    last +
    (chance.oneIn(4) ? chance.pick([POISON, '\r\n', 'x', 'HTTP/1.1 100 Continue\r\n\r\n', '0\r\n\r\n']) : '')
  )
}

export function frames(chance: Chance, isMasked: boolean): string {
  return times(1 + chance.below(6), () => {
    const payload = 'p'.repeat(chance.pick([0, 1, 5, 125, 126, 300]))
    const mask = isMasked ? { mask: Uint8Array.of(1, 2, chance.below(256), 4) } : {}
    const one = (opcode: 'text' | 'binary' | 'continuation' | 'ping' | 'pong', fin = true): Buffer =>
      encodeFrame({
        opcode,
        payload: opcode === 'ping' || opcode === 'pong' ? payload.slice(0, 125) : payload,
        fin,
        ...mask,
      })
    const whole = chance.oneIn(3)
      ? Buffer.concat([one('text', false), one(chance.pick(['ping', 'pong'])), one('continuation')])
      : one(chance.pick(['text', 'binary', 'ping', 'pong']))
    return whole.toString('latin1')
  }).join('')
}

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'

export function proxyHeader(chance: Chance): string {
  const rest = chance.pick(['', 'GET / HTTP/1.1\r\n\r\n', '\n\n'])
  const lines = [
    'PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n',
    'PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1 65535\r\n',
    'PROXY UNKNOWN whatever\r\n',
    'PROXY UNKNOWN\r\n',
  ]
  const four = '\x0c\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb'
  const tlv = chance.pick(['', '\x04\0\x03abc', '\x01\0\0'])
  const v2 = [
    `${SIGNATURE}\x21\x11\0${String.fromCharCode(12 + tlv.length)}${four}${tlv}`,
    `${SIGNATURE}\x20\0\0\0`,
    `${SIGNATURE}\x21\x21\0\x24${'\x20\x01'.repeat(18)}`,
  ]
  return chance.pick([...lines, ...v2]) + rest
}

/** Bytes and lines on which parsers disagree. */
const nasty = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  '\x0b',
  '\x0c',
  '\x7f',
  '\x85',
  '\xa0',
  ':',
  ';',
  ',',
  '0',
  '-',
  '+',
  '0x',
  '\r\n\r\n',
  '\n\n',
  '\r\r\n',
  '\r\n ',
  '\r\n\t',
  '0\r\n\r\n',
  '5\r\nhello\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Content-Length : 5\r\n',
  'content_length: 5\r\n',
  'Content-Length: 5, 5\r\n',
  'Content-Length: +5\r\n',
  'Content-Length:\r\n 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding: chunked, identity\r\n',
  'Transfer-Encoding: xchunked\r\n',
  'Transfer-Encoding:\x0bchunked\r\n',
  'Transfer_Encoding: chunked\r\n',
  'Transfer-Encoding:\tchunked\r\n',
  'Transfer-Encoding: CHUNKED\r\n',
  'Transfer-Encoding\r\n: chunked\r\n',
  ' X: y\r\n',
  'Connection: close\r\n',
  'Connection: Content-Length\r\n',
  'Host: b\r\n',
  'Expect: 100-continue\r\n',
  HIDDEN,
  POISON,
  'HTTP/1.0',
  'HTTP/1.1 204 None\r\n\r\n',
  'HTTP/1.1 101 Up\r\n\r\n',
  'ffffffffffffffff',
  '10000000000000000',
]

function change(chance: Chance, text: string): string {
  const lines = text.split('\r\n')
  const [at, line] = [chance.below(text.length + 1), chance.below(lines.length)]
  const end = Math.min(text.length, at + 1 + chance.below(8))
  switch (chance.below(9)) {
    case 0:
      return text.slice(0, at) + String.fromCharCode(chance.below(256)) + text.slice(at + 1)
    case 1:
      return text.slice(0, at) + text.slice(end)
    case 2:
      return text.slice(0, at) + text.slice(at, end) + text.slice(at)
    case 3:
      return text.slice(0, at) + chance.pick(nasty) + text.slice(at)
    case 4:
      return lines.toSpliced(line, 0, lines[chance.below(lines.length)]!).join('\r\n')
    case 5:
      return lines.toSpliced(line, 1).join('\r\n')
    case 6:
      return (
        lines.slice(0, line).join('\r\n') +
        chance.pick(['\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n', '']) +
        lines.slice(line).join('\r\n')
      )
    case 7:
      return lines.with(line, lines[line]! + chance.pick(nasty)).join('\r\n')
    default:
      return lines.with(line, chance.pick(nasty) + lines[line]!).join('\r\n')
  }
}

export function mutated(chance: Chance, text: string): string {
  let now = text
  for (let left = 1 + chance.below(chance.oneIn(3) ? 5 : 2); left > 0; left--) now = change(chance, now)
  return now
}
