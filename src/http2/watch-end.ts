// END_STREAM, distinguished from the other ends of a stream, which Node reports alike.

import type { Http2Stream } from 'node:http2'

/**
 * Calls `onEnd` for END_STREAM. Node ends the readable side both for that and for RST_STREAM with NO_ERROR,
 * which may come in the middle of a message; only in the second case has it closed the stream before.
 */
export function watchEnd(stream: Http2Stream, onEnd: () => void): void {
  const push = stream.push.bind(stream)
  stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null && !stream.closed) onEnd()
    return push(chunk, encoding)
  }
}
