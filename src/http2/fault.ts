// A peer's fault that ends a whole HTTP/2 connection, with the code of its GOAWAY (RFC 9113 section 7).

import { makeClose, type Close, type PeerSide, type Reason } from '../core/close.ts'

export const PROTOCOL_ERROR = 1
export const FRAME_SIZE_ERROR = 6
export const ENHANCE_YOUR_CALM = 11

export function h2Fault(reason: Reason, code: number, detail: string, side: PeerSide = 'client'): Close {
  return { ...makeClose(reason, side, 'relay', detail), http2Code: code }
}
