// A manifest as plain data in the shapes of Kubernetes: a value that should be a list or a map and is
// something else is left out, so that readers find the expected shape or nothing. Where such a place must be
// written, merge.ts refuses.

/** The content of a manifest: the API of Kubernetes defines more about it than types of ours could. */
// eslint-disable-next-line typescript/no-explicit-any -- YAML holds anything
export type Loose = any

const lists = new Set([
  ...[
    'containers',
    'initContainers',
    'volumes',
    'ports',
    'env',
    'ingress',
    'egress',
    'to',
    'from',
    'metrics',
    'rules',
  ],
  'matchExpressions',
])
const words = new Set(['command', 'args'])
const maps = new Set([
  ...[
    'metadata',
    'spec',
    'selector',
    'matchLabels',
    'podSelector',
    'scaleTargetRef',
    'data',
    'securityContext',
  ],
  ...[
    'resources',
    'limits',
    'requests',
    'lifecycle',
    'preStop',
    'startupProbe',
    'readinessProbe',
    'livenessProbe',
  ],
  ...['resource', 'configMap'],
])
const texts = new Set(['labels', 'annotations'])

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function shaped(value: unknown, key = ''): Loose {
  // An item keeps its place, whatever it is.
  if (lists.has(key))
    return Array.isArray(value) ? value.map((one) => (isMap(one) ? shaped(one) : {})) : undefined
  if (words.has(key)) return Array.isArray(value) ? value : undefined
  if (texts.has(key)) return isMap(value) ? onlyTexts(value) : undefined
  if (maps.has(key) && !isMap(value)) return undefined
  if (Array.isArray(value)) return value.map((one) => shaped(one))
  if (!isMap(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, inner]): [string, unknown] => [name, shaped(inner, name)])
      .filter(([, inner]) => inner !== undefined),
  )
}

function onlyTexts(value: Record<string, unknown>): Record<string, string> {
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return Object.fromEntries(entries)
}
