// Collects the head of a message from the reads that it comes in, and finds its end: the first empty line, whether it ends with CRLF or
// with LF alone, so that who may not end it so is told at once.

const CR = 13
const LF = 10

/** The head goes on; it is over its bound. Anything else is where it ends. */
export const MORE = -1
export const TOO_BIG = -2

export class HeadCollector {
  readonly #maxBytes: number
  #kept = ''
  /** Of the head that is complete, in latin1, its empty line included. */
  text = ''

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  reset(): void {
    this.#kept = ''
  }

  /** Of a head that is not whole; latin1, so a character is a byte. */
  get heldBytes(): number {
    return this.#kept.length
  }

  /** Nothing of a head has come yet. */
  get isEmpty(): boolean {
    return this.#kept === ''
  }

  /** What has come of it may go on to be a head that begins like this. */
  isOf(begin: string): boolean {
    return begin.startsWith(this.begin.slice(0, begin.length))
  }

  /** Empty lines before a head mean nothing (RFC 9112 section 2.2): where it begins. */
  skipEmptyLines(bytes: Buffer, start: number, end: number): number {
    let at = start
    if (this.#kept !== '') return at
    while (at + 1 < end && bytes[at] === CR && bytes[at + 1] === LF) at += 2
    return at
  }

  /** What has come of a head that goes on, less the empty lines before it: of the last of those there may be only a CR. */
  get begin(): string {
    const begin = this.#kept.slice(beginOf(this.#kept))
    return begin === '\r' ? '' : begin
  }

  /** Takes what belongs to the head of `bytes[start..end)`. */
  read(bytes: Buffer, from: number, end: number): number {
    const before = this.#kept.length
    const text = this.#kept + bytes.toString('latin1', from, Math.min(end, from + this.#maxBytes - before + 1))
    const start = beginOf(text)
    const stop = headEnd(text, Math.max(start, before - 2))
    if (stop < 0 || stop > this.#maxBytes) {
      if (text.length > this.#maxBytes) return TOO_BIG
      this.#kept = text
      return MORE
    }
    this.#kept = ''
    this.text = text.slice(start, stop)
    return from + stop - before
  }
}

/** Where it begins behind empty lines that another read brought. */
function beginOf(text: string): number {
  let start = 0
  while (text.startsWith('\r\n', start)) start += 2
  return start
}

/** Behind the first empty line; -1 where there is none. */
function headEnd(text: string, from: number): number {
  const crlf = text.indexOf('\n\r\n', from)
  // Both may begin with the same LF.
  const lf = (crlf < 0 ? text : text.slice(0, crlf + 1)).indexOf('\n\n', from)
  if (lf >= 0) return lf + 2
  return crlf < 0 ? -1 : crlf + 3
}
