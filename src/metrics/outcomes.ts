// Outcomes: whether a client got the answer that it came for, the events of a service level. A plain HTTP
// request is one event, and so are a tcp connection and a WebSocket, each at its end. An HTTP connection is
// none: its requests are.

import type { Close, Reason } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'

export const outcomes = ['good', 'bad'] as const
export type Outcome = (typeof outcomes)[number]

/** Orderly ends, by peers or an operator. A drain's cuts have their own count (sidegate_drain_cut_total). */
const orderly: ReadonlySet<Reason> = new Set<Reason>([
  'eof',
  'lifetime_timeout',
  'drain',
  'drain_timeout',
  'reloaded',
  'killed',
])
/** RFC 6455 section 7.4.1: the service met an unexpected condition, like 500 in HTTP. */
const SERVICE_ERROR = 1011

/**
 * UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: the codes that OpenTelemetry
 * counts as errors of a server.
 */
const callErrors: ReadonlySet<string> = new Set(['2', '4', '12', '13', '14', '15'])

/**
 * `status` is that of the client's answer, null without one; `end` is the reason why the answer is
 * incomplete, null if it is complete.
 */
export function outcomeOfRequest(status: number | null, end: Close | null, grpcStatus?: string): Outcome {
  if (end !== null && isBlameless(end)) return 'good'
  if (end === null && grpcStatus !== undefined && callErrors.has(grpcStatus)) return 'bad'
  return (status ?? 0) >= 500 || (end !== null && !isOrderly(end)) ? 'bad' : 'good'
}

/** Null for a connection that is judged by its requests. */
export function outcomeOfConnection({ protocol, end, closing }: Connection): Outcome | null {
  if (protocol === 'http') return null
  if (end === null) return 'bad'
  if (closing?.first === 'upstream' && closing.upstream === SERVICE_ERROR) return 'bad'
  return outcomeOfRequest(end.httpStatus ?? null, end)
}

const isBlameless = ({ side }: Close): boolean => side === 'client'

/** Both peers were silent, and the gate tidied up. */
const isOrderly = ({ reason, side }: Close): boolean =>
  orderly.has(reason) || (reason === 'idle_timeout' && side === 'sidegate')
