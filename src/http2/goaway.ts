// GOAWAY frames (RFC 9113 section 6.8) of our own: node:http2 sends none that still allows coming streams,
// and none in the turn in which a connection ends.

import type { Http2Session } from 'node:http2'

/** Allows all streams still. */
export const ALL_STREAMS = 0x7fff_ffff
const HEADER_LENGTH = 9
const GOAWAY = 7

/** `lastStream` is the last stream that is served; `why` is for readers of a packet capture. */
export function goawayFrame(lastStream: number, code: number, why: string): Buffer {
  const length = 8 + why.length
  const frame = Buffer.alloc(HEADER_LENGTH + length)
  frame.writeUIntBE(length, 0, 3)
  frame[3] = GOAWAY
  frame.writeUInt32BE(lastStream, HEADER_LENGTH)
  frame.writeUInt32BE(code, HEADER_LENGTH + 4)
  frame.write(why, HEADER_LENGTH + 8, 'latin1')
  return frame
}

/** The longest wait for the answers to the PINGs between the two GOAWAYs. */
export const ROUND_TRIPS_MS = 1000

/**
 * Runs once all has come that the client sent before it saw what it has been sent so far. nghttp2 answers a
 * PING ahead of requests that its client has made before; they precede the answer to a second one.
 */
export function afterRoundTrips(session: Http2Session, run: () => void): void {
  session.ping(() => void (session.destroyed ? run() : session.ping(run)))
}
