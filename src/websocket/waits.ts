// The waits of a WebSocket, in words for an operator.

import { earliest, type NextDeadline, type Wait } from '../core/wait.ts'
import type { ClosingHandshake, ClosingPatience } from './closing-handshake.ts'
import type { Pinger } from './pinger.ts'

export function describeClosing(closing: ClosingHandshake, patience: ClosingPatience): Omit<Wait, 'state'> {
  return { waitsFor: `the Close frame of the ${closing.other}`, next: earliest([closing.next(patience)]) }
}

/** The pong or the rest of a message that is due first; null where neither is due. */
export function describeOwed(
  pingers: readonly Pinger[],
  unfinished: NextDeadline | null,
): Omit<Wait, 'state'> | null {
  const pongs = pingers.map(
    ({ side, dueAt: at }) => ({ key: 'websocket.ping.timeout', reason: 'ping_timeout', side, at }) as const,
  )
  const next = earliest([...pongs, unfinished])
  if (next === null) return null
  const what = next.reason === 'too_slow' ? 'the rest of a message' : 'a pong'
  return { waitsFor: `${what} of the ${next.side}`, next }
}
