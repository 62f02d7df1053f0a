// A queue of bytes: for a sink that has not taken the last write, or for the rest of a head. First in, first
// out.
//
// Kept bytes are copied, into buffers of exactly their size, and small pieces are joined: a million one-byte
// chunks would otherwise cost a million Buffer objects, and a slice of a read buffer would keep 64 KiB alive
// for its 64 bytes.

import { NOTHING } from '../core/nothing.ts'

/** Pieces are joined up to this size, which bounds the copying that a one-byte chunk can cause. */
const JOINED = 4096

export class KeptBytes {
  readonly #pieces: Buffer[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  /** The memory that the pieces hold, in bytes; equals `length` unless a reader took a part. */
  get retained(): number {
    return this.#pieces.reduce((sum, piece) => sum + piece.buffer.byteLength, 0)
  }

  append(bytes: Buffer, start: number, end: number): void {
    const length = end - start
    if (length === 0) return
    this.#length += length
    const tail = this.#pieces.at(-1)
    if (tail !== undefined && tail.length + length <= JOINED) {
      const joined = Buffer.allocUnsafeSlow(tail.length + length)
      tail.copy(joined)
      bytes.copy(joined, tail.length, start, end)
      this.#pieces[this.#pieces.length - 1] = joined
      return
    }
    const piece = Buffer.allocUnsafeSlow(length)
    bytes.copy(piece, 0, start, end)
    this.#pieces.push(piece)
  }

  /** Takes whole pieces from the front: at least one, at most `limit` bytes unless the first is larger. */
  takeUpTo(limit: number): Buffer[] {
    const taken: Buffer[] = []
    let size = 0
    while (this.#pieces.length > 0 && (taken.length === 0 || size + this.#pieces[0]!.length <= limit)) {
      const piece = this.#pieces.shift()!
      size += piece.length
      taken.push(piece)
    }
    this.#length -= size
    return taken
  }

  /** Everything as one buffer, which stays here; valid until the next change. */
  peekAll(): Buffer {
    if (this.#pieces.length === 0) return NOTHING
    if (this.#pieces.length > 1) this.#pieces.splice(0, this.#pieces.length, join(this.#pieces, this.#length))
    return this.#pieces[0]!
  }

  /** Takes everything, as one buffer. */
  takeAll(): Buffer {
    const all = this.peekAll()
    this.clear()
    return all
  }

  clear(): void {
    this.#pieces.length = 0
    this.#length = 0
  }
}

/**
 * As Buffer.concat, but in memory of its own: that one cuts up to 32 KiB out of Node's shared pool, and so
 * keeps 64 KiB alive.
 */
function join(pieces: readonly Buffer[], length: number): Buffer {
  const joined = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const piece of pieces) at += piece.copy(joined, at)
  return joined
}
