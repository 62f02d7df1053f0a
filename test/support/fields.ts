// Headers as pairs, the form in which tests write and compare them.

import type { Field, Fields } from '../../src/http1/fields.ts'
import { Fields as Parsed } from '../../src/http1/fields.ts'

export type Header = readonly [name: string, value: string]

/** As if the parser had read them. */
export function fieldsOf(headers: readonly Header[]): Fields {
  const text = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return new Parsed(text, 0, text.length)
}

export function pairsOf(fields: Fields | readonly Field[]): Header[] {
  const list = 'list' in fields ? fields.list : fields
  return list.map(({ spelling, value }) => [spelling, value])
}
