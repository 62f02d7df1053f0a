// The frame scanner: reads the headers of HTTP/2 frames (RFC 9113 section 4.1) as they pass, in one direction
// and in any pieces, without touching or keeping their payloads: the scanned bytes go on to nghttp2
// unchanged.
//
//     bytes --scan--> [24 bytes of preface] [header | payload] [header | payload] ...
//                                            `-> judge.onFrame(scanner): null, or the Close of the connection
//
// It precedes nghttp2, which answers frames itself, in C++ and at once: a frame that is judged here has cost
// nothing yet. Of two kinds it also reads the first bytes of the payload (`word`), and of a padded DATA frame
// the length of its padding. Each frame has a price (turns.ts), and a scan stops before a frame that its peer
// cannot afford in this turn: a read of 64 KiB may hold 1,680 requests that are cancelled at once, a tenth of
// a second of work for everybody.
//
// It also refuses sizes that a kind of frame cannot have, before the payloads come; streams, their states and
// compression are left to nghttp2.

import type { Close } from '../core/close.ts'
import { FRAME_SIZE_ERROR, h2Fault } from './fault.ts'

export const DATA = 0
export const HEADERS = 1
export const PRIORITY = 2
export const RST_STREAM = 3
export const SETTINGS = 4
export const PUSH_PROMISE = 5
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9
/** RFC 9218. */
export const PRIORITY_UPDATE = 16

export const ACK = 0x1
export const END_STREAM = 0x1
export const END_HEADERS = 0x4
export const PADDED = 0x8

/** The preface, before the first frame of a client. */
export const PREFACE_LENGTH = 24
export const HEADER_LENGTH = 9
/** A header, and the most of a payload that is read. */
const HELD = HEADER_LENGTH + 4
/** The largest frame that we accept (SETTINGS_MAX_FRAME_SIZE, its default and least). */
const MAX_FRAME = 16_384

/**
 * In bytes, the unit of turns.ts: what could be relayed in the time that nghttp2, Node and we need for the
 * frame. Node 26.10 alone needs: PING 1.8 us, SETTINGS 3, GOAWAY 1.2, HEADERS 10, RST_STREAM 4, DATA 0.5,
 * others 0.1 to 0.3 (2 cores, 2026-11).
 */
const prices: readonly number[] = [1024, 32_768, 512, 8192, 8192, 8192, 4096, 4096, 512, 512]
const OTHER_PRICE = 512

/** Judges each frame before it goes on. */
export interface FrameJudge {
  onFrame(frame: Frame): Close | null
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  /** Bytes of the payload. */
  readonly length: number
  /** The code of an RST_STREAM, the increment of a WINDOW_UPDATE, the length of a padding; 0 for others. */
  readonly word: number
  /** Where the frame begins in the scanned bytes, if its header is complete there. */
  readonly at: number
}

export interface ScannerOptions {
  /** A client's bytes begin with the preface. */
  hasPreface: boolean
}

export class FrameScanner implements Frame {
  readonly #judge: FrameJudge
  /** Remaining bytes of the payload, or of the preface, which are skipped. */
  #skipped: number
  #held: Buffer | null = null
  #heldLength = 0
  type = 0
  flags = 0
  stream = 0
  length = 0
  word = 0
  at = 0
  /**
   * The work that the peer may still cause in this turn, in bytes; each frame subtracts its price. At 0 or
   * less the scan stops before the next frame.
   */
  allowance = Number.POSITIVE_INFINITY
  /** Why the scan ended: the bytes after it are not scanned, and may not go on. */
  fault: Close | null = null

  constructor(judge: FrameJudge, options: ScannerOptions) {
    this.#judge = judge
    this.#skipped = options.hasPreface ? PREFACE_LENGTH : 0
  }

  /** The bytes passed on so far end with a frame. */
  get isAtBoundary(): boolean {
    return this.#skipped === 0 && this.#heldLength === 0
  }

  /** The payload of a frame of a header block is not whole. */
  get isInHeaders(): boolean {
    return this.#skipped > 0 && (this.type === HEADERS || this.type === CONTINUATION)
  }

