// The rules that give a plain request one meaning before it goes on. Node's parser refuses most malformed
// requests; these are the ones that it lets through and another parser may read differently (RFC 9112
// sections 6.1, 11.2; the head: request-rules.ts).

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { framingFaults } from './fault.ts'
import { isUpgrade } from './upgrade.ts'
import { lengthPattern } from './head.ts'
import { Field } from './fields.ts'
import { CONTENT_LENGTH, TE, TRANSFER_ENCODING } from './header-name.ts'
import { refused } from './refusal.ts'
import { checkHead } from './request-rules.ts'
import type { CheckedHead, PlainRequest } from './request-rules.ts'

export interface Checked extends CheckedHead {
  /** Bytes of the body; null for chunked, 0 for none. */
  bodyBytes: number | null
}

/** Some services send trailers only to a client that takes them, and the gate passes them on. */
const TAKES_TRAILERS = Field.of('TE', 'trailers')

/** The head that goes on, or why it is refused. `maxBodyBytes` is compared with a declared length. */
export function checkRequest(request: PlainRequest, maxBodyBytes: number): Checked | Close {
  const head = checkHead(request)
  if ('reason' in head) return head
  const body = bodyLength(request)
  if (typeof body === 'string') return refused(body)
  // An upgrade without a body does not come here: the WebSocket protocol has taken it.
  if (isUpgrade(request)) return refused('an upgrade has no body')
  if (body !== null && body > maxBodyBytes)
    return {
      ...makeClose('message_too_big', 'client', 'handshake', 'request body (http.maxBody)'),
      httpStatus: 413,
    }
  if (takesTrailers(request)) head.headers.push(TAKES_TRAILERS)
  return { ...head, bodyBytes: body }
}

/** A client of HTTP/1.0 gets no chunks, and so no trailers. */
function takesTrailers({ version, headers }: PlainRequest): boolean {
  return (
    version === '1.1' &&
    headers.has(TE) &&
    headers.tokens(TE).some((token) => /^trailers\s*(;|$)/.test(token))
  )
}

/** The one framing: the length, null for chunked, or the broken rule. */
function bodyLength({ version, headers }: PlainRequest): number | null | string {
  const lengths = headers.values(CONTENT_LENGTH)
  const codings = headers.values(TRANSFER_ENCODING)
  if (codings.length > 0) {
    if (lengths.length > 0) return framingFaults.both(headers)
    // An HTTP/1.0 peer does not know chunks, and may see the end elsewhere.
    if (version !== '1.1') return framingFaults.old(headers)
    return codings.length === 1 && codings[0]!.toLowerCase() === 'chunked'
      ? null
      : framingFaults.coding(headers)
  }
  if (lengths.length === 0) return 0
  return lengths.length === 1 && lengthPattern.test(lengths[0]!)
    ? Number(lengths[0])
    : framingFaults.length(headers)
}
