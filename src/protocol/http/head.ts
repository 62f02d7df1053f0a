// HTTP/1.1 heads, read strictly: one way to understand each byte, or none. What we accept, every other parser on the
// way must understand the same way, or a request could be hidden in another (RFC 9112 section 11.2; the cases are in
// test/protocol/http/head.test.ts).

import { KeptBytes } from '../../endpoint/kept-bytes.ts'

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

/** How many header lines a head may have; their total size is bounded by whoever collects them. */
export const MAX_HEADERS = 256

const requestLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP\/1\.([01])$/
const statusLine = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/
const namePattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const valuePattern = /^[\t\x20-\x7e\x80-\xff]*$/

/** Where a head ends in `bytes[0..length)`: the index just behind its empty line, or -1. */
function headEnd(bytes: Buffer, length: number): number {
  const at = bytes.indexOf('\r\n\r\n', 0, 'latin1')
  return at < 0 || at + 4 > length ? -1 : at + 4
}

/** Collects a head from the chunks that it comes in; nearly always it is whole in the first, and nothing is copied. */
export class HeadReader {
  readonly #maxBytes: number
  #kept: KeptBytes | null = null

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Nothing of a head has come yet. */
  get isEmpty(): boolean {
    return this.#kept === null
  }

  /**
   * Takes a chunk. `more`: the head goes on. `too big`: it is over its bound. Else its text (latin1, the empty line
   * included) and how many bytes of this chunk belong to it.
   */
  read(bytes: Buffer, length: number): 'more' | 'too big' | { text: string; taken: number; bytes: number } {
    const before = this.#kept?.length ?? 0
    let all = bytes
    let end = length
    if (this.#kept !== null) {
      this.#kept.append(bytes, 0, length)
      all = this.#kept.peekAll()
      end = all.length
    }
    const at = headEnd(all, end)
    if (at < 0) {
      if (end > this.#maxBytes) return 'too big'
      if (this.#kept === null) (this.#kept = new KeptBytes()).append(bytes, 0, length)
      return 'more'
    }
    if (at > this.#maxBytes) return 'too big'
    this.#kept = null
    return { text: all.toString('latin1', 0, at), taken: at - before, bytes: at }
  }
}

/** `text` is the head in latin1, its empty line included. Returns the rule that it breaks as a string. */
export function parseRequestHead(text: string): RequestHead | string {
  const lines = linesOf(text)
  const match = requestLine.exec(lines[0]!)
  if (match === null) return ruleBroken(lines, 'malformed request line')
  const headers = parseHeaders(lines)
  if (typeof headers === 'string') return headers
  return { method: match[1]!, target: match[2]!, version: match[3] === '1' ? '1.1' : '1.0', headers }
}

export function parseAnswerHead(text: string): AnswerHead | string {
  const lines = linesOf(text)
  const match = statusLine.exec(lines[0]!)
  if (match === null) return ruleBroken(lines, 'malformed status line')
  const headers = parseHeaders(lines)
  if (typeof headers === 'string') return headers
  return { version: match[1] === '1' ? '1.1' : '1.0', status: Number(match[2]), reason: match[3] ?? '', headers }
}

function linesOf(text: string): string[] {
  return text.slice(0, -4).split('\r\n')
}

/** No pattern of a line admits a CR or LF by itself; where one is the reason, it says more than `otherwise`. */
function ruleBroken(lines: readonly string[], otherwise: string): string {
  return lines.some((line) => line.includes('\n') || line.includes('\r')) ? 'bare CR or LF in the head' : otherwise
}

// A reconnect storm is made of heads: here and below, no match arrays, lists or sets are made that need not be.
function parseHeaders(lines: string[]): Header[] | string {
  if (lines.length - 1 > MAX_HEADERS) return `more than ${MAX_HEADERS} header lines`
  const headers: Header[] = []
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    const value = trimBlanks(line, colon + 1)
    if (!namePattern.test(name) || !valuePattern.test(value)) return ruleBroken(lines, 'malformed header line')
    headers.push([name, value])
  }
  return headers
}

/** `line` from `start` without blanks and tabs at its ends; `trim` would take more (a no-break space is a byte like others). */
function trimBlanks(line: string, start: number): string {
  let from = start
  let to = line.length
  while (from < to && isBlank(line.charCodeAt(from))) from++
  while (to > from && isBlank(line.charCodeAt(to - 1))) to--
  return line.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

const NONE: readonly never[] = []

/** All values of a header; `name` in lower case. */
export function valuesOf(headers: readonly Header[], name: string): readonly string[] {
  let values: string[] | null = null
  for (const [key, value] of headers) {
    if (key.length === name.length && key.toLowerCase() === name) (values ??= []).push(value)
  }
  return values ?? NONE
}

/** The comma-separated elements of all values of a header, lower case, without white space and empty ones. */
export function tokensOf(headers: readonly Header[], name: string): readonly string[] {
  const values = valuesOf(headers, name)
  if (values.length === 0) return NONE
  if (values.length === 1 && namePattern.test(values[0]!)) return [values[0]!.toLowerCase()]
  return values
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
])

/** Headers that a Connection header may not declare hop-by-hop: removing them would change what the message says. */
const endToEnd = /^(host|content-length|authorization|cookie|set-cookie|origin|forwarded|via|x-forwarded-.*|sec-websocket-.*)$/

/** The headers that go on to the other side, or the name that Connection may not list. `keep` are hop-by-hop names to leave in. */
export function endToEndHeaders(headers: readonly Header[], keep: readonly string[] = NONE): Header[] | string {
  const listed = tokensOf(headers, 'connection')
  for (const name of listed) if (endToEnd.test(name)) return name
  const passed: Header[] = []
  for (const header of headers) {
    const name = header[0].toLowerCase()
    if (keep.includes(name) || (!hopByHop.has(name) && !listed.includes(name))) passed.push(header)
  }
  return passed
}

/** A head as bytes; `first` is the request or status line. */
export function encodeHead(first: string, headers: readonly Header[]): Buffer {
  let text = `${first}\r\n`
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`
  return Buffer.from(`${text}\r\n`, 'latin1')
}
