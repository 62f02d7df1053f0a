// Reads the headers of HTTP/2 frames (RFC 9113 section 4.1) as they pass, in one direction and in any pieces, without touching
// or keeping their payloads: what it has scanned goes on to nghttp2 as it is.
//
//     bytes --scan--> [24 bytes of preface] [header | payload] [header | payload] ...
//                                            `-> judge.onFrame(scanner): null, or the Close of the connection
//
// It stands before nghttp2, which answers frames by itself, in C++ and at once: what is judged here costs nothing yet. Of
// two kinds it also looks at the first bytes of the payload (`word`), and of a padded DATA frame at the length of its padding.
// Each frame has a price (turns.ts), and a scan stops before the frame that its peer cannot afford in this turn: a read
// of 64 KiB may hold 1,680 requests that are cancelled at once, a tenth of a second of work for everybody.
//
// Sizes that a kind of frame cannot have are judged here too, before their payloads come; streams, their states and what is
// compressed is nghttp2's.

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

/** Before the first frame of a client. */
export const PREFACE_LENGTH = 24
export const HEADER_LENGTH = 9
/** A header, and the most of a payload that is looked at. */
const HELD = HEADER_LENGTH + 4
/** What we take (SETTINGS_MAX_FRAME_SIZE, its default and least). */
const MAX_FRAME = 16_384

/**
 * In bytes, as turns.ts counts: what could be relayed in the time that nghttp2, Node and we need for it. Of Node 26.10 alone: PING 1.8 us,
 * SETTINGS 3, GOAWAY 1.2, HEADERS 10, RST_STREAM 4, DATA 0.5, others 0.1 to 0.3 (2 cores, 2026-11).
 */
const prices: readonly number[] = [1024, 32_768, 512, 8192, 8192, 8192, 4096, 4096, 512, 512]
const OTHER_PRICE = 512

/** Is asked about each frame before anybody sees it. */
export interface FrameJudge {
  onFrame(frame: Frame): Close | null
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  /** Of its payload. */
  readonly length: number
  /** The code of an RST_STREAM, the increment of a WINDOW_UPDATE, the length of a padding; 0 of others. */
  readonly word: number
  /** Where it begins in what is scanned, if it is whole there. */
  readonly at: number
}

export interface ScannerOptions {
  /** A client's stream begins with the preface. */
  hasPreface: boolean
}

export class FrameScanner implements Frame {
  readonly #judge: FrameJudge
  /** Bytes that are passed over: of the payload, or of the preface. */
  #skipped: number
  #held: Buffer | null = null
  #heldLength = 0
  type = 0
  flags = 0
  stream = 0
  length = 0
  word = 0
  at = 0
  /** What the peer may make us work for, in bytes; what each frame costs is taken off it. At 0 or less the scan stops before the next. */
  allowance = Number.POSITIVE_INFINITY
  /** What ended it: nothing that follows is looked at, or may go on. */
  fault: Close | null = null

  constructor(judge: FrameJudge, options: ScannerOptions) {
    this.#judge = judge
    this.#skipped = options.hasPreface ? PREFACE_LENGTH : 0
  }

  /** All that went on so far ends with a frame. */
  get isAtBoundary(): boolean {
    return this.#skipped === 0 && this.#heldLength === 0
  }

  /**
   * Looks at `bytes[from..to)` and returns up to where it may go on. That is less than `to` where the allowance was used up: what begins there is
   * to be scanned again, before anything else; or where `fault` tells why the connection ends.
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

  /** What is held back has gone on already, as far as nghttp2 is concerned: it waits for the rest of a header by itself. */
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

/** So many bytes from the start of a frame are looked at. */
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
