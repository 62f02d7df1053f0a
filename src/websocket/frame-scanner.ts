// A scanner of WebSocket frames (RFC 6455 section 5): reads one direction as it passes, and never assembles a
// message.
//
// Received bytes go on unchanged, payload as it comes, but for the payload of a Close frame of a service with
// the code 1005. The scanner holds back only what it must judge first: an incomplete frame header (at most 14
// bytes) and an incomplete control frame (at most 131). So the forwarded bytes always end at a frame boundary
// or inside the payload of an accepted data frame.
//
// Checked, as far as an intermediary can: reserved bits against what was negotiated, opcodes, masking per
// direction, control frames, order of fragments, minimal lengths, close payloads; and the size of a message
// and its number of fragments, on the header, before the payload. Not checked: UTF-8 of text, the inflated
// form of compressed payloads.

import { isCounted, payloadLength } from './frame-header.ts'
import {
  closeProblem,
  codeOf,
  isCloseCode,
  isServiceCode,
  messageTooBig,
  NO_CODE,
  protocolError,
  tooBig,
} from './violation.ts'
import type { Violation } from './violation.ts'

export interface ScanRules {
  /** Frames from clients are masked, frames from servers are not. */
  isMasked: boolean
  /** permessage-deflate was negotiated: RSV1 may be set on the first frame of a message. */
  isCompressed: boolean
  /** The most payload bytes of a message, as on the wire; Infinity is off. */
  maxMessageBytes: number
  /** The most frames of a message; Infinity is off. */
  maxFragments: number
}

/** The receiver of accepted bytes. Called while `bytes` are valid. */
export interface Forward {
  forward(bytes: Buffer, start: number, end: number): void
}

export type Verdict = 'pass' | 'drop' | 'stop'

export interface ControlHandler {
  /** A whole valid control frame, `payload` unmasked. `drop` discards it, `stop` stops the scan before it. */
  onControl(scanner: FrameScanner, opcode: number, payload: Buffer): Verdict
  /** A data message is complete, on the wire. */
  onMessage?(scanner: FrameScanner, bytes: number, fragments: number): void
  /** The forwarded bytes end at a frame boundary, as `wantsBoundary` asked. */
  onBoundary(scanner: FrameScanner): void
}

/** Counts messages against a limit. */
export interface MessageGate {
  /**
   * A frame that begins a message, which is `isDroppable`, or that costs as much. `drop` discards that whole
   * message, `stop` stops the scan before the frame.
   */
  takeMessage(isDroppable: boolean): Verdict
  /** A ping or a pong. */
  takeControl(): Verdict
}

export const CLOSE = 8
export const PING = 9
export const PONG = 10
/** The longest frame held back: header, mask and payload of a control frame. */
const HELD = 2 + 4 + 125

const nowhere: Forward = { forward() {} }

export class FrameScanner {
  readonly rules: ScanRules
  readonly #handler: ControlHandler
  /** Payload bytes of the current data frame still to come. */
  #remaining = 0
  #isInMessage = false
  #isFinal = false
  /** The current message is discarded; the scanner still judges it like any other. */
  #isDropping = false
  #messageBytes = 0
  #fragments = 0
  #held: Buffer | null = null
  #heldLength = 0
  /** Complete data messages so far, dropped ones too. */
  messages = 0
  /** Messages that the gate dropped; the reader of this count resets it. */
  dropped = 0
  /** Bytes of control frames. */
  controlBytes = 0
  /** Changes whenever a part of a data frame passes. */
  activity = 0
  /** A Close frame passed: all bytes after it are discarded (RFC 6455 section 5.5.1). */
  isClosed = false
  /** A violation was found: the bytes after it cannot be understood. */
  hasFailed = false
  /** Asks for one call of `onBoundary`. */
  wantsBoundary = false
  /** Set in `onBoundary`: later frames are still scanned, but not forwarded. */
  isMuted = false
  /** How many more frames may be scanned; at 0 the scan stops before the next. */
  allowance = Number.POSITIVE_INFINITY
  /** Of a client: the code of its service's Close frame, which its answer may have. */
  echoed: number | null = null
  /** Null where messages are not limited. */
  gate: MessageGate | null = null

  constructor(rules: ScanRules, handler: ControlHandler) {
    this.rules = rules
    this.#handler = handler
  }

  /** The forwarded bytes end between frames: a frame of ours may be injected. */
  get isAtBoundary(): boolean {
    return this.#remaining === 0
  }

  /** Inside a message, perhaps between two of its fragments. */
  get isInMessage(): boolean {
    return this.#isInMessage || this.#remaining > 0
  }

