// What node:http2 is told of a client's connection: its settings, and that it counts nothing by itself which is judged here.
//
// Node counts a stream that has ended until the next turn, and refuses another that comes in one read with its end; nghttp2 ends a connection by one
// stream too many. So both are told of no limit of streams, and the client of the right one on the way out.

import { MAX_HEADERS } from '../http1/head.ts'
import type { Http2Options } from './options.ts'

const NEVER = 1_000_000
/** As many as a head of HTTP/1 may have lines, and pseudo-header fields. */
const MAX_FIELDS = MAX_HEADERS + 5

const MANY_STREAMS = 0x7fff_ffff
const MAX_CONCURRENT_STREAMS = 3
const ENTRY = 6

export function sessionSettings({ maxHeaderBytes }: Pick<Http2Options, 'maxHeaderBytes'>): object {
  // A head that is too large is read all the same, so that its request gets an answer that says so.
  const maxHeaderListSize = Math.max(65_535, 4 * maxHeaderBytes)
  return {
    settings: { maxConcurrentStreams: MANY_STREAMS, maxHeaderListSize, enableConnectProtocol: true },
    maxHeaderListPairs: MAX_FIELDS,
    strictSingleValueFields: false,
    // What a client may reset and break is judged by the budgets, which know what it has done besides.
    streamResetBurst: NEVER,
    streamResetRate: NEVER,
    maxSessionInvalidFrames: NEVER,
    maxSessionRejectedStreams: NEVER,
  }
}

/** Bytes from..to. */
export interface Span {
  from: number
  to: number
}

/** SETTINGS on their way to the client, with their payload there in `bytes`. */
export function tellMaxStreams(bytes: Buffer, { from, to }: Span, maxStreams: number): void {
  for (let at = from; at < to; at += ENTRY)
    if (bytes.readUInt16BE(at) === MAX_CONCURRENT_STREAMS) bytes.writeUInt32BE(maxStreams, at + 2)
}
