// HTTP/1.1 heads, read strictly: each byte has one meaning, or the head is refused. Every other parser on the
// way must understand an accepted head in the same way, or a request could be hidden in another (RFC 9112
// section 11.2; the cases are in test/http1/head.test.ts). One pattern judges the whole head; only where it
// does not match are the rules checked one by one.

import { CONNECTION } from './header-name.ts'
import type { HeaderName } from './header-name.ts'
import { faultOf } from './fault.ts'
import { CRLF, Field, Fields } from './fields.ts'

export interface RequestHead {
  method: string
  target: string
  version: '1.0' | '1.1'
  headers: Fields
}

export interface AnswerHead {
  version: '1.0' | '1.1'
  status: number
  reason: string
  headers: Fields
}

const EMPTY_LINE = '\r\n\r\n'
const VERSION = 'HTTP/1.1'
const BARE = 'bare CR or LF in the head'

/** How many header lines a head may have; the collector of the head bounds their total size. */
export const MAX_HEADERS = 256

/** A Content-Length that has only one reading, as an exact number. */
export const lengthPattern = /^(0|[1-9][0-9]{0,14})$/

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const TEXT = '[\\t\\x20-\\x7e\\x80-\\xff]*'
const HEADERS = `(?:${TOKEN}:${TEXT}\\r\\n)*\\r\\n`
const REQUEST_LINE = `${TOKEN} [\\x21-\\x7e]+ HTTP/1\\.[01]`
const STATUS_LINE = `HTTP/1\\.[01] [1-9][0-9]{2}(?: ${TEXT})?`
const requestHead = new RegExp(`^${REQUEST_LINE}\\r\\n${HEADERS}$`)
const requestLine = new RegExp(`^${REQUEST_LINE}$`)
const answerHead = new RegExp(`^${STATUS_LINE}\\r\\n${HEADERS}$`)
const statusLine = new RegExp(`^${STATUS_LINE}$`)
const headerLines = new RegExp(`^${HEADERS}$`)

/**
 * A head whose lines may end with LF alone (RFC 9112 section 2.2 allows a recipient to read it), rewritten
 * with CRLF.
 */
export function withCrlf(text: string): string {
  return text.replaceAll(/\r?\n/g, CRLF)
}

/** `text` is the head in latin1, its empty line included. Returns the rule that it breaks as a string. */
export function parseRequestHead(text: string): RequestHead | string {
  if (!requestHead.test(text)) return ruleBroken(text, requestLine, 'request')
  const end = text.indexOf(CRLF)
  const headers = headersOf(text, end + CRLF.length)
  if (typeof headers === 'string') return headers
  const space = text.indexOf(' ')
  const version = end - VERSION.length
  return {
    method: text.slice(0, space),
    target: text.slice(space + 1, version - 1),
    version: versionAt(text, version),
    headers,
  }
}

export function parseAnswerHead(text: string): AnswerHead | string {
  if (!answerHead.test(text)) return ruleBroken(text, statusLine, 'status')
  const end = text.indexOf(CRLF)
  const headers = headersOf(text, end + CRLF.length)
  if (typeof headers === 'string') return headers
  const status = VERSION.length + 1
  return {
    version: versionAt(text, 0),
    status: Number(text.slice(status, status + 3)),
    reason: text.slice(Math.min(end, status + 4), end),
    headers,
  }
}

/** The lines after the last chunk of a body, their empty line included. */
export function parseTrailers(text: string): Fields | string {
  return headerLines.test(text) ? headersOf(text, 0) : faultOf('malformed header line', text, 'header')
}

function versionAt(text: string, start: number): '1.0' | '1.1' {
  return text.charCodeAt(start + VERSION.length - 1) === 0x31 ? '1.1' : '1.0'
}

/**
 * No pattern of a line matches a bare CR or LF; where one breaks the head, naming it says more than naming
 * its line.
 */
function ruleBroken(text: string, firstLine: RegExp, kind: 'request' | 'status'): string {
  if (!text.endsWith(EMPTY_LINE) || /[\r\n]/.test(text.replaceAll(CRLF, ''))) return faultOf(BARE, text, kind)
  const isFirst = !firstLine.test(text.slice(0, text.indexOf(CRLF)))
  return faultOf(isFirst ? `malformed ${kind} line` : 'malformed header line', text, kind)
}

function headersOf(text: string, start: number): Fields | string {
  const headers = new Fields(text, start, text.length - CRLF.length)
  return headers.list.length > MAX_HEADERS ? `more than ${MAX_HEADERS} header lines` : headers
}

/**
 * Headers that a Connection header may not declare hop-by-hop: removing them would change the meaning of the
 * message.
 */
const endToEnd =
  /^(host|content-length|authorization|cookie|set-cookie|origin|forwarded|via|x-forwarded-.*|sec-websocket-.*)$/
const NONE: readonly never[] = []

export interface EndToEndOptions {
  /** Hop-by-hop names to keep. */
  keep?: readonly HeaderName[]
  /** Headers that Connection may not list stay as if it did not, as HAProxy and nginx read it. */
  isLenient?: boolean
}

/** The headers for the other side, or a name that Connection may not list. */
export function endToEndHeaders(
  headers: Fields,
  { keep = NONE, isLenient = false }: EndToEndOptions = {},
): Field[] | string {
  let listed = headers.tokens(CONNECTION)
  for (let i = 0; i < listed.length; i++) {
    if (!endToEnd.test(listed[i]!)) continue
    if (!isLenient) return listed[i]!
    listed = listed.filter((name) => !endToEnd.test(name))
  }
  const passed: Field[] = []
  for (let i = 0; i < headers.list.length; i++) {
    const field = headers.list[i]!
    const { name } = field
    if ((!name.isHopByHop && !listed.includes(name.key)) || keep.includes(name)) passed.push(field)
  }
  return passed
}

/** `fields` without those of that name. */
export function without(fields: readonly Field[], name: HeaderName): Field[] {
  return fields.filter((field) => field.name !== name)
}

/** A head as bytes; `first` is the request or status line, `lines` come before `fields`. */
export function encodeHead(first: string, fields: readonly Field[], lines = ''): Buffer {
  return Buffer.from(`${first}${CRLF}${lines}${Field.lines(fields)}${CRLF}`, 'latin1')
}
