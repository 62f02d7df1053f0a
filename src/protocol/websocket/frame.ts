// Control frames that we send ourselves: at most 125 bytes of payload, masked towards an upstream.

import { nodeCrypto } from '../../node-crypto.ts'

/** Masks come from here: `randomFillSync` for four bytes costs more than the frame. */
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

/** The payload of a close frame: the code and, cut to fit, the reason. */
export function closePayload(code: number, reason: string): Buffer {
  const text = Buffer.from(reason).subarray(0, 123)
  const payload = Buffer.alloc(2 + text.length)
  payload.writeUInt16BE(code)
  text.copy(payload, 2)
  return payload
}
