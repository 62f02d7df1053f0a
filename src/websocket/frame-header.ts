// The header of a data frame, judged: the length of its payload, and whether the frame counts as a message.

/** A smaller fragment costs as much as a message, and brings nothing. */
const TINY_FRAGMENT_BYTES = 16

/**
 * Whether a data frame counts against `limits.messages`: the first frame of a message does, and so do tiny
 * fragments, except the last one, which every message has anyway.
 */
export function isCounted(first: number, payloadBytes: number): boolean {
  return (first & 0x0f) !== 0 || ((first & 0x80) === 0 && payloadBytes < TINY_FRAGMENT_BYTES)
}

/** The payload length of the frame at `at`; -1 if it is not in its minimal form or does not fit 63 bits. */
export function payloadLength(bytes: Buffer, at: number): number {
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
