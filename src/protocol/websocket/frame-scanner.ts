// Reads WebSocket frames (RFC 6455 section 5) as they pass, in one direction, without ever assembling a message.
//
// The received bytes go on as they are, payload as it comes. Only what must be judged before it may go on is held back:
// an incomplete frame header (at most 14 bytes) and an incomplete control frame (at most 131). So what was forwarded
// always ends at a frame boundary or inside the payload of a data frame that was accepted.
//
// Checked, as far as an intermediary can: reserved bits against what was negotiated, opcodes, masking per direction,
// control frames, order of fragments, minimal lengths, close payloads; and the size of a message and its number of
// fragments, on the header, before the payload. Not checked: UTF-8 of text, what compressed payloads inflate to.

import { isUtf8 } from 'node:buffer'

export interface ScanRules {
  /** Frames from clients are masked, those from servers are not. */
  isMasked: boolean
  /** permessage-deflate was negotiated: RSV1 may be set on the first frame of a message. */
  isCompressed: boolean
  /** Payload bytes of a message, as they are on the wire; Infinity is off. */
  maxMessageBytes: number
  /** Frames of a message; Infinity is off. */
  maxFragments: number
}

export interface Violation {
  reason: 'protocol_error' | 'message_too_big'
  /** Close code for the peer that sent it. */
  code: 1002 | 1007 | 1009
  detail: string
}

/** Where accepted bytes go. Called while `bytes` are valid. */
export interface Forward {
  forward(bytes: Buffer, start: number, end: number): void
}

export interface ControlHandler {
  /** A whole and valid control frame; `payload` is unmasked. False keeps it from going on. */
  onControl(scanner: FrameScanner, opcode: number, payload: Buffer): boolean
  /** The forwarded bytes end at a frame boundary, as `wantsBoundary` asked. */
  onBoundary(scanner: FrameScanner): void
}

export const CLOSE = 8
export const PING = 9
export const PONG = 10
/** The longest frame that is held back: header, mask and payload of a control frame. */
const HELD = 2 + 4 + 125

const nowhere: Forward = { forward() {} }

export class FrameScanner {
  readonly rules: ScanRules
  readonly #handler: ControlHandler
  /** Payload bytes of the current data frame still to come. */
  #remaining = 0
  #isInMessage = false
  #isFinal = false
  #messageBytes = 0
  #fragments = 0
  #held: Buffer | null = null
  #heldLength = 0
  /** Whole data messages so far. */
  messages = 0
  /** Changes whenever a part of a data frame passes. */
  activity = 0
  /** A Close frame passed: whatever follows it is discarded (RFC 6455 section 5.5.1). */
  isClosed = false
  /** A violation was found: what follows cannot be understood any more. */
  hasFailed = false
  /** Asks for one call of `onBoundary`. */
  wantsBoundary = false
  /** Set in `onBoundary`: what follows is still scanned, but nothing of it goes on. */
  isMuted = false

  constructor(rules: ScanRules, handler: ControlHandler) {
    this.rules = rules
    this.#handler = handler
  }

  /** Between frames, as far as they were forwarded: something may be injected. */
  get isAtBoundary(): boolean {
    return this.#remaining === 0
  }

  /** Inside a message, perhaps between two of its fragments. */
  get isInMessage(): boolean {
    return this.#isInMessage || this.#remaining > 0
  }

  /** Reads `bytes[0..length)`, forwards what may go on, and stops at the first violation. */
  scan(bytes: Buffer, length: number, to: Forward): Violation | null {
    let at = 0
    if (this.#heldLength > 0) {
      const next = this.#scanHeld(bytes, length, to)
      if (typeof next !== 'number') return this.#stop(next, bytes, 0, 0, to)
      at = next
    }
    let from = at
    while (!this.isClosed && !this.hasFailed) {
      if (this.#remaining > 0) at = this.#skipPayload(at, length)
      if (this.#remaining > 0) break
      if (this.wantsBoundary) {
        if (at > from) to.forward(bytes, from, at)
        from = at
        this.wantsBoundary = false
        this.#handler.onBoundary(this)
        if (this.isMuted) to = nowhere
      }
      if (at === length) break
      const size = this.#frameSize(bytes, at, length)
      if (typeof size !== 'number') return this.#stop(size, bytes, from, at, to)
      if (size > length - at) {
        this.#hold(bytes, at, length)
        break
      }
      const verdict = this.#accept(bytes, at, size)
      if (verdict === true) {
        at += size
      } else {
        if (verdict !== false) return this.#stop(verdict, bytes, from, at, to)
        if (at > from) to.forward(bytes, from, at)
        at += size
        from = at
      }
    }
    if (at > from) to.forward(bytes, from, at)
    return null
  }

  #stop(violation: Violation, bytes: Buffer, from: number, at: number, to: Forward): Violation {
    if (at > from) to.forward(bytes, from, at)
    this.hasFailed = true
    return violation
  }

  /** Passes over payload of the current data frame; returns the index behind it. */
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
    this.#isInMessage = false
    this.#messageBytes = 0
    this.#fragments = 0
  }

