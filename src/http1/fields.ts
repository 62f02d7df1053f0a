// The headers of a head, by their positions in its text: a header that is not read is never cut out of it,
// and unchanged neighbours are copied in one piece.

import { nameAt } from './header-name.ts'
import type { HeaderName } from './header-name.ts'

export const CRLF = '\r\n'
const SPACE = 0x20
const TAB = 0x09

/** One header line. */
export class Field {
  readonly name: HeaderName
  readonly #text: string
  readonly #begin: number
  readonly #colon: number
  /** The bounds of the value, without the white space around it. */
  readonly #from: number
  readonly #to: number
  /** The position after its CRLF. */
  readonly end: number

  /** The well-formed line that begins at `begin`. */
  constructor(text: string, begin: number) {
    const colon = text.indexOf(':', begin)
    const end = text.indexOf(CRLF, colon)
    let [from, to] = [colon + 1, end]
    while (from < to && isBlank(text.charCodeAt(from))) from++
    while (to > from && isBlank(text.charCodeAt(to - 1))) to--
    this.name = nameAt(text, begin, colon)
    this.#text = text
    this.#begin = begin
    this.#colon = colon
    this.#from = from
    this.#to = to
    this.end = end + CRLF.length
  }

  /** A header of ours. */
  static of(spelling: string, value: string): Field {
    return new Field(`${spelling}: ${value}${CRLF}`, 0)
  }

  /** Where the line begins in its head. */
  get begin(): number {
    return this.#begin
  }

  /** The name as it was written. */
  get spelling(): string {
    return this.#text.slice(this.#begin, this.#colon)
  }

  /** Without the white space around it; `trim` would take more (a no-break space is a byte like others). */
  get value(): string {
    return this.#text.slice(this.#from, this.#to)
  }

  /** The line in its text is already in the form in which it goes on. */
  #isPlain(): boolean {
    return (
      this.#from === this.#colon + 2 &&
      this.#to === this.end - CRLF.length &&
      this.#text.charCodeAt(this.#colon + 1) === SPACE
    )
  }

  /** The lines of `fields`, one space before each value. */
  static lines(fields: readonly Field[]): string {
    let lines = ''
    for (let i = 0; i < fields.length;) {
      const first = fields[i++]!
      let last = first
      if (first.#isPlain()) {
        while (i < fields.length && fields[i]!.#follows(last)) last = fields[i++]!
        lines += first.#text.slice(first.#begin, last.end)
      } else {
        lines += `${first.spelling}: ${first.value}${CRLF}`
      }
    }
    return lines
  }

  #follows(before: Field): boolean {
    return this.#begin === before.end && this.#text === before.#text && this.#isPlain()
  }
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}

const NOTHING: readonly never[] = []
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** All headers of a head, in order. */
export class Fields {
  readonly list: readonly Field[]
  readonly #known: number

  /** The lines of `text[start..end)`, which are well-formed. */
  constructor(text: string, start: number, end: number) {
    const list: Field[] = []
    let known = 0
    for (let at = start; at < end;) {
      const field = new Field(text, at)
      known |= field.name.bit
      list.push(field)
      at = field.end
    }
    this.list = list
    this.#known = known
  }

  has(name: HeaderName): boolean {
    return (this.#known & name.bit) !== 0
  }

  /** All values of a header. */
  values(name: HeaderName): readonly string[] {
    if (!this.has(name)) return NOTHING
    const values: string[] = []
    for (let i = 0; i < this.list.length; i++)
      if (this.list[i]!.name === name) values.push(this.list[i]!.value)
    return values
  }

  /** Where the last line of a header begins in its head; -1 where there is none. */
  lastAt(name: HeaderName): number {
    return this.list.findLast((field) => field.name === name)?.begin ?? -1
  }

  /** The value of a header that is there once; undefined where there is none, null where there are more. */
  value(name: HeaderName): string | null | undefined {
    if (!this.has(name)) return undefined
    let found: Field | null = null
    for (let i = 0; i < this.list.length; i++) {
      if (this.list[i]!.name !== name) continue
      if (found !== null) return null
      found = this.list[i]!
    }
    return found!.value
  }

  /**
   * The comma-separated elements of all values of a header, lower case, without white space and empty ones.
   */
  tokens(name: HeaderName): readonly string[] {
    const value = this.value(name)
    if (value === undefined) return NOTHING
    if (value !== null && token.test(value)) return [value.toLowerCase()]
    return this.values(name)
      .join(',')
      .split(',')
      .map((element) => element.trim().toLowerCase())
      .filter((element) => element !== '')
  }
}

export const NO_FIELDS = new Fields('', 0, 0)
