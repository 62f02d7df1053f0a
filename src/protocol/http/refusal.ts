// Our own answers: a short body that names the reason, and a connection that ends with it.

import { nodeHttp } from '../../node-http.ts'
import { httpStatus } from '../../close.ts'
import type { Close } from '../../close.ts'
import { encodeHead } from './head.ts'
import type { Header } from './head.ts'

export const SERVED_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

/** The whole answer for a client whose request ends with `close`; null where the table has none. `retryAfter` is in seconds. */
export function refusal(close: Close, retryAfter: number | null = null): Buffer | null {
  const status = httpStatus(close)
  if (status === null) return null
  const body = Buffer.from(`${close.reason}${close.detail === undefined ? '' : `: ${close.detail}`}\n`, 'latin1')
  const headers: Header[] = [
    ...upgradeHeaders(status),
    ...(status === 405 ? [['Allow', SERVED_METHODS] as const] : []),
    ['Content-Type', 'text/plain; charset=utf-8'],
    ['Content-Length', String(body.length)],
    ['Cache-Control', 'no-store'],
    ...(retryAfter === null ? [] : [['Retry-After', String(retryAfter)] as const]),
  ]
  return Buffer.concat([encodeHead(`HTTP/1.1 ${status} ${nodeHttp.STATUS_CODES[status] ?? 'Error'}`, headers), body])
}

/** A client that has left reads no answer. */
export function isGone({ reason, side }: Close): boolean {
  return reason === 'aborted' && side === 'client'
}

export function answerFor(close: Close): Buffer | null {
  return isGone(close) ? null : refusal(close)
}

/** RFC 6455 section 4.4: a 426 says which version would do. */
function upgradeHeaders(status: number): Header[] {
  if (status !== 426) return [['Connection', 'close']]
  return [
    ['Connection', 'close, Upgrade'],
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Version', '13'],
  ]
}