  /**
   * How many bytes from `at` are needed before the frame can be judged: its header, and a control frame whole. May be
   * more than there are. Judges the first two bytes, so that nothing invalid is waited for.
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
    if ((first & 0x40) !== 0 && (!this.rules.isCompressed || opcode === 0 || opcode >= 8)) return 'RSV1 set where no compressed message begins'
    if (((second & 0x80) !== 0) !== this.rules.isMasked) return this.rules.isMasked ? 'unmasked frame from a client' : 'masked frame from a server'
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

  /** Judges a frame of which `size` bytes from `at` are there. False: it does not go on. */
  #accept(bytes: Buffer, at: number, size: number): boolean | Violation {
    const opcode = bytes[at]! & 0x0f
    if (opcode >= 8) return this.#acceptControl(bytes, at, size, opcode)
    const length = payloadLength(bytes, at)
    if (length < 0) return protocolError('length not in its minimal form, or over 63 bits')
    this.#messageBytes += length
    this.#fragments++
    if (this.#messageBytes > this.rules.maxMessageBytes) return tooBig(`message of more than ${this.rules.maxMessageBytes} bytes (websocket.maxMessage)`)
    if (this.#fragments > this.rules.maxFragments) return tooBig(`message of more than ${this.rules.maxFragments} fragments (websocket.maxFragments)`)
    this.#isFinal = (bytes[at]! & 0x80) !== 0
    this.#isInMessage = true
    this.#remaining = length
    this.activity++
    if (length === 0) this.#endFrame()
    return true
  }

  #acceptControl(bytes: Buffer, at: number, size: number, opcode: number): boolean | Violation {
    const payload = this.#unmasked(bytes, at, size)
    if (opcode === CLOSE) {
      const violation = closeProblem(payload)
      if (violation !== null) return violation
    }
    const goesOn = this.#handler.onControl(this, opcode, payload)
    if (opcode === CLOSE) this.isClosed = true
    return goesOn
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

  /** Completes the frame that was held back; returns the index in `bytes` behind it. */
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
    const size = this.#heldLength
    this.#heldLength = 0
    const verdict = this.#accept(held, 0, size)
    if (typeof verdict !== 'boolean') return verdict
    if (verdict) to.forward(held, 0, size)
    return at
  }
}

/** The payload length of the frame at `at`; -1 if it is not in its minimal form or does not fit 63 bits. */
function payloadLength(bytes: Buffer, at: number): number {
  const short = bytes[at + 1]! & 0x7f
  if (short < 126) return short
  if (short === 126) {
    const length = bytes.readUInt16BE(at + 2)
    return length < 126 ? -1 : length
  }
  const high = bytes.readUInt32BE(at + 2)
  const length = high * 2 ** 32 + bytes.readUInt32BE(at + 6)
  return high >= 2 ** 31 || length < 65536 ? -1 : length
}

function closeProblem(payload: Buffer): Violation | null {
  if (payload.length === 0) return null
  if (payload.length === 1) return protocolError('close frame with one byte')
  const code = payload.readUInt16BE(0)
  if (!isCloseCode(code)) return protocolError(`close code ${code}`)
  return isUtf8(payload.subarray(2)) ? null : { reason: 'protocol_error', code: 1007, detail: 'close reason is not UTF-8' }
}

/** Codes that may stand in a close frame (RFC 6455 section 7.4 and the IANA registry). */
export function isCloseCode(code: number): boolean {
  return (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999)
}

function protocolError(detail: string): Violation {
  return { reason: 'protocol_error', code: 1002, detail }
}

function tooBig(detail: string): Violation {
  return { reason: 'message_too_big', code: 1009, detail }
}
