// HTTP/1.1 heads, read strictly: one way to understand each byte, or none. What we accept, every other parser on the
// way must understand the same way, or a request could be hidden in another (RFC 9112 section 11.2; the cases are in
// test/http1/head.test.ts).

/** Names as they were written, in order; values without surrounding white space. */
export type Header = readonly [name: string, value: string]

export interface RequestHead {
  method: string
  target: string
  version: '1.0' | '1.1'
  headers: Header[]
}

export interface AnswerHead {
  version: '1.0' | '1.1'
  status: number
  reason: string
  headers: Header[]
}

export const CRLF = '\r\n'
const EMPTY_LINE = '\r\n\r\n'
const VERSION = 'HTTP/1.1'
const BARE = 'bare CR or LF in the head'

/** How many header lines a head may have; their total size is bounded by whoever collects them. */
export const MAX_HEADERS = 256

/** A Content-Length that is read in one way only, and as an exact number. */
export const lengthPattern = /^(0|[1-9][0-9]{0,14})$/

const requestLine = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP\/1\.[01]$/
const statusLine = /^HTTP\/1\.[01] [1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?$/
const namePattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const valuePattern = /^[\t\x20-\x7e\x80-\xff]*$/

/** A head whose lines may end with LF alone (RFC 9112 section 2.2 lets a recipient read it so), as one whose lines end with CRLF. */
export function withCrlf(text: string): string {
  return text.replaceAll(/\r?\n/g, CRLF)
}

// A reconnect storm is made of heads: here and below, no match arrays, lists or closures are made that need not be, and no list is
// walked by its iterator, which costs most where the path is cold.

/** `text` is the head in latin1, its empty line included. Returns the rule that it breaks as a string. */
export function parseRequestHead(text: string): RequestHead | string {
  if (!text.endsWith(EMPTY_LINE)) return BARE
  const line = text.slice(0, text.indexOf(CRLF))
  if (!requestLine.test(line)) return ruleBroken(text, 'malformed request line')
  const headers = parseHeaders(text, line.length)
  if (typeof headers === 'string') return headers
  const space = line.indexOf(' ')
  const version = line.length - VERSION.length
  return { method: line.slice(0, space), target: line.slice(space + 1, version - 1), version: versionAt(line, version), headers }
}

export function parseAnswerHead(text: string): AnswerHead | string {
  if (!text.endsWith(EMPTY_LINE)) return BARE
  const line = text.slice(0, text.indexOf(CRLF))
  if (!statusLine.test(line)) return ruleBroken(text, 'malformed status line')
  const headers = parseHeaders(text, line.length)
  if (typeof headers === 'string') return headers
  const status = VERSION.length + 1
  return { version: versionAt(line, 0), status: Number(line.slice(status, status + 3)), reason: line.slice(status + 4), headers }
}

/** The lines behind the last chunk of a body, their empty line included. */
export function parseTrailers(text: string): Header[] | string {
  return parseHeaders(CRLF + text, 0)
}

function versionAt(line: string, start: number): '1.0' | '1.1' {
  return line.charCodeAt(start + VERSION.length - 1) === 0x31 ? '1.1' : '1.0'
}

/** No pattern of a line admits a CR or LF by itself; where one is the reason, it says more than `otherwise`. */
function ruleBroken(text: string, otherwise: string): string {
  return /[\r\n]/.test(text.replaceAll(CRLF, '')) ? BARE : otherwise
}

/** The header lines from the CRLF at `start` to the empty line. */
function parseHeaders(text: string, start: number): Header[] | string {
  const headers: Header[] = []
  const last = text.length - EMPTY_LINE.length
  for (let end = start; end < last; ) {
    const begin = end + CRLF.length
    const colon = text.indexOf(':', begin)
    end = text.indexOf(CRLF, begin)
    const name = text.slice(begin, Math.max(begin, colon))
    const value = trimmed(text, colon + 1, end)
    if (!namePattern.test(name) || !valuePattern.test(value)) return ruleBroken(text, 'malformed header line')
    headers.push([name, value])
  }
  return headers.length > MAX_HEADERS ? `more than ${MAX_HEADERS} header lines` : headers
}

/** `text[start..end)` without blanks and tabs at its ends; `trim` would take more (a no-break space is a byte like others). */
function trimmed(text: string, start: number, end: number): string {
  let from = start
  let to = end
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

const NONE: readonly never[] = []

function isNamed(header: Header, name: string): boolean {
  const key = header[0]
  return key.length === name.length && (key === name || key.toLowerCase() === name)
}

/** All values of a header; `name` in lower case. */
export function valuesOf(headers: readonly Header[], name: string): readonly string[] {
  let values: string[] | null = null
  for (let i = 0; i < headers.length; i++) if (isNamed(headers[i]!, name)) (values ??= []).push(headers[i]![1])
  return values ?? NONE
}

/** The value of a header that is there once; undefined where there is none, null where there are more. */
export function valueOf(headers: readonly Header[], name: string): string | null | undefined {
  let value: string | null | undefined
  for (let i = 0; i < headers.length; i++) if (isNamed(headers[i]!, name)) value = value === undefined ? headers[i]![1] : null
  return value
}

/** The comma-separated elements of all values of a header, lower case, without white space and empty ones. */
export function tokensOf(headers: readonly Header[], name: string): readonly string[] {
  const value = valueOf(headers, name)
  if (value === undefined) return NONE
  if (value !== null && namePattern.test(value)) return [value.toLowerCase()]
  return valuesOf(headers, name)
    .join(',')
    .split(',')
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== '')
}

/** Headers that concern one connection only (RFC 9110 section 7.6.1) and those that came to stand beside them. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  // From one gate to the next (request-rules.ts).
  'sidegate-hops',
])

/** Headers that a Connection header may not declare hop-by-hop: removing them would change what the message says. */
const endToEnd = /^(host|content-length|authorization|cookie|set-cookie|origin|forwarded|via|x-forwarded-.*|sec-websocket-.*)$/

/** The headers that go on to the other side, or the name that Connection may not list. `keep` are hop-by-hop names to leave in. */
export function endToEndHeaders(headers: readonly Header[], keep: readonly string[] = NONE): Header[] | string {
  const listed = tokensOf(headers, 'connection')
  for (let i = 0; i < listed.length; i++) if (endToEnd.test(listed[i]!)) return listed[i]!
  const passed: Header[] = []
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i]!
    const name = header[0].toLowerCase()
    if ((!hopByHop.has(name) && !listed.includes(name)) || keep.includes(name)) passed.push(header)
  }
  return passed
}

/** A head as bytes; `first` is the request or status line. */
export function encodeHead(first: string, headers: readonly Header[]): Buffer {
  const lines = [first]
  for (let i = 0; i < headers.length; i++) lines.push(`${headers[i]![0]}: ${headers[i]![1]}`)
  lines.push(CRLF)
  return Buffer.from(lines.join(CRLF), 'latin1')
}
