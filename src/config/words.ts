// The words of problems: an offending value as one safe, short line, and "did you mean" for a word that is
// nearly right. An operator's words may hold anything; none of them reach a terminal or a log line unescaped.

import { safe } from '../core/safe.ts'

/** Either a value or the sentence that says why there is none. */
export type Parsed<T> = { value: T } | { problem: string }

const SHOWN_CHARS = 60
// Readable without quotes, and not mistaken for a number, a boolean or nothing at all.
const plainWord = /^[\w./:@[\]*%+-]+$/
const notPlain = /^([-+.\d]*|[-+]?[\d.]+e[-+]?\d+|0[xo][\da-f]+|true|false|null|nothing|a|an)$/i

/** The value as the operator wrote it: `5`, `nothing`, `"5"`, `a list`. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return 'a map of keys'
  if (typeof value !== 'string') return String(value)
  const isPlain = value.length <= SHOWN_CHARS && plainWord.test(value) && !notPlain.test(value)
  return isPlain ? value : quote(value)
}

/** In double quotes, escaped and cut. */
export function quote(text: string): string {
  return safe(JSON.stringify(cut(text, SHOWN_CHARS)))
}

/** Without quotes, inside a sentence; escaped and cut. */
export function inline(text: string, maxChars = SHOWN_CHARS): string {
  return safe(cut(text, maxChars))
}

function cut(text: string, maxChars: number): string {
  return text.length > maxChars ? `${text.slice(0, maxChars)}…` : text
}

const MAX_WORD = 64
/** `max_message`, `max-message` and `maxMessage` are the same word. */
export function fold(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, '')
}

/** The candidate that was probably meant; null where none is near. */
export function suggest(word: string, candidates: Iterable<string>): string | null {
  if (word.length > MAX_WORD) return null
  const folded = fold(word)
  // Two slips in a long word, one in a short one: beyond that a suggestion is a guess.
  let limit = folded.length <= 3 ? 1 : folded.length <= 5 ? 2 : 3
  let best: string | null = null
  for (const candidate of candidates) {
    const distance = editDistance(folded, fold(candidate))
    if (distance < limit || (distance === limit && best === null)) {
      limit = distance
      best = candidate
    }
  }
  return best
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1]
      let cost = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + (isSame ? 0 : 1),
      )
      const isSwap =
        row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      if (isSwap) cost = Math.min(cost, at(beforeLast, column - 2) + 1)
      current.push(cost)
    }
    beforeLast = last
    last = current
  }
  return at(last, to.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}

/** `one of a, b or c`, as a remedy lists the allowed words. */
export function oneOf(words: readonly string[]): string {
  if (words.length === 1) return words[0] ?? ''
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