  /** Payload bytes of the current message so far. */
  get messageBytes(): number {
    return this.#messageBytes - this.#remaining
  }

  /**
   * Reads `bytes[0..length)`, forwards what may go on, and stops at the first violation. Returns a number
   * where the gate stopped the scan or `allowance` is used up: the bytes from there must be scanned later,
   * before any others.
   */
  // oxlint-disable-next-line eslint/max-lines-per-function -- one loop, whose parts would pass five positions to each other
  scan(bytes: Buffer, length: number, to: Forward): Violation | number | null {
    let at = 0
    if (this.#heldLength > 0) {
      const next = this.#scanHeld(bytes, length, to)
      if (typeof next !== 'number') return this.#stop(next, bytes, 0, 0, to)
      if (next < 0) return -1 - next
      at = next
    }
    let from = at
    while (!this.isClosed && !this.hasFailed) {
      if (this.#remaining > 0) {
        const isDropped = this.#isDropping
        at = this.#skipPayload(at, length)
        if (isDropped) from = at
      }
      if (this.#remaining > 0) break
      if (this.wantsBoundary) {
        if (at > from) to.forward(bytes, from, at)
        from = at
        this.wantsBoundary = false
        this.#handler.onBoundary(this)
        if (this.isMuted) to = nowhere
      }
      if (at === length) break
      if (this.allowance <= 0) {
        if (at > from) to.forward(bytes, from, at)
        return at
      }
      const size = this.#frameSize(bytes, at, length)
      if (typeof size !== 'number') return this.#stop(size, bytes, from, at, to)
      if (size > length - at) {
        this.#hold(bytes, at, length)
        break
      }
      const verdict = this.#accept(bytes, at, size)
      if (verdict !== 'stop') this.allowance--
      if (verdict === 'pass') {
        at += this.isClosed ? this.#closeSize(bytes, at) : size
      } else if (verdict === 'drop') {
        if (at > from) to.forward(bytes, from, at)
        at += size
        from = at
      } else {
        if (verdict !== 'stop') return this.#stop(verdict, bytes, from, at, to)
        if (at > from) to.forward(bytes, from, at)
        return at
      }
    }
    if (at > from) to.forward(bytes, from, at)
    return null
  }

  // oxlint-disable-next-line eslint/max-params -- called in the loop of `scan`, without an object
  #stop(violation: Violation, bytes: Buffer, from: number, at: number, to: Forward): Violation {
    if (at > from) to.forward(bytes, from, at)
    this.hasFailed = true
    return violation
  }

  /** Skips payload of the current data frame; returns the index after it. */
  #skipPayload(at: number, length: number): number {
    const taken = Math.min(this.#remaining, length - at)
    this.activity++
    this.#remaining -= taken
    if (this.#remaining === 0) this.#endFrame()
    return at + taken
  }

  #endFrame(): void {
    if (!this.#isFinal) return
    this.messages++
    this.#handler.onMessage?.(this, this.#messageBytes, this.#fragments)
    this.#isInMessage = false
    this.#isDropping = false
    this.#messageBytes = 0
    this.#fragments = 0
  }

  /**
   * How many bytes from `at` are needed to judge the frame: its header, and a control frame whole. May be
   * more than have come. Judges the first two bytes at once, so that the scanner never waits for an invalid
   * frame.
   */
  #frameSize(bytes: Buffer, at: number, length: number): number | Violation {
    if (length - at < 2) return 2
    const first = bytes[at]!
    const second = bytes[at + 1]!
    const problem = this.#firstBytesProblem(first, second)
    if (problem !== null) return protocolError(problem)
    const short = second & 0x7f
    const header = (this.rules.isMasked ? 6 : 2) + (short === 126 ? 2 : short === 127 ? 8 : 0)
    return (first & 0x08) === 0 ? header : header + short
  }

