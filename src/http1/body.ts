// The body of a message as it arrives (RFC 9112 sections 6 and 7): finds its data and its end. It keeps only
// the size line and the trailers of a chunked body, both bounded.
//
// A body in chunks of one byte costs its sender six bytes for each byte of data, and us a step for each of
// those. So beyond 100 KiB in all, a body that is more than four fifths syntax is refused. Chunks of two
// bytes and more pass, and so does any short body.

import { NO_FIELDS } from './fields.ts'
import type { Fields } from './fields.ts'
import { parseTrailers } from './head.ts'

/** How a body ends: there is none; after that many bytes; by the chunked coding; by FIN. */
export type Framing =
  | { kind: 'none' }
  | { kind: 'length'; bytes: number }
  | { kind: 'chunked' }
  | { kind: 'end' }

/** Gets the data of a body, valid until the call returns. */
export interface BodySink {
  data(bytes: Buffer, start: number, end: number): void
}

export interface Body {
  readonly isComplete: boolean
  /** The bytes known to be still to come; Infinity where their number is unknown. */
  readonly remaining: number
  /** The chunks that have begun, however small: their cost comes on top of the bytes'. */
  readonly chunks: number
  /** The trailers of a chunked body, set once it is complete. */
  readonly trailers: Fields
  /**
   * Reads the body's part of `bytes[start..end)` and returns the end of that part; -1 for a malformed body,
   * whose `problem` is set then.
   */
  read(bytes: Buffer, start: number, end: number, sink: BodySink): number
  readonly problem: string
}

/**
 * `isLenient`: blanks may follow sizes, and lines may end with LF alone. `isOurs`: the chunks are our own,
 * however small.
 */
export function bodyOf(framing: Framing, isLenient: boolean, isOurs = false): Body {
  if (framing.kind === 'chunked') return new ChunkedBody(isLenient, isOurs)
  if (framing.kind === 'end') return new CountedBody(Number.POSITIVE_INFINITY)
  return framing.kind === 'length' && framing.bytes > 0 ? new CountedBody(framing.bytes) : emptyBody
}

class CountedBody implements Body {
  remaining: number
  readonly chunks = 0
  readonly trailers = NO_FIELDS
  readonly problem = ''

  constructor(bytes: number) {
    this.remaining = bytes
  }

  get isComplete(): boolean {
    return this.remaining === 0
  }

  read(bytes: Buffer, start: number, end: number, sink: BodySink): number {
    const stop = Math.min(end, start + this.remaining)
    if (stop > start) sink.data(bytes, start, stop)
    this.remaining -= stop - start
    return stop
  }
}

/** One for all messages without a body. */
const emptyBody: Body = new CountedBody(0)

/** Bytes of one size line with its extensions, and of all trailers together. */
const MAX_LINE = 4096
const MAX_TRAILERS = 16_384
/** Hexadecimal digits of a size, leading zeros included. */
const MAX_DIGITS = 16
const MAX_SIZE = Number.MAX_SAFE_INTEGER
/** From this size on a body must be more than syntax. */
const JUDGED_BYTES = 100 * 1024
const MAX_SYNTAX = 0.8

const bareCr = /\r(?!\n)/
const CR = 13
const LF = 10
const SEMICOLON = 0x3b
const SPACE = 0x20
const TAB = 9

/** The place of the next byte. `size` has had digits where `#digits` is not 0; `padding` follows them. */
const SIZE = 0
const PADDING = 1
const EXTENSION = 2
const SIZE_LF = 3
const DATA = 4
const DATA_CR = 5
const DATA_LF = 6
const TRAILERS = 7
const COMPLETE = 8

/** By state, the expected syntax that was missing. */
const expected: Record<number, string> = {
  [SIZE]: 'a chunk size',
  [PADDING]: 'CRLF or an extension behind a chunk size',
  [EXTENSION]: `CRLF within ${MAX_LINE} bytes behind a chunk size`,
  [SIZE_LF]: 'LF behind CR',
  [DATA_CR]: 'CRLF behind the data of a chunk',
  [DATA_LF]: 'LF behind CR',
}

class ChunkedBody implements Body {
  readonly #isLenient: boolean
  readonly #isOurs: boolean
  #state = SIZE
  #left = 0
  #digits = 0
  #lineBytes = 0
  #trailers = ''
  #dataBytes = 0
  #allBytes = 0
  chunks = 0
  trailers: Fields = NO_FIELDS
  problem = ''

