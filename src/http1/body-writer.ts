// The body of a message as it goes out: its data as it is, or in chunks of ours. All the data of one read makes one chunk, whatever the
// chunks were that it came in: their sizes and extensions are not ours to repeat.

import type { BodySink } from './body.ts'
import { CRLF, Field } from './fields.ts'

/** Where it goes: a Half. */
export interface BodyTarget {
  forward(bytes: Buffer, start: number, end: number): void
}

/** Of one chunk of ours. */
const LARGEST = 65_536
/** Hexadecimal digits of that, and a CRLF. */
const FRONT = 7
const LAST = '0\r\n'

/** A chunk is put together here and written at once: one for the process. */
let scratch: Buffer | null = null

export class BodyWriter implements BodySink {
  readonly #target: BodyTarget
  readonly isChunked: boolean
  #gathered = 0
  /** Bytes of data that were written. */
  bytes = 0

  constructor(target: BodyTarget, isChunked: boolean) {
    this.#target = target
    this.isChunked = isChunked
  }

  /** Every call is followed by one of `flush` or `end` in the same turn. */
  data(bytes: Buffer, start: number, end: number): void {
    this.bytes += end - start
    if (!this.isChunked) return this.#target.forward(bytes, start, end)
    scratch ??= Buffer.allocUnsafeSlow(FRONT + LARGEST + CRLF.length + LAST.length)
    for (let at = start; at < end;) {
      const length = Math.min(end - at, LARGEST - this.#gathered)
      bytes.copy(scratch, FRONT + this.#gathered, at, at + length)
      this.#gathered += length
      at += length
      if (this.#gathered === LARGEST) this.flush()
    }
  }

  /** Sends what was gathered as a chunk. */
  flush(): void {
    if (this.#gathered > 0) this.#send(this.#closeChunk())
  }

  /** The body is complete. */
  end(trailers: readonly Field[]): void {
    if (!this.isChunked) return
    if (this.#gathered > 0) {
      const end = this.#closeChunk()
      this.#send(end + scratch!.write(LAST, end, 'latin1'))
    } else {
      this.#write(LAST)
    }
    this.#write(Field.lines(trailers) + CRLF)
  }

  /** Where the chunk ends in the scratch. */
  #closeChunk(): number {
    return FRONT + this.#gathered + scratch!.write(CRLF, FRONT + this.#gathered, 'latin1')
  }

  #send(end: number): void {
    const size = this.#gathered.toString(16) + CRLF
    const start = FRONT - size.length
    scratch!.write(size, start, 'latin1')
    this.#gathered = 0
    this.#target.forward(scratch!, start, end)
  }

  #write(text: string): void {
    this.#target.forward(Buffer.from(text, 'latin1'), 0, text.length)
  }
}