  /**
   * Scans `bytes[from..to)` and returns up to where it may go on. That is less than `to` where the allowance
   * is used up: the rest must be scanned again, before anything else; or where `fault` is the reason why the
   * connection ends.
   */
  scan(bytes: Buffer, from: number, to: number): number {
    let at = from
    while (at < to && this.fault === null) {
      if (this.#skipped > 0) {
        const passed = Math.min(this.#skipped, to - at)
        this.#skipped -= passed
        at += passed
      } else if (this.#heldLength > 0) {
        at = this.#complete(bytes, at, to)
      } else {
        if (this.allowance <= 0) return at
        const need = to - at < HEADER_LENGTH ? HEADER_LENGTH : needed(bytes, at)
        if (need > to - at) {
          this.#hold(bytes, at, to)
          return to
        }
        if (!this.#accept(bytes, at)) return at
        at += need
        this.#skipped = this.length + HEADER_LENGTH - need
      }
    }
    return at
  }

  /** The held bytes have gone on already: nghttp2 waits for the rest of a header by itself. */
  #hold(bytes: Buffer, at: number, to: number): void {
    this.#held ??= Buffer.allocUnsafeSlow(HELD)
    this.#heldLength = bytes.copy(this.#held, 0, at, to)
  }

  #complete(bytes: Buffer, at: number, to: number): number {
    const held = this.#held!
    for (;;) {
      const need = this.#heldLength < HEADER_LENGTH ? HEADER_LENGTH : needed(held, 0)
      if (this.#heldLength >= need) break
      if (at === to) return at
      const copied = bytes.copy(held, this.#heldLength, at, Math.min(to, at + need - this.#heldLength))
      this.#heldLength += copied
      at += copied
    }
    const seen = this.#heldLength - HEADER_LENGTH
    this.#heldLength = 0
    if (this.#accept(held, 0)) this.#skipped = this.length - seen
    return at
  }

  #accept(bytes: Buffer, at: number): boolean {
    this.at = at
    this.length = lengthOf(bytes, at)
    this.type = bytes[at + 3]!
    this.flags = bytes[at + 4]!
    this.stream = bytes.readUInt32BE(at + 5) & 0x7fff_ffff
    const seen = needed(bytes, at) - HEADER_LENGTH
    const first = at + HEADER_LENGTH
    this.word = seen === 4 ? bytes.readUInt32BE(first) : seen === 1 ? bytes[first]! : 0
    this.allowance -= prices[this.type] ?? OTHER_PRICE
    const problem = sizeProblem(this)
    this.fault =
      problem === null ? this.#judge.onFrame(this) : h2Fault('protocol_error', FRAME_SIZE_ERROR, problem)
    return this.fault === null
  }
}

function lengthOf(bytes: Buffer, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
}

/** How many bytes from the start of a frame are read. */
function needed(bytes: Buffer, at: number): number {
  const type = bytes[at + 3]!
  const length = lengthOf(bytes, at)
  if ((type === RST_STREAM || type === WINDOW_UPDATE) && length === 4) return HELD
  if (type === DATA && (bytes[at + 4]! & PADDED) !== 0 && length > 0) return HEADER_LENGTH + 1
  return HEADER_LENGTH
}

function sizeProblem({ type, flags, length }: Frame): string | null {
  if (length > MAX_FRAME) return `frame of ${length} bytes, of ${MAX_FRAME} at the most`
  const isRight = sizes[type]?.(length, flags) ?? true
  return isRight ? null : `${frameName(type)} frame of ${length} bytes`
}

const sizes: Readonly<Record<number, (length: number, flags: number) => boolean>> = {
  [PRIORITY]: (length) => length === 5,
  [RST_STREAM]: (length) => length === 4,
  [SETTINGS]: (length, flags) => ((flags & ACK) === 0 ? length % 6 === 0 : length === 0),
  [PING]: (length) => length === 8,
  [GOAWAY]: (length) => length >= 8,
  [WINDOW_UPDATE]: (length) => length === 4,
}

const names = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
]

export function frameName(type: number): string {
  return names[type] ?? (type === PRIORITY_UPDATE ? 'PRIORITY_UPDATE' : `unknown (${type})`)
}
