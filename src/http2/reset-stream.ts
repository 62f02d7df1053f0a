// The end of a stream by RST_STREAM.

import type { ClientHttp2Stream, Http2Stream } from 'node:http2'
import { systemClock } from '../core/clock.ts'
import { http2Codes } from '../core/close.ts'

/**
 * Node ends the writable side of a stream that it closes, and sends END_STREAM before RST_STREAM wherever the
 * window is open: a cut message would look complete to its reader. So that side is left alone; the stream is
 * closed, and takes nothing more.
 */
export function resetStream(stream: Http2Stream, code: number): void {
  reset(stream, code, code === http2Codes.CANCEL && hasEndUnderWay(stream))
}

/**
 * Resets a stream of a connection to a service, whose socket Node reads itself: it calls back amid the work
 * of nghttp2 there, and sends all that is due before a reset by another code than CANCEL. The reset of the
 * stream whose frame is at hand may be among it, and nghttp2 goes on with memory that it has freed
 * (nodejs/node#64113, seen in Node 26.10). So such a reset waits until the read is handled.
 */
export function resetAtService(stream: ClientHttp2Stream, code: number): void {
  reset(stream, code, code !== http2Codes.CANCEL || hasEndUnderWay(stream))
}

function reset(stream: Http2Stream, code: number, waitsForRead: boolean): void {
  if (stream.closed || stream.destroyed) return
  stream.end = () => stream
  if (waitsForRead) afterRead(() => stream.close(code))
  else stream.close(code)
}

/** Resets a stream and gives up all that Node keeps of it, received bytes too. */
export function dropStream(stream: Http2Stream, code: number): void {
  resetStream(stream, code)
  if (stream.closed || stream.destroyed) stream.destroy()
  else afterRead(() => stream.destroy())
}

/**
 * The body is written, and nghttp2 has not asked for its trailers yet. While Node handles what a connection
 * received, it keeps a CANCEL back until it has sent what is due, and asks for the trailers then: of a stream
 * that is destroyed by that time it aborts the process (`OnTrailers`, seen in Node 26.10). Such a stream is
 * reset once the read is handled.
 */
function hasEndUnderWay(stream: Http2Stream): boolean {
  return stream.writableEnded && stream.sentTrailers === undefined && stream.listenerCount('wantTrailers') > 0
}

const afterRead = (run: () => void): void => systemClock.nextTurn(run)
