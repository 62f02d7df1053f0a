// Our own answers: a short body that names the reason, and a connection that ends with it.

import { nodeHttp } from '../../node-http.ts'
import { httpStatus } from '../../close.ts'
import type { Close, Reason } from '../../close.ts'
import { encodeHead } from './head.ts'
import type { Header } from './head.ts'

/** When a client that was refused for a shortage of ours may come again. */
const RETRY_AFTER_SECONDS = 5
export const SERVED_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

const shortages: ReadonlySet<Reason> = new Set<Reason>(['too_many', 'overloaded'])

/** The whole answer for a client whose request ends with `close`; null where the table has none. */
export function refusal(close: Close): Buffer | null {
  const status = httpStatus(close)
  if (status === null) return null
  const body = Buffer.from(`${close.reason}${close.detail === undefined ? '' : `: ${close.detail}`}\n`, 'latin1')
  const headers: Header[] = [
    ...upgradeHeaders(status),
    ...(status === 405 ? [['Allow', SERVED_METHODS] as const] : []),
    ['Content-Type', 'text/plain; charset=utf-8'],
    ['Content-Length', String(body.length)],
    ['Cache-Control', 'no-store'],
    ...(shortages.has(close.reason) ? [['Retry-After', String(RETRY_AFTER_SECONDS)] as const] : []),
  ]
  return Buffer.concat([encodeHead(`HTTP/1.1 ${status} ${nodeHttp.STATUS_CODES[status] ?? 'Error'}`, headers), body])
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

/** What a client whose request ends like this is told; null where nobody reads it any more. */
export function answerFor(close: Close): Buffer | null {
  return isGone(close) ? null : refusal(close)
}

/** The client has left. */
export function isGone({ reason, side }: Close): boolean {
  return reason === 'aborted' && side === 'client'
}
