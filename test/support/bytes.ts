// Bytes whose every position can be checked: a check finds a lost, doubled, shifted or swapped piece of a stream at the byte
// where it begins, and stores nothing for it.

import { createHash } from 'node:crypto'

// Prime, so that a shift by any buffer size (4096, 65536, ...) meets different bytes.
const PERIOD = 65_521

const table = Buffer.alloc(PERIOD)
let state = 0x9e3779b9
for (let i = 0; i < PERIOD; i += 1) {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  table[i] = state
}

/** `n` bytes of the endless stream `seed`, from `offset` on. */
export function pattern(n: number, seed = 0, offset = 0): Buffer {
  const bytes = Buffer.allocUnsafe(n)
  let at = offset + seed * 7919
  for (let done = 0; done < n;) {
    const from = at % PERIOD
    const length = Math.min(n - done, PERIOD - from)
    // Each round of the table is turned another way, else a loss of PERIOD bytes would go unseen.
    const turn = (Math.floor(at / PERIOD) * 151) & 0xff
    for (let i = 0; i < length; i += 1) bytes[done + i] = table[from + i]! ^ turn
    done += length
    at += length
  }
  return bytes
}

/** Compares a stream with `pattern(.., seed)` as its bytes come. */
export class Verifier {
  readonly seed: number
  /** Bytes seen. */
  bytes = 0
  /** The position of the first wrong byte; null while all are right. */
  wrong: { at: number; expected: number; got: number } | null = null

  constructor(seed = 0) {
    this.seed = seed
  }

  write(chunk: Uint8Array): void {
    const expected = pattern(chunk.length, this.seed, this.bytes)
    if (this.wrong === null && !expected.equals(chunk)) {
      const i = expected.findIndex((byte, index) => byte !== chunk[index])
      this.wrong = { at: this.bytes + i, expected: expected[i]!, got: chunk[i]! }
    }
    this.bytes += chunk.length
  }

  /** The fault of the stream, or null. With `total`, a shorter or longer stream is wrong too. */
  problem(total?: number): string | null {
    if (this.wrong !== null) return `byte ${this.wrong.at} is ${this.wrong.got}, not ${this.wrong.expected}`
    if (total !== undefined && this.bytes !== total) return `${this.bytes} bytes, not ${total}`
    return null
  }
}

export function sha256(...chunks: (Uint8Array | string)[]): string {
  const hash = createHash('sha256')
  for (const chunk of chunks) hash.update(chunk)
  return hash.digest('hex')
}
