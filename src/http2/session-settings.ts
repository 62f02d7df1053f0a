// What node:http2 is told of a client's connection: its settings, and that it counts nothing by itself which is judged here.

import { MAX_HEADERS } from '../http1/head.ts'
import type { Http2Options } from './options.ts'

const NEVER = 1_000_000
/** As many as a head of HTTP/1 may have lines, and pseudo-header fields. */
const MAX_FIELDS = MAX_HEADERS + 5

export function sessionSettings({
  maxStreams,
  maxHeaderBytes,
}: Pick<Http2Options, 'maxStreams' | 'maxHeaderBytes'>): object {
  // A head that is too large is read all the same, so that its request gets an answer that says so.
  const maxHeaderListSize = Math.max(65_535, 4 * maxHeaderBytes)
  return {
    settings: { maxConcurrentStreams: maxStreams, maxHeaderListSize, enableConnectProtocol: true },
    maxHeaderListPairs: MAX_FIELDS,
    strictSingleValueFields: false,
    // What a client may reset and break is judged by the budgets, which know what it has done besides.
    streamResetBurst: NEVER,
    streamResetRate: NEVER,
    maxSessionInvalidFrames: NEVER,
    maxSessionRejectedStreams: NEVER,
  }
}
