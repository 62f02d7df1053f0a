// The wait of an opening, in words for an operator.

import { reasonRow } from '../core/close.ts'
import type { Close, Reason } from '../core/close.ts'
import { earliest } from '../core/wait.ts'
import type { Wait } from '../core/wait.ts'

const waits: Partial<Record<Reason, string>> = {
  handshake_timeout: 'the client to send the head of its request',
  response_timeout: 'the upstream to answer the upgrade',
  idle_timeout: 'the upstream to answer the upgrade',
}

export interface OpeningView {
  state: string
  /** When the dial is given up; null where none is under way. */
  dialBy: number | null
  deadline: { at: number; close: Close } | null
}

export function describeOpening({ state, dialBy, deadline }: OpeningView): Wait {
  if (dialBy !== null && state === 'waiting') {
    const next = earliest([
      { key: 'deadlines.connect', reason: 'connect_timeout', side: 'upstream', at: dialBy },
    ])
    return { state, waitsFor: 'the upstream to accept the connection', next }
  }
  if (deadline === null || !Number.isFinite(deadline.at))
    return { state, waitsFor: 'nothing that has a bound', next: null }
  const { at, close } = deadline
  if (state === 'closing')
    return {
      state,
      waitsFor: 'the client to take leave',
      next: { key: 'deadlines.close', reason: close.reason, side: close.side, at },
    }
  return {
    state,
    waitsFor: waits[close.reason] ?? `the ${close.side}`,
    next: { key: reasonRow(close.reason).key ?? '', reason: close.reason, side: close.side, at },
  }
}
