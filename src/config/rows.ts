// The supported keys as flat rows, in the order of the schema: for the documentation and for `sidegate
// explain`.

import type { Meta, ValueMeta } from './meta.ts'
import { configKey } from './schema.ts'

export interface Row {
  /** `listeners[].deadlines.idle`. */
  path: string
  meta: ValueMeta
}

/** A section with its own rows; sections inside it follow. */
export interface Group {
  /** `listeners[].deadlines`; empty for the file itself. */
  path: string
  meaning: string
  rows: Row[]
  /** The section is one way to write its key, or may be left out: the example of every default omits it. */
  isOptional: boolean
}

export function groups(): Group[] {
  const found: Group[] = []
  collect(configKey.meta, '', false, found)
  return found.filter((group) => group.rows.length > 0)
}

export function rows(): Row[] {
  return groups().flatMap((group) => group.rows)
}

function collect(meta: Meta, path: string, isInOptional: boolean, found: Group[]): void {
  if (meta.kind === 'list') collect(meta.item.meta, `${path}[]`, isInOptional, found)
  if (meta.kind === 'either') collect(meta.object.meta, path, isInOptional, found)
  if (meta.kind !== 'section') return
  const isOptional = isInOptional || meta.isOptional === true
  const group: Group = { path, meaning: meta.meaning, rows: [], isOptional }
  found.push(group)
  for (const [name, key] of Object.entries(meta.entries)) {
    const inner = path === '' ? name : `${path}.${name}`
    const row = rowOf(key.meta, inner)
    if (row !== null) group.rows.push(row)
    if (row === null || key.meta.kind === 'either') collect(key.meta, inner, isOptional, found)
  }
}

function rowOf(meta: Meta, path: string): Row | null {
  if (meta.kind === 'value') return { path, meta }
  if (meta.kind === 'either') {
    const row = rowOf(meta.single.meta, path)
    return (
      row && {
        ...row,
        meta: { ...row.meta, type: `${row.meta.type}, or a map of ${supportedKeys(meta.object.meta)}` },
      }
    )
  }
  if (meta.kind !== 'list' || meta.item.meta.kind !== 'value') return null
  const item = meta.item.meta
  return {
    path,
    meta: {
      ...item,
      type: `list of ${item.type}${item.type.endsWith('s') ? 'es' : 's'}`,
      meaning: meta.meaning,
      ...(meta.min === 0 ? { default: [] } : {}),
    },
  }
}

function supportedKeys(meta: Meta): string {
  if (meta.kind !== 'section') return ''
  return Object.entries(meta.entries)
    .filter(([, key]) => key.meta.kind !== 'later')
    .map(([name]) => `\`${name}\``)
    .join(', ')
}

/** The default as it would be written; null where the key is required. */
export function defaultText(meta: ValueMeta): string | null {
  if (meta.derived !== undefined) return meta.derived
  if (meta.default === undefined) return null
  return Array.isArray(meta.default) ? '[]' : String(meta.default)
}
