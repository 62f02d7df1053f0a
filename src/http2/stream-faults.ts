// Faults of one stream that are not to end the others of its connection.
//
// A stream whose DATA breaks its head (more than its content-length, a body behind a 204) is malformed, which
// is a fault of that stream alone (RFC 9113 section 8.1.1): nghttp2 resets it and goes on. Node reports the
// same code for that as for a fault of the connection, and ends the whole session (Node 26.10): with one
// malformed body all other streams were cut. After a fault of the connection nghttp2 handles no frame any
// more; so the session goes on if the peer's answer to a PING comes, and ends if none does.

import type { Http2Session } from 'node:http2'
import { systemClock } from '../core/clock.ts'

/** NGHTTP2_ERR_PROTO. */
const PROTOCOL_FAULT = -505
/** The wait for the answer to the PING. */
export const WEIGHED_MS = 1000

/** Spares the other streams of `session` where one is malformed. */
export function spareOthers(session: Http2Session): void {
  const destroy = session.destroy.bind(session)
  let cancel: (() => void) | null = null
  const settle = (): void => {
    cancel?.()
    cancel = null
  }
  session.destroy = (error, code) => {
    // Node may report the fault once more of a session that is gone, which can send no PING.
    if (session.destroyed || !isProtocolFault(error)) return destroy(error, code)
    if (cancel !== null) return
    // In two halves: where the process stood still for one, its turns read the answer in the other.
    cancel = systemClock.after(WEIGHED_MS / 2, () => {
      cancel = systemClock.after(WEIGHED_MS / 2, () => destroy(error, code))
    })
    session.ping((failure) => failure === null && settle())
  }
  session.on('close', settle)
}

function isProtocolFault(error: Error | number | undefined): boolean {
  if (!(error instanceof Error)) return false
  const { code, errno }: NodeJS.ErrnoException = error
  // Too many faults of streams have a code of their own, and end the session.
  return code === 'ERR_HTTP2_ERROR' && errno === PROTOCOL_FAULT
}
