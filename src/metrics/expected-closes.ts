// The sides that can cause each reason, so that every series that may ever move stands at 0 from the start: a
// counter that appears with its first event hides that event from rate(). A missing pair still counts, only
// late.
//
// 43 series for each listener and protocol; all three sides for all reasons would be twice that.

import type { Reason, Side } from '../core/close.ts'

const peers = ['client', 'upstream'] as const
const all = ['client', 'upstream', 'sidegate'] as const

export const closingSides = {
  eof: all,
  aborted: peers,
  reset: peers,
  connect_refused: ['upstream'],
  connect_failed: ['upstream'],
  connect_timeout: ['upstream'],
  no_upstream: ['upstream'],
  handshake_timeout: ['client'],
  response_timeout: ['upstream'],
  request_timeout: ['client'],
  idle_timeout: all,
  write_timeout: peers,
  half_close_timeout: peers,
  ping_timeout: peers,
  lifetime_timeout: ['sidegate'],
  drain: ['sidegate'],
  drain_timeout: ['sidegate'],
  reloaded: ['sidegate'],
  rate_limited: peers,
  too_slow: peers,
  slow_consumer: peers,
  message_too_big: peers,
  protocol_error: peers,
  denied: ['client'],
  too_many: ['client'],
  overloaded: ['sidegate'],
  upstream_unhealthy: ['upstream'],
  killed: ['sidegate'],
  internal_error: ['sidegate'],
} as const satisfies Record<Reason, readonly Side[]>

/** The reasons to refuse a connection before it is served. */
export const rejectionReasons = [
  'eof',
  'aborted',
  'reset',
  'handshake_timeout',
  'drain',
  'reloaded',
  'rate_limited',
  'protocol_error',
  'denied',
  'too_many',
  'overloaded',
  'internal_error',
] as const satisfies readonly Reason[]

export const dialFailureReasons = [
  'connect_refused',
  'connect_failed',
  'connect_timeout',
  'no_upstream',
] as const satisfies readonly Reason[]

/**
 * Why messages are dropped: the policies of `websocket.slowConsumer` that do, and `limits.messages` with
 * `onExceed: drop`.
 */
export const droppingPolicies = ['dropOldest', 'dropNewest', 'rate'] as const
