// The end of a stream by RST_STREAM.

import type { Http2Stream } from 'node:http2'

/**
 * Node ends the writable side of a stream that it closes, and sends END_STREAM before RST_STREAM wherever the
 * window is open: a cut message would look complete to its reader. So that side is left alone; the stream is
 * closed, and takes nothing more.
 */
export function resetStream(stream: Http2Stream, code: number): void {
  if (stream.closed || stream.destroyed) return
  stream.end = () => stream
  stream.close(code)
}
