// Pieces joined in memory that is used again and again: their taker copies them before it returns.

import { freeBuffer } from '../core/free-buffer.ts'

const USUAL = 65_536

export class Joiner {
  #scratch: Buffer = Buffer.allocUnsafeSlow(USUAL)

  /** `bytes` are in memory of this joiner, which the next call of `join` uses. */
  owns(bytes: Buffer): boolean {
    return bytes.buffer === this.#scratch.buffer
  }

  /** Frees the pieces. */
  join(pieces: readonly Buffer[]): Buffer {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
    if (length > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(2 * length)
    let at = 0
    for (const piece of pieces) {
      at += piece.copy(this.#scratch, at)
      freeBuffer(piece)
    }
    return this.#scratch.subarray(0, length)
  }
}
