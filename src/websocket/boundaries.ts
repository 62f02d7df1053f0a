// Where a frame of ours may stand, and what a client can do wrong without losing the answers to what it did right.

import type { Close, Reason } from '../core/close.ts'
import type { Half } from '../pair/half.ts'
import type { FrameScanner } from './frame-scanner.ts'

/** Something may be said there, or nothing is to be said any more. */
export function isBetweenFrames(scanner: FrameScanner): boolean {
  return scanner.isAtBoundary || scanner.isClosed || scanner.hasFailed
}

/** Whether a frame of ours may stand here. */
export function mayInject(half: Half, scanner: FrameScanner): boolean {
  return scanner.isAtBoundary || half.sink.inject !== undefined
}

/** What came before it was accepted: that is still answered. */
const heardOut: ReadonlySet<Reason> = new Set<Reason>(['protocol_error', 'message_too_big', 'rate_limited'])

export function isHeardOut({ side, reason }: Close): boolean {
  return side === 'client' && heardOut.has(reason)
}
