// A values.yaml as data: each value with its default and the comment above it, and the shape that follows from both.
// A value without a comment is an error: the table in the README would have a hole.

import { isMap, isScalar, parseDocument, type Pair } from 'yaml'

export interface Value {
  /** `image.tag` */
  path: string
  name: string
  meaning: string
  value: unknown
  children: Value[]
}

interface Shape {
  [keyword: string]: unknown
  properties?: Record<string, Shape>
}

const port = { type: 'integer', minimum: 1, maximum: 65_535 }
/** Where the default does not say it: closed sets of words, lists of known objects, and what only Kubernetes knows. */
const shapes: Readonly<Record<string, Shape>> = {
  mode: { type: 'string', enum: ['gateway', 'companion'] },
  resources: { type: 'object' },
  securityContext: { type: 'object' },
  podSecurityContext: { type: 'object' },
  'image.digest': { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
  'image.pullPolicy': { type: 'string', enum: ['', 'Always', 'IfNotPresent', 'Never'] },
  'networkPolicy.podSelector': { type: 'object' },
  'networkPolicy.upstream.ports': { type: 'array', items: port },
  'podDisruptionBudget.maxUnavailable': {
    anyOf: [
      { type: 'integer', minimum: 0 },
      { type: 'string', pattern: '^[0-9]{1,3}%$' },
    ],
  },
  'ingress.hosts': {
    type: 'array',
    items: {
      type: 'object',
      additionalProperties: false,
      required: ['host'],
      properties: {
        host: { type: 'string' },
        paths: {
          type: 'array',
          items: {
            type: 'object',
            additionalProperties: false,
            required: ['path'],
            properties: {
              path: { type: 'string' },
              pathType: { type: 'string', enum: ['Prefix', 'Exact', 'ImplementationSpecific'] },
              port: { type: 'string' },
            },
          },
        },
      },
    },
  },
  'service.type': { type: 'string', enum: ['ClusterIP', 'LoadBalancer', 'NodePort'] },
  'service.externalTrafficPolicy': { type: 'string', enum: ['', 'Local', 'Cluster'] },
  'service.ports': {
    type: 'array',
    minItems: 1,
    items: {
      type: 'object',
      additionalProperties: false,
      required: ['name', 'port', 'targetPort'],
      properties: { name: { type: 'string' }, port, targetPort: port },
    },
  },
}

export function readValues(text: string): Value[] {
  const document = parseDocument(text)
  if (!isMap(document.contents)) throw new Error('values.yaml is no map')
  return document.contents.items.map((pair, index) =>
    valueOf(pair, '', index === 0 ? (document.commentBefore ?? document.contents?.commentBefore) : null),
  )
}

function valueOf(pair: Pair, prefix: string, commentOfFirst: string | null | undefined): Value {
  const name = String(pair.key)
  const path = `${prefix}${name}`
  const comment = (isScalar(pair.key) ? pair.key.commentBefore : null) ?? commentOfFirst
  const value = isMap(pair.value)
    ? pair.value.toJSON()
    : ((pair.value as { toJSON(): unknown } | null)?.toJSON() ?? null)
  const isOpen = path === 'config' || (path in shapes && shapes[path]?.['properties'] === undefined)
  const { value: node } = pair
  const children =
    isMap(node) && !isOpen
      ? node.items.map((inner, index) => valueOf(inner, `${path}.`, index === 0 ? node.commentBefore : null))
      : []
  // The sections speak by what is in them.
  if (comment === null || comment === undefined) {
    if (children.length === 0) throw new Error(`${path} has no comment in values.yaml`)
  }
  return { path, name, meaning: (comment ?? '').trim().split('\n').at(-1)?.trim() ?? '', value, children }
}

/** A closed object; `known` gives the shapes of what is described elsewhere. */
export function schemaOf(
  values: readonly Value[],
  known: Readonly<Record<string, object>>,
): Shape & { properties: Record<string, Shape> } {
  return {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(values.map((value) => [value.name, shapeOf(value, known)])),
  }
}

function shapeOf({ path, meaning, value, children }: Value, known: Readonly<Record<string, object>>): Shape {
  const described = meaning === '' ? {} : { description: meaning }
  const given = known[path] ?? shapes[path]
  if (given !== undefined) return { ...given, ...described }
  if (children.length > 0) return { ...described, ...schemaOf(children, known) }
  if (Array.isArray(value)) return { ...described, type: 'array' }
  if (typeof value === 'number') return { ...described, type: 'integer', minimum: 0 }
  return { ...described, type: typeof value }
}
