// WebSocket frames as bytes, invalid ones too. This file shares no code with the scanner that it tests, nor with `ws`.

import { randomBytes } from 'node:crypto'

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export interface FrameSpec {
  /** A name, or any number of four bits. */
  opcode: keyof typeof opcodes | number
  payload?: Uint8Array | string
  /** By default true. */
  fin?: boolean
  /** Three bits: 4 is RSV1. */
  rsv?: number
  /** True for a random mask, or its four bytes. By default no mask. */
  mask?: boolean | Uint8Array
  /** Writes the length in that many bits, though fewer would do (or, cut off, though more are needed). */
  lengthBits?: 7 | 16 | 64
  /** Writes this length, though the payload has another. */
  declares?: number | bigint
}

export function encodeFrame(spec: FrameSpec): Buffer {
  const payload = Buffer.from((spec.payload ?? '') as Uint8Array)
  const length = BigInt(spec.declares ?? payload.length)
  const bits = spec.lengthBits ?? (length < 126n ? 7 : length < 65_536n ? 16 : 64)
  const opcode = typeof spec.opcode === 'number' ? spec.opcode : opcodes[spec.opcode]
  const head = Buffer.alloc(bits === 7 ? 2 : bits === 16 ? 4 : 10)
  head[0] = ((spec.fin ?? true) ? 0x80 : 0) | ((spec.rsv ?? 0) << 4) | opcode
  head[1] = bits === 7 ? Number(length & 0x7fn) : bits === 16 ? 126 : 127
  if (bits === 16) head.writeUInt16BE(Number(length & 0xffffn), 2)
  if (bits === 64) head.writeBigUInt64BE(BigInt.asUintN(64, length), 2)
  if (!spec.mask) return Buffer.concat([head, payload])
  head[1] |= 0x80
  const mask = spec.mask === true ? randomBytes(4) : Buffer.from(spec.mask)
  return Buffer.concat([head, mask, unmask(payload, mask)])
}

/** The payload of a Close frame. */
export function closePayload(code: number, reason = ''): Buffer {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason))
  payload.writeUInt16BE(code)
  payload.write(reason, 2)
  return payload
}

export interface Frame {
  /** The name, or the number of one that has none. */
  opcode: keyof typeof opcodes | number
  fin: boolean
  rsv: number
  /** Its four bytes, null without one. */
  mask: Buffer | null
  /** Unmasked. */
  payload: Buffer
  lengthBits: 7 | 16 | 64
  /** Of a Close frame: its code, 1005 without one, and its text. */
  code?: number
  reason?: string
}

const names = new Map<number, keyof typeof opcodes>(
  Object.entries(opcodes).map(([name, value]) => [value, name as keyof typeof opcodes]),
)

/** Cuts a stream into frames of any size, in whatever pieces they come. */
export class FrameReader {
  /** Bytes of a frame that is not complete. */
  rest: Buffer = Buffer.alloc(0)

  push(chunk: Uint8Array): Frame[] {
    this.rest = Buffer.concat([this.rest, chunk])
    const frames: Frame[] = []
    for (let frame = this.#next(); frame !== null; frame = this.#next()) frames.push(frame)
    return frames
  }

  #next(): Frame | null {
    const bytes = this.rest
    if (bytes.length < 2) return null
    const short = bytes[1]! & 0x7f
    const lengthBits = short === 126 ? 16 : short === 127 ? 64 : 7
    const isMasked = bytes[1]! >= 0x80
    const start = 2 + (lengthBits === 7 ? 0 : lengthBits / 8) + (isMasked ? 4 : 0)
    if (bytes.length < start) return null
    const length =
      lengthBits === 7 ? short : lengthBits === 16 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
    if (bytes.length < start + length) return null
    const mask = isMasked ? bytes.subarray(start - 4, start) : null
    const raw = bytes.subarray(start, start + length)
    this.rest = bytes.subarray(start + length)
    const payload = mask === null ? raw : unmask(raw, mask)
    const opcode = names.get(bytes[0]! & 0x0f) ?? bytes[0]! & 0x0f
    const frame: Frame = {
      opcode,
      fin: bytes[0]! >= 0x80,
      rsv: (bytes[0]! >> 4) & 7,
      mask,
      payload,
      lengthBits,
    }
    if (opcode !== 'close') return frame
    const code = payload.length >= 2 ? payload.readUInt16BE() : 1005
    return { ...frame, code, reason: payload.toString('utf8', 2) }
  }
}

function unmask(bytes: Buffer, mask: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(bytes.length)
  for (let i = 0; i < bytes.length; i += 1) out[i] = bytes[i]! ^ mask[i % 4]!
  return out
}
