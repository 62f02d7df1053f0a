// Our own answers: a short body that names the reason, on a connection that ends with it.

import { nodeHttp } from '../core/late.ts'
import { httpStatus, makeClose } from '../core/close.ts'
import type { Close, Reason } from '../core/close.ts'
import { encodeHead } from './head.ts'
import { Field } from './fields.ts'
import { grpcMessage, isCancelled, refusedCode } from './grpc.ts'

/**
 * Retry-After of a temporary refusal is 1 to this many seconds, at random: with one value for all, the
 * clients would come back at once.
 */
const MAX_RETRY_AFTER_SECONDS = 5
const SERVED_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

const forNow: ReadonlySet<Reason> = new Set<Reason>(['too_many', 'overloaded', 'rate_limited'])

/** The end of a request that breaks a rule. */
export function refused(detail: string, status = 400): Close {
  return { ...makeClose('protocol_error', 'client', 'handshake', detail), httpStatus: status }
}

/**
 * The complete answer for a client whose request ends with `close`; null where the table has no status.
 * `random` is 0..1.
 */
export function refusal(close: Close, random = Math.random()): Buffer | null {
  const status = httpStatus(close)
  if (status === null) return null
  const body = Buffer.from(
    `${close.reason}${close.detail === undefined ? '' : `: ${close.detail}`}\n`,
    'latin1',
  )
  const headers = [
    ...upgradeHeaders(status),
    ...(status === 405 ? [Field.of('Allow', SERVED_METHODS)] : []),
    Field.of('Content-Type', 'text/plain; charset=utf-8'),
    Field.of('Content-Length', String(body.length)),
    Field.of('Cache-Control', 'no-store'),
    ...(forNow.has(close.reason)
      ? [Field.of('Retry-After', String(1 + Math.floor(random * MAX_RETRY_AFTER_SECONDS)))]
      : []),
  ]
  return Buffer.concat([
    encodeHead(`HTTP/1.1 ${status} ${nodeHttp().STATUS_CODES[status] ?? 'Error'}`, headers),
    body,
  ])
}

/** The complete answer for a caller of gRPC, in a head alone (`Trailers-Only`). */
function callRefusal(close: Close): Buffer | null {
  const code = refusedCode(close)
  if (code === null) return null
  return encodeHead('HTTP/1.1 200 OK', [
    Field.of('Content-Type', 'application/grpc'),
    Field.of('Content-Length', '0'),
    Field.of('Grpc-Status', String(code)),
    Field.of('Grpc-Message', grpcMessage(close)),
    Field.of('Connection', 'close'),
  ])
}

/** RFC 6455 section 4.4: a 426 names the supported version. */
function upgradeHeaders(status: number): Field[] {
  if (status !== 426) return [Field.of('Connection', 'close')]
  return [
    Field.of('Connection', 'close, Upgrade'),
    Field.of('Upgrade', 'websocket'),
    Field.of('Sec-WebSocket-Version', '13'),
  ]
}

/** The answer to a client whose request ends with `close`; null where the client has left. */
function answerFor(close: Close): Buffer | null {
  return isGone(close) ? null : refusal(close)
}

/**
 * The last words to a client at the end of its connection: null where the answer to `asked` has begun, or
 * none is due.
 */
export function refusalOf(
  close: Close,
  asked: { request: { method: string }; isAnswerBegun: boolean; isCall: boolean; isOfStream: boolean } | null,
): Buffer | null {
  const isDue =
    asked === null ? close.phase === 'handshake' || close.reason === 'rate_limited' : !asked.isAnswerBegun
  if (isDue && asked?.isCall === true)
    return isGone(close) || (asked.isOfStream && isCancelled(close)) ? null : callRefusal(close)
  const answer = isDue ? answerFor(close) : null
  return answer !== null && asked?.request.method === 'HEAD'
    ? answer.subarray(0, answer.indexOf('\r\n\r\n') + 4)
    : answer
}

/** The client has left. */
function isGone({ reason, side }: Close): boolean {
  return reason === 'aborted' && side === 'client'
}
