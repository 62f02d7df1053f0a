// Whether a client got the answer that it came for: the events that a service level is made of. A plain HTTP request is one, and so is a tcp
// connection and a WebSocket, each once, at its end. An HTTP connection is none: its requests are.

import type { Close, Reason } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'

export const outcomes = ['good', 'bad'] as const
export type Outcome = (typeof outcomes)[number]

/** Ends by order, of the peers or of an operator. What a drain takes away is counted on its own (sidegate_drain_cut_total). */
const orderly: ReadonlySet<Reason> = new Set<Reason>([
  'eof',
  'lifetime_timeout',
  'drain',
  'drain_timeout',
  'reloaded',
  'killed',
])
/** RFC 6455 section 7.4.1: the service met a condition that it did not expect; what 500 is to HTTP. */
const SERVICE_ERROR = 1011

/** UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: what OpenTelemetry counts as errors of a server. */
const callErrors: ReadonlySet<string> = new Set(['2', '4', '12', '13', '14', '15'])

/** `status` is what the client was answered, null for nothing; `end` what kept the answer from being whole, null if it is. */
export function outcomeOfRequest(status: number | null, end: Close | null, grpcStatus?: string): Outcome {
  if (end !== null && isBlameless(end)) return 'good'
  if (end === null && grpcStatus !== undefined && callErrors.has(grpcStatus)) return 'bad'
  return (status ?? 0) >= 500 || (end !== null && !isOrderly(end)) ? 'bad' : 'good'
}

/** Null for what is judged by its requests. */
export function outcomeOfConnection({ protocol, end, closing }: Connection): Outcome | null {
  if (protocol === 'http') return null
  if (end === null) return 'bad'
  if (closing?.first === 'upstream' && closing.upstream === SERVICE_ERROR) return 'bad'
  return outcomeOfRequest(end.httpStatus ?? null, end)
}

const isBlameless = ({ side }: Close): boolean => side === 'client'

/** Nobody said anything: the gate tidied up. */
const isOrderly = ({ reason, side }: Close): boolean =>
  orderly.has(reason) || (reason === 'idle_timeout' && side === 'sidegate')
