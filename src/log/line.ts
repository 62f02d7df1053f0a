// One event as one line, JSON or `key=value`. Whatever a peer sent us, the line parses, stays one line, and
// cannot steer the terminal that shows it. Keys come from our own code; only values may be hostile.

export const logLevels = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]

const logFormats = ['json', 'text'] as const
export type LogFormat = (typeof logFormats)[number]

/**
 * Words of ours, or of the operator's configuration: bounded at their source, and never cut here, since a
 * search for a listener's name must find it.
 */
export class Whole {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/**
 * An Error is written as its message and its stack; undefined leaves the key out. A string may be a peer's,
 * and is cut.
 */
export type LogValue = string | number | boolean | null | undefined | Error | Whole

/** Every line begins with these three keys. */
export type LogFields = Record<string, LogValue> & { time?: never; level?: never; msg?: never }

/** A client chooses the length of its strings; the log's size must not follow it. */
const MAX_VALUE_BYTES = 256
/** Messages and stacks are our own words: long enough for a configuration problem or ten frames. */
const MAX_OWN_BYTES = 4096

// C1 controls (0x9b begins a terminal sequence), line and paragraph separators (a line to JavaScript and to
// some shippers), and the marks that reorder what a terminal shows. JSON.stringify leaves all of these as
// they are.
const unsafe = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/
const bare = /^[\x21\x23-\x3c\x3e-\x5b\x5d-\x7e]+$/

// oxlint-disable-next-line eslint/max-params -- in the order of the line
export function formatLine(
  format: LogFormat,
  wallMs: number,
  level: LogLevel,
  message: string,
  fields?: LogFields,
): string {
  const write = format === 'json' ? jsonPair : textPair
  const separator = format === 'json' ? ',' : ' '
  let line = write('time', timestamp(wallMs)) + separator + write('level', level)
  line += separator + write('msg', cut(message, MAX_OWN_BYTES))
  for (const key in fields) line += formatField(write, separator, key, fields[key])
  return format === 'json' ? `{${line}}\n` : `${line}\n`
}

type WritePair = (key: string, value: string | number | boolean | null) => string

function formatField(write: WritePair, separator: string, key: string, value: LogValue): string {
  if (value === undefined) return ''
  if (value instanceof Error) {
    const stack = value.stack === undefined ? '' : separator + write('stack', cut(value.stack, MAX_OWN_BYTES))
    return separator + write(key, cut(value.message, MAX_VALUE_BYTES)) + stack
  }
  if (value instanceof Whole) return separator + write(key, value.text)
  return separator + write(key, typeof value === 'string' ? cut(value, MAX_VALUE_BYTES) : value)
}

function jsonPair(key: string, value: string | number | boolean | null): string {
  if (typeof value === 'number' && !Number.isFinite(value)) return `"${key}":null`
  return `"${key}":${typeof value === 'string' ? quote(value) : value}`
}

function textPair(key: string, value: string | number | boolean | null): string {
  if (typeof value !== 'string') return `${key}=${value}`
  return `${key}=${bare.test(value) ? value : quote(value)}`
}

/** A lone surrogate becomes U+FFFD: strict parsers (Rust, Go, simdjson) refuse its JSON escape. */
function quote(text: string): string {
  // Nearly every value takes this branch, which saves half of the cost of a line.
  if (plain.test(text)) return `"${text}"`
  return JSON.stringify(text.toWellFormed()).replace(unsafe, escapeCodeUnit)
}

function escapeCodeUnit(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** At most `maxBytes` of UTF-8, dots included, never through the middle of a character. */
export function cut(text: string, maxBytes: number): string {
  // A UTF-16 unit has three bytes at the most, so most strings need no counting.
  if (text.length * 3 <= maxBytes || (text.length <= maxBytes && Buffer.byteLength(text) <= maxBytes))
    return text
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes - 3))
  return `${text.slice(0, read)}...`
}

function timestamp(wallMs: number): string {
  return new Date(wallMs).toISOString()
}
