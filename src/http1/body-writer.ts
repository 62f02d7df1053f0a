// The writer of a message's body: passes its data on as it is, or in chunks of ours. All data of one read
// makes one chunk, whatever its original chunks were: their sizes and extensions are not ours to repeat.

import type { BodySink } from './body.ts'
import { CRLF, Field } from './fields.ts'

/** The target of the bytes: a Half. */
export interface BodyTarget {
  forward(bytes: Buffer, start: number, end: number): void
}

/** The largest chunk of ours. */
const LARGEST = 65_536
/** The hexadecimal digits of that size, and a CRLF. */
const FRONT = 7
const LAST = '0\r\n'

/** Chunks are put together here and written at once; the process has one scratch. */
let scratch: Buffer | null = null

export class BodyWriter implements BodySink {
  readonly #target: BodyTarget
  readonly isChunked: boolean
  #gathered = 0
  /** Bytes of data written. */
  bytes = 0

  constructor(target: BodyTarget, isChunked: boolean) {
    this.#target = target
    this.isChunked = isChunked
  }

  /** `flush` or `end` follows every call in the same turn. */
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

  /** Sends the gathered data as a chunk. */
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

  /** The end of the chunk in the scratch. */
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
