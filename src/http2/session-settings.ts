// The settings of node:http2 for a client's connection: those that the client gets, and no limits of Node's
// own where we judge.
//
// Node counts an ended stream until the next turn, and refuses another that comes in one read with its end;
// nghttp2 ends a connection for one stream too many. So both get no limit of streams, and the client gets the
// right one on the way out.

import { MAX_HEADERS } from '../http1/head.ts'
import type { Http2Options } from './options.ts'

const NEVER = 1_000_000
/** As many as an HTTP/1 head may have lines, and pseudo-header fields. */
const MAX_FIELDS = MAX_HEADERS + 5

const MANY_STREAMS = 0x7fff_ffff
const MAX_CONCURRENT_STREAMS = 3
const ENTRY = 6

export function sessionSettings({ maxHeaderBytes }: Pick<Http2Options, 'maxHeaderBytes'>): object {
  // Node reads a head that is too large all the same, so that its request gets an answer that says so.
  const maxHeaderListSize = Math.max(65_535, 4 * maxHeaderBytes)
  return {
    settings: { maxConcurrentStreams: MANY_STREAMS, maxHeaderListSize, enableConnectProtocol: true },
    maxHeaderListPairs: MAX_FIELDS,
    strictSingleValueFields: false,
    // The budgets judge resets and broken rules, because they know the client's other work.
    streamResetBurst: NEVER,
    streamResetRate: NEVER,
    maxSessionInvalidFrames: NEVER,
    maxSessionRejectedStreams: NEVER,
  }
}

/** Bytes from `from` up to `to`. */
export interface Span {
  from: number
  to: number
}

/** Writes the limit into SETTINGS on their way to the client, whose payload is that part of `bytes`. */
export function tellMaxStreams(bytes: Buffer, { from, to }: Span, maxStreams: number): void {
  for (let at = from; at < to; at += ENTRY)
    if (bytes.readUInt16BE(at) === MAX_CONCURRENT_STREAMS) bytes.writeUInt32BE(maxStreams, at + 2)
}
