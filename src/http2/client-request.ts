// The request of a stream (RFC 9113 sections 8.2 and 8.3), judged, and turned into the equivalent head of
// HTTP/1.1. It refuses whatever would be ambiguous as lines of text: what another parser on the way could
// take for a second header, a second length, a second request.

import type { RequestHead } from '../http1/head.ts'
import { lengthPattern, parseRequestHead } from '../http1/head.ts'
import type { RawFields } from './fields.ts'

export interface StreamRequest {
  request: RequestHead
  /** Bytes of its head, as the engine counts them. */
  headBytes: number
  /** How its body reaches the engine; `raw`: a WebSocket follows (RFC 8441). */
  body: 'none' | 'length' | 'chunked' | 'raw'
}

const namePattern = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
/** No CR, LF or NUL, and no white space at either end (RFC 9113 section 8.2.1). */
const valuePattern = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/
const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const pathPattern = /^(?:\/[\x21-\x7e]*|\*)$/
const schemePattern = /^https?$/i
const authorityPattern = /^[\x21-\x3f\x41-\x7e]+$/
/** Headers of one connection, or of a framing that HTTP/2 does not have (section 8.2.2). */
const ofConnection: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
])
/** The key of a WebSocket over HTTP/2 proves nothing: one serves all. */
const KEY = 'c2lkZWdhdGUtaHR0cDItMQ=='

interface Pseudo {
  method?: string
  scheme?: string
  authority?: string
  path?: string
  protocol?: string
}
const pseudoNames: ReadonlySet<string> = new Set(['method', 'scheme', 'authority', 'path', 'protocol'])

interface Read {
  pseudo: Pseudo
  lines: string
  host: string | null
  cookie: string
  length: string | null
}

/** `isEnd`: HEADERS had END_STREAM. Returns the broken rule as a string. */
export function readRequest(fields: RawFields, isEnd: boolean): StreamRequest | string {
  const read = readFields(fields)
  if (typeof read === 'string') return read
  const { pseudo, host } = read
  const authority = pseudo.authority ?? host
  if (host !== null && authority!.toLowerCase() !== host.toLowerCase()) return 'Host and :authority disagree'
  if (authority !== null && authority !== '' && !authorityPattern.test(authority))
    return 'malformed :authority'
  const problem = pseudoProblem(pseudo)
  if (problem !== null) return problem
  const body = bodyOf(read, isEnd)
  if (!isBody(body)) return body
  const isTunnel = pseudo.protocol !== undefined
  const target = pseudo.path ?? authority ?? ''
  let text = `${isTunnel ? 'GET' : pseudo.method!} ${target} HTTP/1.1\r\n`
  if (authority !== null) text += `Host: ${authority}\r\n`
  text += read.lines
  if (read.cookie !== '') text += `cookie: ${read.cookie}\r\n`
  if (body === 'chunked') text += 'transfer-encoding: chunked\r\n'
  // A stream carries one request.
  if (!isTunnel) text += 'connection: close\r\n'
  else text += `connection: Upgrade\r\nupgrade: ${pseudo.protocol!}\r\nsec-websocket-key: ${KEY}\r\n`
  text += '\r\n'
  const request = parseRequestHead(text)
  return typeof request === 'string' ? request : { request, headBytes: text.length, body }
}

function isBody(word: string): word is StreamRequest['body'] {
  return word === 'none' || word === 'length' || word === 'chunked' || word === 'raw'
}

function readFields(fields: RawFields): Read | string {
  const read: Read = { pseudo: {}, lines: '', host: null, cookie: '', length: null }
  let isPast = false
  for (let i = 0; i < fields.length; i += 2) {
    const [name, value] = [fields[i]!, fields[i + 1]!]
    if (!valuePattern.test(value)) return 'malformed field value'
    const isPseudo = name.startsWith(':')
    if (isPseudo && isPast) return 'a pseudo-header field behind others'
    isPast ||= !isPseudo
    const problem = isPseudo ? takePseudo(read.pseudo, name.slice(1), value) : takeField(read, name, value)
    if (problem !== null) return problem
  }
  return read
}

function takePseudo(pseudo: Pseudo, name: string, value: string): string | null {
  if (!pseudoNames.has(name)) return 'an unknown pseudo-header field'
  const key = name as keyof Pseudo
  if (pseudo[key] !== undefined) return `:${name} twice`
  pseudo[key] = value
  return null
}

function takeField(read: Read, name: string, value: string): string | null {
  if (!namePattern.test(name)) return 'malformed field name'
  if (ofConnection.has(name)) return `${name}, which HTTP/2 does not have`
  if (name === 'te' && value.toLowerCase() !== 'trailers') return 'te with more than trailers'
  if (name === 'host') {
    if (read.host !== null) return 'more than one Host'
    read.host = value
    return null
  }
  if (name === 'cookie') {
    read.cookie += read.cookie === '' ? value : `; ${value}`
    return null
  }
  if (name === 'sec-websocket-key') return null
  if (name === 'content-length') {
    if (read.length !== null || !lengthPattern.test(value)) return 'malformed Content-Length'
    read.length = value
  }
  read.lines += `${name}: ${value}\r\n`
  return null
}

function pseudoProblem({ method, scheme, path, protocol }: Pseudo): string | null {
  if (method === undefined || !tokenPattern.test(method)) return 'no :method, or a malformed one'
  if (protocol !== undefined && (method !== 'CONNECT' || !tokenPattern.test(protocol)))
    return ':protocol without CONNECT'
  if (method === 'CONNECT' && protocol === undefined)
    return scheme === undefined && path === undefined ? null : 'CONNECT with :scheme or :path'
  if (scheme === undefined || !schemePattern.test(scheme)) return 'no :scheme of HTTP'
  if (path === undefined || !pathPattern.test(path)) return 'malformed :path'
  return path === '*' && method !== 'OPTIONS' ? ':path * without OPTIONS' : null
}

function bodyOf({ pseudo, length }: Read, isEnd: boolean): string {
  if (pseudo.protocol !== undefined) return isEnd ? 'a WebSocket whose stream has ended' : 'raw'
  if (isEnd)
    return length === null || length === '0' ? 'none' : 'a Content-Length of a request without a body'
  if (length === null) return 'chunked'
  return length === '0' ? 'none' : 'length'
}
