// Our own frames: whole control frames, and the heads of messages. Masked towards an upstream.

import { nodeCrypto } from '../core/late.ts'

/** The pool of masks: `randomFillSync` for four bytes costs more than the frame. */
const pool = Buffer.alloc(4096)
let used = pool.length

function nextMask(): Buffer {
  if (used === pool.length) {
    nodeCrypto().randomFillSync(pool)
    used = 0
  }
  used += 4
  return pool.subarray(used - 4, used)
}

export function controlFrame(opcode: number, payload: Buffer, isMasked: boolean): Buffer {
  const head = isMasked ? 6 : 2
  // Memory of its own: a frame that has to wait must not keep a pool of 64 KiB alive for its few bytes.
  const frame = Buffer.alloc(head + payload.length)
  frame[0] = 0x80 | opcode
  frame[1] = payload.length | (isMasked ? 0x80 : 0)
  payload.copy(frame, head)
  if (!isMasked) return frame
  const mask = nextMask()
  mask.copy(frame, 2)
  for (let i = 0; i < payload.length; i++) frame[6 + i]! ^= mask[i & 3]!
  return frame
}

/** The last head that `dataHead` made. */
export const head = Buffer.alloc(14)

/**
 * Writes the head of a message of `length` bytes into `head`, and returns its size. The last four bytes of a
 * masked head are the mask for the payload that follows.
 */
export function dataHead(opcode: number, length: number, isCompressed: boolean, isMasked: boolean): number {
  head[0] = 0x80 | (isCompressed ? 0x40 : 0) | opcode
  let size = 2
  if (length < 126) {
    head[1] = length
  } else if (length < 65_536) {
    head[1] = 126
    head.writeUInt16BE(length, 2)
    size = 4
  } else {
    head[1] = 127
    head.writeUInt32BE(Math.floor(length / 2 ** 32), 2)
    head.writeUInt32BE(length >>> 0, 6)
    size = 10
  }
  if (!isMasked) return size
  head[1] |= 0x80
  nextMask().copy(head, size)
  return size + 4
}

/** The payload of a Close frame: the code and, cut to fit, the reason. */
export function closePayload(code: number, reason: string): Buffer {
  const text = Buffer.from(reason).subarray(0, 123)
  const payload = Buffer.allocUnsafe(2 + text.length)
  payload.writeUInt16BE(code)
  text.copy(payload, 2)
  return payload
}
