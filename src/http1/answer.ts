// The upstream's answer as the client gets it: held to one framing, hop-by-hop headers gone, nothing that Node would
// refuse to write (in an event that nobody catches).

import type { IncomingMessage } from 'node:http'
import { viaHeader } from './forwarding.ts'
import { endToEndHeaders, lengthPattern, MAX_HEADERS, valuesOf } from './head.ts'
import type { Header } from './head.ts'
import { toHeaders } from './request.ts'

export interface ClientHead {
  status: number
  reason: string
  headers: Header[]
  /** The client sees the end of the body without FIN, so that FIN before it shows a cut. */
  isDelimited: boolean
}

export interface AnswerTo {
  method: string
  version: string
}

const reasonPattern = /^[\t\x20-\x7e\x80-\xff]*$/

/** The head for the client, or the rule that the answer breaks. */
export function clientHead(answer: IncomingMessage, { method, version }: AnswerTo): ClientHead | string {
  const { statusCode: status = 0, statusMessage = '', rawHeaders, httpVersion } = answer
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'malformed status line'
  if (status < 200) return `status ${status}`
  const headers = toHeaders(rawHeaders)
  if (headers.length > MAX_HEADERS) return `more than ${MAX_HEADERS} header lines`
  const isBodyless = method === 'HEAD' || status === 204 || status === 304
  const problem = framingProblem(headers, httpVersion, isBodyless)
  if (problem !== null) return problem
  // What Upgrade says belongs to a 426 (RFC 9110 section 15.5.22).
  const passed = endToEndHeaders(headers, status === 426 ? ['upgrade'] : [])
  if (typeof passed === 'string') return `Connection lists ${passed}`
  // Some clients wait for the bytes that a 204 announces and never has (RFC 9110 section 8.6).
  const said = status === 204 ? passed.filter(([name]) => name.toLowerCase() !== 'content-length') : passed
  const isDelimited = isBodyless || version === '1.1' || valuesOf(headers, 'content-length').length > 0
  return { status, reason: reasonPattern.test(statusMessage) ? statusMessage : '', headers: viaHeader(said), isDelimited }
}

/** `isBodyless`: an answer that may say what its body would have been (RFC 9112 section 6.1), as long as it is said well. */
function framingProblem(headers: readonly Header[], version: string, isBodyless: boolean): string | null {
  const lengths = valuesOf(headers, 'content-length')
  const codings = valuesOf(headers, 'transfer-encoding')
  if (lengths.length > 1 || (lengths.length === 1 && !lengthPattern.test(lengths[0]!))) return 'malformed Content-Length'
  if (codings.length === 0) return null
  if (lengths.length > 0) return 'both Content-Length and Transfer-Encoding'
  if (isBodyless) return null
  return version === '1.1' && codings.length === 1 && codings[0]!.toLowerCase() === 'chunked' ? null : 'a transfer coding other than chunked'
}
