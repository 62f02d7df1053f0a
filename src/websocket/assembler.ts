// An assembler of whole messages for message mode, from frames that the scanner has accepted. The scanner has
// judged everything that can be wrong with a frame, its size and the number of its fragments included:
// nothing is judged here.
//
// (The Receiver of `ws` would do the same from the bytes, but it keeps slices of its input, one Buffer for
// each chunk, and does not show how much it holds: single bytes of a message would cost a hundred times their
// number.)
//
// The payload of an unfinished message is held in memory of its own size; a message that comes whole is not
// copied.

import { KeptBytes } from '../endpoint/kept-bytes.ts'
import { applyMask } from './mask.ts'
import { NOTHING } from '../core/nothing.ts'

export interface MessageTaker {
  /** A whole message, unmasked. If `isLent`, it is valid only until this returns. */
  onMessage(isBinary: boolean, isCompressed: boolean, payload: Buffer, isLent: boolean): void
  /** A whole control frame, unmasked; `payload` is valid only until this returns. */
  onControl(opcode: number, payload: Buffer): void
}

const BINARY = 2

export class Assembler {
  readonly #isMasked: boolean
  /** Allocated by the first fragment. */
  #kept: KeptBytes | null = null
  /** Payload bytes of the current data frame still to come. */
  #remaining = 0
  #isFinal = false
  #isInMessage = false
  #isBinary = false
  #isCompressed = false
  /** The four bytes of the mask, least significant first, turned to the next byte of payload. */
  #mask = 0

  constructor(isMasked: boolean) {
    this.#isMasked = isMasked
  }

  /** Payload bytes of an unfinished message. */
  get length(): number {
    return this.#kept === null ? 0 : this.#kept.length
  }

  /** Takes accepted bytes: whole headers, whole control frames, pieces of payload. Unmasks them in place. */
  take(bytes: Buffer, start: number, end: number, to: MessageTaker): void {
    let at = start
    while (at < end) {
      if (this.#remaining > 0) at = this.#takePayload(bytes, at, end, to)
      else at = this.#takeHeader(bytes, at, to)
    }
  }

  /** Returns the index after a header, or after a whole control frame. */
  #takeHeader(bytes: Buffer, at: number, to: MessageTaker): number {
    const first = bytes[at]!
    const short = bytes[at + 1]! & 0x7f
    let length = short
    let next = at + 2
    if (short === 126) {
      length = bytes.readUInt16BE(next)
      next += 2
    } else if (short === 127) {
      length = bytes.readUInt32BE(next) * 2 ** 32 + bytes.readUInt32BE(next + 4)
      next += 8
    }
    if (this.#isMasked) {
      this.#mask = bytes.readInt32LE(next)
      next += 4
    }
    const opcode = first & 0x0f
    if (opcode >= 8) {
      this.#unmask(bytes, next, next + length)
      to.onControl(opcode, bytes.subarray(next, next + length))
      return next + length
    }
    if (!this.#isInMessage) {
      this.#isInMessage = true
      this.#isBinary = opcode === BINARY
      this.#isCompressed = (first & 0x40) !== 0
    }
    this.#isFinal = (first & 0x80) !== 0
    this.#remaining = length
    if (length === 0 && this.#isFinal) this.#finish(NOTHING, true, to)
    return next
  }

  #takePayload(bytes: Buffer, at: number, end: number, to: MessageTaker): number {
    const next = Math.min(end, at + this.#remaining)
    this.#unmask(bytes, at, next)
    this.#remaining -= next - at
    if (this.#remaining > 0 || !this.#isFinal) (this.#kept ??= new KeptBytes()).append(bytes, at, next)
    else this.#finish(bytes.subarray(at, next), false, to)
    return next
  }

  #finish(last: Buffer, isEmpty: boolean, to: MessageTaker): void {
    this.#isInMessage = false
    const kept = this.#kept
    if (kept === null || kept.length === 0)
      return to.onMessage(this.#isBinary, this.#isCompressed, last, !isEmpty)
    kept.append(last, 0, last.length)
    const payload = kept.takeAll()
    this.#kept = null
    to.onMessage(this.#isBinary, this.#isCompressed, payload, false)
  }

  #unmask(bytes: Buffer, start: number, end: number): void {
    if (!this.#isMasked || this.#mask === 0) return
    this.#mask = applyMask(bytes, start, end, this.#mask)
  }
}
