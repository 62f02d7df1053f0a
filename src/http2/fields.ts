// Fields of HTTP/2 and of HTTP/1.1 in each other's shape.

import { CRLF } from '../http1/fields.ts'
import type { Field, Fields } from '../http1/fields.ts'
import type { Framing } from '../http1/body.ts'
import { CONTENT_LENGTH, TRANSFER_ENCODING } from '../http1/header-name.ts'

/** Name, value, name, value, as Node reads them. */
export type RawFields = readonly string[]

const NONE: ReadonlySet<string> = new Set()

/** As Node takes them: names in lower case, values of one name in their order. `but`: omitted names. */
export function fieldsByName(fields: readonly Field[], but = NONE): Record<string, string | string[]> {
  const byName = Object.create(null) as Record<string, string | string[]>
  for (const { name, value } of fields) {
    const { key } = name
    if (but.has(key)) continue
    const before = byName[key]
    byName[key] =
      before === undefined ? value : typeof before === 'string' ? [before, value] : [...before, value]
  }
  return byName
}

/** Lines of HTTP/1.1, without pseudo-header fields and `but`. */
export function linesOf(fields: RawFields, but: string | null = null): string {
  let lines = ''
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    if (name.startsWith(':') || name === but) continue
    lines += `${name}: ${fields[i + 1]!}${CRLF}`
  }
  return lines
}

/** The last chunk of a body, and its trailers. */
export function trailersText(fields: RawFields): string {
  return `0${CRLF}${linesOf(fields)}${CRLF}`
}

/** The framing of a message that the engine wrote. */
export function framingOf(fields: Fields): Framing {
  if (fields.has(TRANSFER_ENCODING)) return { kind: 'chunked' }
  const length = Number(fields.value(CONTENT_LENGTH) ?? 0)
  return length === 0 ? { kind: 'none' } : { kind: 'length', bytes: length }
}
