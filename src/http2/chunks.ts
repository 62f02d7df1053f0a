// Data of a stream as chunks of HTTP/1.1, in which the engine reads a body without a length.

import { CRLF } from '../http1/fields.ts'

/** The largest chunk; a DATA frame is smaller unless our SETTINGS allow the peer more. */
const LARGEST = 65_536
const FRONT = 7

/**
 * Chunks are put together here and passed on at once; the process has one. It is not that of body-writer.ts,
 * which copies from it.
 */
let scratch: Buffer | null = null

/** Each piece is valid until `give` returns. */
export function inChunks(bytes: Buffer, give: (chunk: Buffer) => void): void {
  for (let at = 0; at < bytes.length; at += LARGEST)
    give(chunkOf(bytes, at, Math.min(bytes.length, at + LARGEST)))
}

function chunkOf(bytes: Buffer, start: number, end: number): Buffer {
  scratch ??= Buffer.allocUnsafeSlow(FRONT + LARGEST + CRLF.length)
  const size = (end - start).toString(16) + CRLF
  const begin = FRONT - size.length
  scratch.write(size, begin, 'latin1')
  bytes.copy(scratch, FRONT, start, end)
  const stop = FRONT + end - start
  scratch.write(CRLF, stop, 'latin1')
  return scratch.subarray(begin, stop + CRLF.length)
}
