// The codes of RST_STREAM and GOAWAY (RFC 9113 section 7), from the table of reasons.

import { http2Code, http2Codes, reasonRow } from '../core/close.ts'
import type { Close } from '../core/close.ts'

export const { NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR } = http2Codes
const names = Object.keys(http2Codes)

export function codeName(code: number): string {
  return names[code] ?? `code ${code}`
}

/** The code of RST_STREAM, for a client's stream that ends with `close` before it is complete. */
export function streamCode(close: Close | null): number {
  return close === null ? http2Codes.CANCEL : http2Code(close, 'stream')
}

/** The code of RST_STREAM, for a stream to a service: CANCEL, unless the service caused the end. */
export function serviceCode(close: Close | null): number {
  const name = close?.side === 'upstream' ? reasonRow(close.reason).http2?.stream : undefined
  return http2Codes[name ?? 'CANCEL']
}

/** The code of GOAWAY, for a client's connection that ends with `close`. */
export function connectionCode(close: Close): number {
  return http2Code(close, 'connection')
}
