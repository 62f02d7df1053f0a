// The positions of the values of a file as plain data, for problems that show only once the file is used: a
// port that is in use, a certificate that cannot be read.

import type { Places } from '../core/errors.ts'
import { isMap } from './keys.ts'
import type { Path } from './path.ts'
import { formatPath } from './path.ts'
import type { Reading } from './reader.ts'

export function placesOf({ value, places, position }: Reading): Places {
  const found: Record<string, { line: number; column: number }> = {}
  const walk = (node: unknown, path: Path): void => {
    const isLeaf = !isMap(node) && !Array.isArray(node)
    const name = formatPath(path)
    const place = places.get(name)
    if (place !== undefined && name !== '') found[name] = position(isLeaf ? place.value : place.key)
    if (!isLeaf) for (const [key, inner] of entriesOf(node)) walk(inner, [...path, key])
  }
  walk(value, [])
  return found
}

function entriesOf(value: Record<string, unknown> | unknown[]): Iterable<[string | number, unknown]> {
  return Array.isArray(value) ? value.entries() : Object.entries(value)
}
