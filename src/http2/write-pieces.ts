// The bytes for a stream to send: how they wait, and when their memory is freed.

import type { Http2Stream } from 'node:http2'
import { freeBuffer } from '../core/free-buffer.ts'
import type { KeptBytes } from '../endpoint/kept-bytes.ts'

/** The most that a stream gets at a time: the frame size that every peer takes (RFC 9113 section 4.2). */
export const PIECE = 16_384

/** `bytes[start..end)` wait in `waiting` until their stream takes them. */
export function keepInPieces(waiting: KeptBytes, bytes: Buffer, start: number, end: number): void {
  for (let at = start; at < end; at += PIECE) waiting.append(bytes, at, Math.min(end, at + PIECE))
}

/**
 * Writes `pieces`, at least one, in one turn. The stream owns them from here on; `onWritten` follows once all
 * are in frames, or cannot be. A destroyed stream calls back at once, and without an error where it ended
 * well: nghttp2 has its last frames then, and reads them from these pieces a moment later.
 */
export function writePieces(stream: Http2Stream, pieces: readonly Buffer[], onWritten: () => void): void {
  const last = pieces.length - 1
  if (last > 0) stream.cork()
  for (const piece of pieces.slice(0, last)) stream.write(piece)
  stream.write(pieces[last]!, (error) => {
    if (!error && !stream.destroyed) for (const piece of pieces) freeBuffer(piece)
    onWritten()
  })
  if (last > 0) stream.uncork()
}
