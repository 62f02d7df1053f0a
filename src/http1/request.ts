// Holds a plain request to one meaning before it goes on. Node's parser has refused most of what is malformed; these are
// the requests that it lets through and another parser may read differently (RFC 9112 sections 3.2, 6.1, 11.2).

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { isUpgrade } from './upgrade.ts'
import { endToEndHeaders, lengthPattern, MAX_HEADERS, tokensOf, valuesOf } from './head.ts'
import type { Header } from './head.ts'
import { refused } from './refusal.ts'

export interface PlainRequest {
  method: string
  target: string
  /** As Node has it: `1.1`, `1.0`, and what it lets through besides. */
  version: string
  headers: readonly Header[]
}

export interface Checked {
  /** Origin form, byte for byte as the client wrote it; `*` for an OPTIONS of the whole server. */
  target: string
  /** Bytes of the body; null for chunked, 0 for none. */
  bodyBytes: number | null
  /** What goes on: end to end, Content-Length among them. */
  headers: Header[]
}

/** A request that has come through more proxies than this is in a loop. */
const MAX_HOPS = 10
const absolutePattern = /^https?:\/\/([^/?#]*)([^#]*)$/i
/** RFC 9110 section 4.2.1 less user information: a name, an IPv4 address or an IPv6 address in brackets, and a port. Empty where there is none. */
const hostPattern = /^(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?$/
/** One asks for a tunnel, the other for an echo of what proxies added: nothing of a plain service. */
const FORBIDDEN_METHODS = new Set(['CONNECT', 'TRACE'])

/** What goes on, or why it is refused. `maxBodyBytes` is judged where the length is declared. */
export function checkRequest(request: PlainRequest, maxBodyBytes: number): Checked | Close {
  const { method, headers } = request
  const problem = headProblem(request)
  if (problem !== null) return refused(problem)
  if (FORBIDDEN_METHODS.has(method)) return refused(`${method} is not served`, 405)
  const body = bodyLength(request)
  if (typeof body === 'string') return refused(body)
  // One without a body is not seen here: it was handed over to the WebSocket protocol.
  if (isUpgrade({ ...request, version: '1.1', headers: [...headers] })) return refused('an upgrade has no body')
  if (body !== null && body > maxBodyBytes) return { ...makeClose('message_too_big', 'client', 'handshake', 'request body (http.maxBody)'), httpStatus: 413 }
  if (tokensOf(headers, 'via').length > MAX_HOPS) return refused(`more than ${MAX_HOPS} proxies on the way: a loop`, 508)
  const target = originForm(request)
  if (target === null) return refused('request target that is no path of this host')
  const passed = endToEndHeaders(headers)
  if (typeof passed === 'string') return refused(`Connection lists ${passed}`)
  return { target, bodyBytes: body, headers: passed.filter(([name]) => name.toLowerCase() !== 'expect') }
}

function headProblem({ version, headers }: PlainRequest): string | null {
  if (version !== '1.1' && version !== '1.0') return 'malformed request line'
  if (headers.length > MAX_HEADERS) return `more than ${MAX_HEADERS} header lines`
  const hosts = valuesOf(headers, 'host')
  if (hosts.length > 1) return 'more than one Host header'
  if (hosts.length === 0) return version === '1.1' ? 'no Host header' : null
  return hostPattern.test(hosts[0]!) ? null : 'malformed Host header'
}

/** One framing: the length, null for chunked, or the rule that is broken. */
function bodyLength({ version, headers }: PlainRequest): number | null | string {
  const lengths = valuesOf(headers, 'content-length')
  const codings = valuesOf(headers, 'transfer-encoding')
  if (codings.length > 0) {
    if (lengths.length > 0) return 'both Content-Length and Transfer-Encoding'
    // Who speaks 1.0 does not know of chunks, and may see the end elsewhere.
    if (version !== '1.1') return 'a transfer coding in HTTP/1.0'
    return codings.length === 1 && codings[0]!.toLowerCase() === 'chunked' ? null : 'a transfer coding other than chunked'
  }
  if (lengths.length === 0) return 0
  return lengths.length === 1 && lengthPattern.test(lengths[0]!) ? Number(lengths[0]) : 'malformed Content-Length'
}

/** `*` stays for OPTIONS; absolute form is rewritten if it names the same authority as Host; null for anything else. */
function originForm({ method, target, headers }: PlainRequest): string | null {
  if (target.startsWith('/')) return target.includes('#') ? null : target
  if (target === '*') return method === 'OPTIONS' ? target : null
  const match = absolutePattern.exec(target)
  if (match === null || match[1]!.toLowerCase() !== valuesOf(headers, 'host')[0]?.toLowerCase()) return null
  const path = match[2]!
  if (path === '' && method === 'OPTIONS') return '*'
  return path.startsWith('/') ? path : `/${path}`
}

/** Node gives headers as one flat list of names and values. */
export function toHeaders(raw: readonly string[]): Header[] {
  const headers: Header[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) headers.push([raw[i]!, raw[i + 1]!])
  return headers
}
