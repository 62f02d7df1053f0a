// Where a frame of ours may stand, and which faults of a client leave it the answers to its earlier messages.

import type { Close, Reason } from '../core/close.ts'
import type { Half } from '../pair/half.ts'
import type { FrameScanner } from './frame-scanner.ts'

/** A frame may be sent there, or none will be sent any more. */
export function isBetweenFrames(scanner: FrameScanner): boolean {
  return scanner.isAtBoundary || scanner.isClosed || scanner.hasFailed
}

/** Whether a frame of ours may stand here. */
export function mayInject(half: Half, scanner: FrameScanner): boolean {
  return scanner.isAtBoundary || half.sink.inject !== undefined
}

/** Messages before such a fault were accepted: the upstream's answers to them still go on. */
const heardOut: ReadonlySet<Reason> = new Set<Reason>(['protocol_error', 'message_too_big', 'rate_limited'])

export function isHeardOut({ side, reason }: Close): boolean {
  return side === 'client' && heardOut.has(reason)
}
