// The value of a key in force, as `GET /config` reports it, in words.

type Tree = Readonly<Record<string, unknown>>

/** The value for the listener of that name, or else of the file; null where there is no such key. */
export function configValue(config: unknown, listener: string, key: string): string | null {
  const { listeners } = config as { listeners?: readonly Tree[] }
  const own = listeners?.find(({ name }) => name === listener)
  return textOf(at(own, key) ?? at(config, key))
}

/** The value under `key`, whose names are joined by dots; undefined where there is none. */
export function at(tree: unknown, key: string): unknown {
  return key
    .split('.')
    .reduce<unknown>(
      (inner, name) => (typeof inner === 'object' ? (inner as Tree | null)?.[name] : undefined),
      tree,
    )
}

function textOf(value: unknown): string | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return value.length === 0 ? 'empty' : value.map(textOf).join(', ')
  return Object.entries(value)
    .map(([name, inner]) => `${name}: ${textOf(inner) ?? '-'}`)
    .join(', ')
}
