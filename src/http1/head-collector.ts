// The collector of a message's head: puts it together from several reads, and finds its end, the first empty
// line. That line may end with CRLF or LF alone, so that a peer whose LF is not allowed is refused at once. A
// CR without LF ends a head, too: no parser takes such a head, and one whose lines end with CR CR LF (text
// mode on Windows writes them) has no empty line that the peer would be waited for.

const CR = 13
const LF = 10

/** The head goes on; the head exceeds its bound. Any other result is the head's end. */
export const MORE = -1
export const TOO_BIG = -2

/** The bytes before the next one, but for a CR: only empty lines; an LF; any other byte of a head. */
const START = 0
const AFTER_LF = 1
const INSIDE = 2

export class HeadCollector {
  readonly #maxBytes: number
  /** An empty line before a head may be LF alone, as lines of the head may (`http.lenient`). */
  readonly #takesLf: boolean
  #kept = ''
  #state = START
  /** The last byte was a CR. */
  #isAfterCr = false
  #text = ''

  constructor(maxBytes: number, takesLf = false) {
    this.#maxBytes = maxBytes
    this.#takesLf = takesLf
  }

  reset(): void {
    this.#kept = ''
    this.#state = START
    this.#isAfterCr = false
  }

  /** The complete head, in latin1, its empty line included; the collector forgets it. */
  take(): string {
    const text = this.#text
    this.#text = ''
    return text
  }

  /** The bytes of an incomplete head; in latin1 a character is a byte. */
  get heldBytes(): number {
    return this.#kept.length
  }

  /** Nothing of a head has come yet. */
  get isEmpty(): boolean {
    return this.#kept === ''
  }

  /** The bytes so far may become a head that begins like this. */
  isOf(begin: string): boolean {
    return begin.startsWith(this.begin.slice(0, begin.length))
  }

  /** Where a head begins after empty lines, which mean nothing before it (RFC 9112 section 2.2). */
  skipEmptyLines(bytes: Buffer, start: number, end: number): number {
    let at = start
    if (this.#kept !== '') return at
    for (;;) {
      if (at + 1 < end && bytes[at] === CR && bytes[at + 1] === LF) at += 2
      else if (this.#takesLf && at < end && bytes[at] === LF) at++
      else return at
    }
  }

  /**
   * The incomplete head so far, without empty lines before it; of the last of those only a CR may have come.
   */
  get begin(): string {
    const begin = this.#kept.slice(beginOf(this.#kept, this.#takesLf))
    return begin === '\r' ? '' : begin
  }

  /** Reads the head's part of `bytes[start..end)`. */
  read(bytes: Buffer, from: number, end: number): number {
    const before = this.#kept.length
    const limit = Math.min(end, from + this.#maxBytes - before + 1)
    const stop = this.#findEnd(bytes, from, limit)
    const size = before + (stop < 0 ? limit : stop) - from
    if (size > this.#maxBytes) return TOO_BIG
    if (stop < 0) {
      this.#kept += bytes.toString('latin1', from, limit)
      return MORE
    }
    const text = this.#kept + bytes.toString('latin1', from, stop)
    this.#text = text.slice(beginOf(text, this.#takesLf))
    this.reset()
    return stop
  }

  /**
   * The position after the first empty line that follows another line, or after a CR without LF; -1 if there
   * is neither up to `end`.
   */
  #findEnd(bytes: Buffer, from: number, end: number): number {
    let state = this.#state
    let isAfterCr = this.#isAfterCr
    if (isAfterCr && from < end && bytes[from] !== LF) return from
    for (let at = from; at < end; at++) {
      const byte = bytes[at]!
      if (byte > CR) {
        state = INSIDE
      } else if (byte === CR) {
        if (at + 1 < end && bytes[at + 1] !== LF) return at + 1
        isAfterCr = true
        continue
      } else if (byte === LF) {
        if (state === AFTER_LF) return at + 1
        state = state === START && (isAfterCr || this.#takesLf) ? START : AFTER_LF
      } else {
        state = INSIDE
      }
      isAfterCr = false
    }
    this.#state = state
    this.#isAfterCr = isAfterCr
    return -1
  }
}

/** Where the head begins after empty lines. */
function beginOf(text: string, takesLf: boolean): number {
  let start = 0
  for (;;) {
    if (text.startsWith('\r\n', start)) start += 2
    else if (takesLf && text.startsWith('\n', start)) start++
    else return start
  }
}
