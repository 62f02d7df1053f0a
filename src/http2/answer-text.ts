// The answer of a service that speaks HTTP/2, in the form that the engine reads: HTTP/1.1 in bytes. The
// engine judges it like any other answer.

import { nodeHttp } from '../core/late.ts'
import { CRLF } from '../http1/fields.ts'
import { linesOf } from './fields.ts'
import type { RawFields } from './fields.ts'

export interface AnswerShape {
  /** HEADERS had END_STREAM. */
  isEnd: boolean
  method: string
}

export interface AnswerText {
  head: string
  /** How the engine finds the end of the body. */
  body: 'none' | 'length' | 'chunked'
}

export function interimText(status: number, fields: RawFields): string {
  return `HTTP/1.1 ${status} ${nodeHttp().STATUS_CODES[status] ?? ''}${CRLF}${linesOf(fields)}${CRLF}`
}

/** The stream ends with its answer, so the engine has no connection to keep. */
export function answerText(status: number, fields: RawFields, { isEnd, method }: AnswerShape): AnswerText {
  let [isLength, isTrailed] = [false, false]
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]
    isLength ||= name === 'content-length'
    isTrailed ||= name === 'trailer'
  }
  const isBodyless = method === 'HEAD' || status === 204 || status === 304
  // A length leaves no room for trailers; END_STREAM marks the end as well.
  const drops = isTrailed && !isEnd && !isBodyless
  const body = isBodyless || isEnd ? 'none' : isLength && !drops ? 'length' : 'chunked'
  let head = `HTTP/1.1 ${status} ${nodeHttp().STATUS_CODES[status] ?? ''}${CRLF}`
  head += linesOf(fields, drops ? 'content-length' : null)
  if (body === 'chunked') head += `Transfer-Encoding: chunked${CRLF}`
  else if (!isLength && !isBodyless) head += `Content-Length: 0${CRLF}`
  return { head: `${head}Connection: close${CRLF}${CRLF}`, body }
}
