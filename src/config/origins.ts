// The origin of each value of a configuration: the file or the environment. All others are defaults.

import { isMap } from './keys.ts'
import type { Path } from './path.ts'
import { formatPath } from './path.ts'
import type { Reading } from './reader.ts'

export type Origin = 'file' | 'environment'

/** By the path of a value, or of a list of plain ones, as the configuration in force shows them. */
export type Origins = Readonly<Record<string, Origin>>

export function originsOf({ value, places }: Reading): Origins {
  const origins: Record<string, Origin> = {}
  const isGiven = (path: Path): boolean => places.get(formatPath(path))?.written !== undefined
  const walk = (node: unknown, path: Path): void => {
    if (isMap(node)) {
      for (const [key, inner] of Object.entries(node)) walk(inner, [...path, key])
    } else if (Array.isArray(node) && node.some((item) => isMap(item))) {
      node.forEach((item, nth) => walk(item, [...path, nth]))
    } else {
      const isFromEnvironment = Array.isArray(node)
        ? node.some((_, nth) => isGiven([...path, nth]))
        : isGiven(path)
      origins[formatPath(shownAt(node, path))] = isFromEnvironment ? 'environment' : 'file'
    }
  }
  walk(value, [])
  return origins
}

/** `upstream: 127.0.0.1:8080` is short for its addresses. */
function shownAt(value: unknown, path: Path): Path {
  return path.at(-1) === 'upstream' && typeof value === 'string' ? [...path, 'addresses'] : path
}
