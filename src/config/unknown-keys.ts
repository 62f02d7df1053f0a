// The sentence about a key that the file may not hold: the key that was probably meant, and its place. A
// newcomer writes `deadlines.idle` as the documentation names it, or the right key one level too high.

import type { Entries } from './keys.ts'
import { possible } from './keys.ts'
import type { Meta } from './meta.ts'
import { configKey } from './schema.ts'
import { fold, oneOf, suggest } from './words.ts'

/** No key is nearly as long. */
const MAX_NAME = 64
/** More places than these are no help. */
const MAX_PLACES = 3

/** `entries` are the keys that may stand beside it. */
export function unknownKey(name: string, entries: Entries): string {
  if (name === '<<') return 'merge keys are not supported, write the keys'
  const here = possible(entries)
  if (name.length <= MAX_NAME) {
    const nested = name.includes('.') ? nestedForm(name, entries) : null
    if (nested !== null) return `unknown key, write ${nested}`
    const meant = meantPaths(name, here, entries)
    if (meant.length > 0) return `unknown key, did you mean ${oneOf(meant)}?`
  }
  return `unknown key, possible are ${here.join(', ')}`
}

/** The same name elsewhere goes before a similar name here: `keepAlive` is no slip for `tcpKeepAlive`. */
function meantPaths(name: string, here: readonly string[], entries: Entries): string[] {
  const same = here.find((one) => fold(one) === fold(name))
  if (same !== undefined) return [same]
  const inside = few(pathsOf(name, entries))
  if (inside.length > 0) return inside
  const near = suggest(name, here)
  return near === null ? few(pathsOf(name, entriesOf(configKey.meta) ?? {})) : [near]
}

function few(paths: string[]): string[] {
  return paths.length <= MAX_PLACES ? paths : []
}

/**
 * `idle` at the listener belongs to its `deadlines`; so does `deadlines.idle` at the top. Nothing else is
 * looked for below a key of that name.
 */
function pathsOf(name: string, entries: Entries): string[] {
  const last = name.slice(name.lastIndexOf('.') + 1)
  const paths = placesOf(last, entries)
  return last === name ? paths : paths.filter((path) => fold(path).endsWith(fold(`.${name}`)))
}

function placesOf(name: string, entries: Entries): string[] {
  return Object.entries(entries).flatMap(([parent, { meta }]) => {
    const inside = entriesOf(meta)
    if (inside === null) return []
    const known = knownAs(name, inside)
    const inner = known === null ? placesOf(name, inside) : [known]
    return inner.map((path) => `${parent}${meta.kind === 'list' ? '[]' : ''}.${path}`)
  })
}

/** `deadlines.idle` as YAML has it: `deadlines: { idle: ... }`. */
function nestedForm(name: string, entries: Entries): string | null {
  const [step = '', ...rest] = name.split('.')
  const known = knownAs(step, entries)
  if (known === null) return null
  if (rest.length === 0) return `${known}: ...`
  const { meta } = entries[known]!
  const inside = entriesOf(meta)
  const inner = inside === null ? null : nestedForm(rest.join('.'), inside)
  if (inner === null) return null
  return meta.kind === 'list' ? `${known}: [{ ${inner} }]` : `${known}: { ${inner} }`
}

function knownAs(name: string, entries: Entries): string | null {
  return possible(entries).find((one) => fold(one) === fold(name)) ?? null
}

function entriesOf(meta: Meta): Entries | null {
  if (meta.kind === 'section') return meta.entries
  if (meta.kind === 'list') return entriesOf(meta.item.meta)
  return meta.kind === 'either' ? entriesOf(meta.object.meta) : null
}