  #firstBytesProblem(first: number, second: number): string | null {
    const opcode = first & 0x0f
    if ((first & 0x30) !== 0) return 'reserved bit set'
    if ((first & 0x40) !== 0 && (!this.rules.isCompressed || opcode === 0 || opcode >= 8))
      return 'RSV1 set where no compressed message begins'
    if (((second & 0x80) !== 0) !== this.rules.isMasked)
      return this.rules.isMasked ? 'unmasked frame from a client' : 'masked frame from a server'
    if (opcode >= 8) {
      if (opcode > PONG) return `reserved opcode ${opcode}`
      if ((first & 0x80) === 0) return 'fragmented control frame'
      if ((second & 0x7f) > 125) return 'control frame of more than 125 bytes'
    } else if (opcode === 0) {
      if (!this.#isInMessage) return 'continuation without a message'
    } else {
      if (opcode > 2) return `reserved opcode ${opcode}`
      if (this.#isInMessage) return 'new message inside a message'
    }
    return null
  }

  /** Judges the frame at `at`; the `size` bytes that this takes are there. */
  #accept(bytes: Buffer, at: number, size: number): Verdict | Violation {
    const opcode = bytes[at]! & 0x0f
    if (opcode >= 8) return this.#acceptControl(bytes, at, size, opcode)
    const length = payloadLength(bytes, at)
    if (length < 0) return protocolError('length not in its minimal form, or over 63 bits')
    if (this.gate !== null && isCounted(bytes[at]!, length)) {
      const turn = this.gate.takeMessage(opcode !== 0)
      if (turn === 'stop') return 'stop'
      if (turn === 'drop') this.#drop()
    }
    this.#messageBytes += length
    this.#fragments++
    if (this.#messageBytes > this.rules.maxMessageBytes)
      return messageTooBig(this.rules.maxMessageBytes, this.rules.isMasked)
    if (this.#fragments > this.rules.maxFragments)
      return tooBig(`message of more than ${this.rules.maxFragments} fragments (websocket.maxFragments)`)
    this.#isFinal = (bytes[at]! & 0x80) !== 0
    this.#isInMessage = true
    this.#remaining = length
    this.activity++
    const verdict = this.#isDropping ? 'drop' : 'pass'
    if (length === 0) this.#endFrame()
    return verdict
  }

  #drop(): void {
    this.#isDropping = true
    this.dropped++
  }

  #acceptControl(bytes: Buffer, at: number, size: number, opcode: number): Verdict | Violation {
    let payload = this.#unmasked(bytes, at, size)
    if (opcode === CLOSE) {
      const violation = closeProblem(payload, (code) => this.#mayCloseWith(code))
      if (violation !== null) return violation
      if (payload.length > 0 && codeOf(payload) === NO_CODE) payload = this.#empty(bytes, at)
    }
    const verdict = this.#handler.onControl(this, opcode, payload)
    if (verdict !== 'stop') this.controlBytes += size
    if (opcode === CLOSE) this.isClosed = true
    return verdict
  }

  #mayCloseWith(code: number): boolean {
    return this.rules.isMasked ? isCloseCode(code) || code === this.echoed : isServiceCode(code)
  }

  /** Takes the payload from a Close frame of a service; what is left of it stands after the Close. */
  #empty(bytes: Buffer, at: number): Buffer {
    bytes[at + 1] = 0
    return bytes.subarray(at + 2, at + 2)
  }

  #closeSize(bytes: Buffer, at: number): number {
    return (this.rules.isMasked ? 6 : 2) + (bytes[at + 1]! & 0x7f)
  }

  #unmasked(bytes: Buffer, at: number, size: number): Buffer {
    if (!this.rules.isMasked) return bytes.subarray(at + 2, at + size)
    const payload = Buffer.from(bytes.subarray(at + 6, at + size))
    for (let i = 0; i < payload.length; i++) payload[i]! ^= bytes[at + 2 + (i & 3)]!
    return payload
  }

  #hold(bytes: Buffer, at: number, length: number): void {
    this.#held ??= Buffer.allocUnsafeSlow(HELD)
    bytes.copy(this.#held, 0, at, length)
    this.#heldLength = length - at
  }

  /**
   * Completes the frame that was held back; returns the index in `bytes` after it, or -1 minus that index if
   * the scan was stopped.
   */
  #scanHeld(bytes: Buffer, length: number, to: Forward): number | Violation {
    const held = this.#held!
    let at = 0
    for (;;) {
      const size = this.#frameSize(held, 0, this.#heldLength)
      if (typeof size !== 'number') return size
      if (this.#heldLength >= size) break
      if (at === length) return at
      const taken = Math.min(size - this.#heldLength, length - at)
      bytes.copy(held, this.#heldLength, at, at + taken)
      this.#heldLength += taken
      at += taken
    }
    const verdict = this.#accept(held, 0, this.#heldLength)
    // The complete frame stays as it is, and is judged again.
    if (verdict === 'stop') return -1 - at
    this.allowance--
    const size = this.isClosed ? this.#closeSize(held, 0) : this.#heldLength
    this.#heldLength = 0
    if (typeof verdict !== 'string') return verdict
    if (verdict === 'pass') to.forward(held, 0, size)
    return at
  }
}
