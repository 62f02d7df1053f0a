// Finds the end of a chunked body (RFC 9112 section 7.1) as it passes. Strict: CRLF only, plain hexadecimal sizes; chunk
// extensions and trailers are bounded.

/** Bytes of one size line with its extensions, and of all trailers together. */
const MAX_LINE = 4096
const MAX_TRAILERS = 16384
/**
 * A body of more than so many bytes, of which less than a fifth is data, is work for its readers and hardly anything else: in chunks of one
 * byte a megabyte is 175,000 chunks. Whoever sends a few characters in each chunk stays below it.
 */
const MAX_SYNTAX = 100 * 1024

const CR = 13
const LF = 10
type State = 'size' | 'extension' | 'sizeLf' | 'data' | 'dataCr' | 'dataLf' | 'trailer' | 'trailerLf' | 'complete'

export class ChunkedScanner {
  #state: State = 'size'
  #size = 0
  #digits = 0
  #lineBytes = 0
  #trailerBytes = 0
  #isLineEmpty = true
  #bytes = 0
  /** What the chunks carry, as far as it has been scanned. */
  dataBytes = 0

  /** Far too much of the body is sizes, extensions and line ends. */
  get isMostlySyntax(): boolean {
    return this.#bytes > MAX_SYNTAX && this.dataBytes * 5 < this.#bytes
  }

  get isComplete(): boolean {
    return this.#state === 'complete'
  }

  /** How many of `bytes[0..length)` belong to the body; fewer than `length` only where it is complete. -1: malformed. */
  scan(bytes: Buffer, length: number): number {
    let at = 0
    while (at < length && this.#state !== 'complete') {
      if (this.#state === 'data') {
        const taken = Math.min(this.#size, length - at)
        this.#size -= taken
        this.dataBytes += taken
        at += taken
        if (this.#size === 0) this.#state = 'dataCr'
      } else if (!this.#step(bytes[at++]!)) {
        return -1
      }
    }
    this.#bytes += at
    return at
  }

  #step(byte: number): boolean {
    switch (this.#state) {
      case 'size':
        return this.#onSizeByte(byte)
      case 'extension':
        if (byte === CR) this.#state = 'sizeLf'
        return byte !== LF && ++this.#lineBytes <= MAX_LINE
      case 'sizeLf':
        this.#endSizeLine()
        return byte === LF
      case 'dataCr':
        this.#state = 'dataLf'
        return byte === CR
      case 'dataLf':
        this.#state = 'size'
        return byte === LF
      case 'trailer':
        return this.#onTrailerByte(byte)
      case 'trailerLf':
        this.#state = this.#isLineEmpty ? 'complete' : 'trailer'
        this.#isLineEmpty = true
        return byte === LF
      default:
        return false
    }
  }

  #onSizeByte(byte: number): boolean {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      this.#size = this.#size * 16 + digit
      return ++this.#digits <= 12
    }
    if (byte === CR) this.#state = 'sizeLf'
    else if (byte === 0x3b) this.#state = 'extension'
    else return false
    return this.#digits > 0
  }

  #endSizeLine(): void {
    this.#state = this.#size === 0 ? 'trailer' : 'data'
    this.#digits = 0
    this.#lineBytes = 0
  }

  #onTrailerByte(byte: number): boolean {
    if (byte === CR) this.#state = 'trailerLf'
    else this.#isLineEmpty = false
    return byte !== LF && ++this.#trailerBytes <= MAX_TRAILERS
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