  constructor(isLenient: boolean, isOurs: boolean) {
    this.#isLenient = isLenient
    this.#isOurs = isOurs
  }

  get isComplete(): boolean {
    return this.#state === COMPLETE
  }

  get remaining(): number {
    return Number.POSITIVE_INFINITY
  }

  read(bytes: Buffer, start: number, end: number, sink: BodySink): number {
    let at = start
    while (at < end && this.#state !== COMPLETE) {
      if (this.#state === DATA) {
        const stop = Math.min(end, at + this.#left)
        sink.data(bytes, at, stop)
        this.#dataBytes += stop - at
        this.#left -= stop - at
        at = stop
        if (this.#left === 0) this.#state = DATA_CR
      } else if (this.#state === TRAILERS) {
        at = this.#readTrailers(bytes, at, end)
      } else if (!this.#step(bytes[at++]!)) {
        this.problem = `malformed chunk at byte ${this.#allBytes + at - start - 1} of the body: expected ${expected[this.#state]}`
      }
      if (this.problem !== '') return -1
    }
    this.#allBytes += at - start
    if (
      !this.#isOurs &&
      this.#allBytes > JUDGED_BYTES &&
      this.#dataBytes < this.#allBytes * (1 - MAX_SYNTAX)
    ) {
      this.problem = 'chunks that are hardly more than their syntax'
      return -1
    }
    return at
  }

  #step(byte: number): boolean {
    switch (this.#state) {
      case SIZE:
        return this.#onSize(byte)
      case PADDING:
      case EXTENSION:
        return this.#onSizeEnd(byte)
      case SIZE_LF:
        return byte === LF && this.#endSize()
      case DATA_CR:
        if (byte === CR) this.#state = DATA_LF
        return byte === CR || (byte === LF && this.#isLenient && this.#endData())
      default:
        return byte === LF && this.#endData()
    }
  }

  #onSize(byte: number): boolean {
    const digit = hexDigit(byte)
    if (digit < 0) return this.#digits > 0 && this.#onSizeEnd(byte)
    this.#left = this.#left * 16 + digit
    return ++this.#digits <= MAX_DIGITS && this.#left <= MAX_SIZE
  }

  /** Reads after the digits of a size, and its extensions, which are dropped. */
  #onSizeEnd(byte: number): boolean {
    if (++this.#lineBytes > MAX_LINE) return false
    if (byte === CR) this.#state = SIZE_LF
    else if (byte === LF) return this.#isLenient && this.#endSize()
    else if (byte === SEMICOLON) this.#state = EXTENSION
    else if (this.#state !== EXTENSION) {
      this.#state = PADDING
      return this.#isLenient && (byte === SPACE || byte === TAB)
    }
    return true
  }

  #endSize(): boolean {
    this.chunks++
    this.#state = this.#left === 0 ? TRAILERS : DATA
    this.#digits = this.#lineBytes = 0
    return true
  }

  #endData(): boolean {
    this.#state = SIZE
    return true
  }

  /** Reads line by line, up to the empty line. */
  #readTrailers(bytes: Buffer, start: number, end: number): number {
    const lf = bytes.subarray(start, end).indexOf(LF)
    const stop = lf < 0 ? end : start + lf + 1
    this.#trailers += bytes.toString('latin1', start, stop)
    if (this.#trailers.length > MAX_TRAILERS) this.problem = `more than ${MAX_TRAILERS} bytes of trailers`
    else if (lf >= 0) this.#endTrailerLine()
    return stop
  }

  #endTrailerLine(): void {
    const text = this.#isLenient ? this.#trailers.replaceAll(/\r?\n/g, '\r\n') : this.#trailers
    if (!text.endsWith('\r\n')) this.problem = 'a trailer line without CRLF'
    // Without it, an empty line that ends with CR CR LF would be waited behind.
    else if (bareCr.test(text)) this.problem = 'a bare CR in the trailers'
    else if (text === '\r\n') this.#state = COMPLETE
    else if (text.endsWith('\r\n\r\n')) {
      const trailers = parseTrailers(text)
      if (typeof trailers === 'string') this.problem = `malformed trailers: ${trailers}`
      else this.trailers = trailers
      this.#state = COMPLETE
    }
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
