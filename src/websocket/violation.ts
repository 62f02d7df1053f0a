// A fault in a peer's frames: the reason, the Close code for the peer, and the broken rule in words.

import { isUtf8 } from 'node:buffer'
import { makeClose, type Close, type PeerSide } from '../core/close.ts'

export interface Violation {
  reason: 'protocol_error' | 'message_too_big'
  /** The Close code for the peer that sent it. */
  code: 1002 | 1007 | 1009
  detail: string
}

/** A Close frame may be without a code (RFC 6455 section 7.1.5); this one may not stand in a frame. */
export const NO_CODE = 1005

/** The fault in the payload of a Close frame, whose codes `mayStand` knows; null if it may pass. */
export function closeProblem(payload: Buffer, mayStand: (code: number) => boolean): Violation | null {
  if (payload.length === 0) return null
  if (payload.length === 1) return protocolError('close frame with one byte')
  const code = payload.readUInt16BE(0)
  if (!mayStand(code)) return protocolError(`close code ${code}`)
  return isUtf8(payload.subarray(2))
    ? null
    : { reason: 'protocol_error', code: 1007, detail: 'close reason is not UTF-8' }
}

/** Codes that may stand in a Close frame (RFC 6455 section 7.4 and the IANA registry). */
export function isCloseCode(code: number): boolean {
  return (
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) ||
    (code >= 3000 && code <= 4999)
  )
}

/**
 * Codes that a service may use: all that browsers take, so that a client sees the code that it would see
 * without us. 1005 goes on as no code, which it means: some services (NATS, gunicorn) answer a Close
 * without a code so.
 */
export function isServiceCode(code: number): boolean {
  return code !== 1004 && code !== 1006 && code !== 1015
}

/** The code of a Close frame. */
export function codeOf(payload: Buffer): number {
  return payload.length === 0 ? NO_CODE : payload.readUInt16BE(0)
}

export function protocolError(detail: string): Violation {
  return { reason: 'protocol_error', code: 1002, detail }
}

export function tooBig(detail: string): Violation {
  return { reason: 'message_too_big', code: 1009, detail }
}

/** A message of more than `bytes`; clients' messages, which are masked, have a bound of their own. */
export function messageTooBig(bytes: number, isMasked: boolean): Violation {
  return tooBig(
    `message of more than ${bytes} bytes (websocket.${isMasked ? 'maxMessage' : 'maxMessageToClient'})`,
  )
}

export function violationClose(violation: Violation, side: PeerSide): Close {
  return { ...makeClose(violation.reason, side, 'relay', violation.detail), websocketCode: violation.code }
}
