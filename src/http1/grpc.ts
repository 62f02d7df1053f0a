// gRPC over HTTP (its PROTOCOL-HTTP2.md): which requests are calls, and how an answer of ours explains to a
// caller why its service did not answer.
//
// A caller looks for grpc-status in the trailers, or in the head of an answer without a body. It maps plain
// HTTP statuses to codes of its own (http-grpc-status-mapping.md); ours are the same, and finer where that
// mapping has only UNKNOWN.

import { http2Codes, httpStatus } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Field, Fields } from './fields.ts'
import { CONTENT_TYPE } from './header-name.ts'

/**
 * `application/grpc`, `application/grpc+proto`, `application/grpc; charset=utf-8`: not grpc-web, whose
 * trailers are in its body.
 */
const callType = /^application\/grpc(?:[+;\s]|$)/i

export function isGrpcType(contentType: string | null | undefined): boolean {
  return typeof contentType === 'string' && callType.test(contentType)
}

export function isCall({ headers }: { headers: Fields }): boolean {
  return isGrpcType(headers.value(CONTENT_TYPE))
}

/** Codes by HTTP status. */
const codes: Readonly<Record<number, number>> = {
  400: 13, // INTERNAL
  401: 16, // UNAUTHENTICATED
  403: 7, // PERMISSION_DENIED
  404: 12, // UNIMPLEMENTED
  405: 12,
  501: 12,
  408: 4, // DEADLINE_EXCEEDED
  413: 8, // RESOURCE_EXHAUSTED
  431: 8,
  429: 14, // UNAVAILABLE: worth another try
  502: 14,
  503: 14,
  504: 14,
  500: 13,
}
const UNKNOWN = 2

/**
 * Codes by the RST_STREAM of a service, where they are not INTERNAL. A refused or empty call may be tried
 * again.
 */
const resetCodes: Readonly<Record<number, number>> = {
  [http2Codes.NO_ERROR]: 14, // UNAVAILABLE
  [http2Codes.REFUSED_STREAM]: 14,
  [http2Codes.CANCEL]: 1, // CANCELLED
  [http2Codes.ENHANCE_YOUR_CALM]: 8, // RESOURCE_EXHAUSTED
  [http2Codes.INADEQUATE_SECURITY]: 7, // PERMISSION_DENIED
}
const INTERNAL = 13
const RESOURCE_EXHAUSTED = 8

/** The words of an end in the form of grpc-message: printable ASCII, the rest and % as %XX. */
export function grpcMessage({ reason, detail }: Close): string {
  const text = detail === undefined ? reason : `${reason}: ${detail}`
  return Array.from(Buffer.from(text), (byte) =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('')
}

/**
 * The code for a caller whose call ends with `close` before the service has answered; null where none is due.
 */
export function refusedCode(close: Close): number | null {
  if (close.side === 'upstream' && close.http2Code !== undefined)
    return resetCodes[close.http2Code] ?? INTERNAL
  // Whoever sent too much: a further try would meet the same.
  if (close.reason === 'message_too_big') return RESOURCE_EXHAUSTED
  const status = httpStatus(close)
  return status === null ? null : (codes[status] ?? UNKNOWN)
}

/**
 * The service has cancelled a call without an answer, as it does at the call's deadline: its caller gets the
 * same RST_STREAM, of which its library makes DEADLINE_EXCEEDED or CANCELLED by the time on its own clock.
 */
export function isCancelled({ side, http2Code }: Close): boolean {
  return side === 'upstream' && http2Code === http2Codes.CANCEL
}

/**
 * The code that a caller got, from the service or our refusal; `none` where the call was cut, `other` where
 * it is no code.
 */
export function grpcStatusOf(
  {
    answer,
    answerBody,
    isAnswerBegun,
    isOfStream,
  }: {
    answer: { headers: readonly Field[] } | null
    answerBody: { trailers: Fields }
    isAnswerBegun: boolean
    isOfStream: boolean
  },
  end: Close | null,
): string {
  if (end !== null)
    return isAnswerBegun || (isOfStream && isCancelled(end)) ? 'none' : String(refusedCode(end) ?? 'none')
  return codeOf(answerBody.trailers.list) ?? codeOf(answer!.headers) ?? 'other'
}

function codeOf(fields: readonly Field[]): string | null {
  const field = fields.find(({ name }) => name.key === 'grpc-status')
  if (field === undefined) return null
  return /^(?:[0-9]|1[0-6])$/.test(field.value) ? field.value : 'other'
}
