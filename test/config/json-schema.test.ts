import { test } from 'tap'
import { parse } from 'yaml'
import { jsonSchema } from '../../src/config/json-schema.ts'
import { parseConfig } from '../../src/config/load.ts'
import type { JsonSchema } from '../../src/config/meta.ts'
import { ConfigError } from '../../src/core/errors.ts'

const schema = jsonSchema()

/** As much of JSON Schema as the generated one uses; an unknown keyword fails the test below. */
function accepts(shape: JsonSchema, value: unknown): boolean {
  if (shape.$ref !== undefined)
    return accepts(schema.definitions?.[shape.$ref.replace('#/definitions/', '')] ?? { anyOf: [] }, value)
  if (shape.anyOf !== undefined && !shape.anyOf.some((one) => accepts(one, value))) return false
  if (shape.enum !== undefined && !shape.enum.includes(value as string)) return false
  switch (shape.type) {
    case 'string':
      return (
        typeof value === 'string' &&
        (shape.pattern === undefined || new RegExp(shape.pattern, 'u').test(value))
      )
    case 'boolean':
      return typeof value === 'boolean'
    case 'integer':
      return (
        Number.isInteger(value) &&
        (value as number) >= (shape.minimum ?? -Infinity) &&
        (value as number) <= (shape.maximum ?? Infinity)
      )
    case 'array':
      return (
        Array.isArray(value) &&
        value.length >= (shape.minItems ?? 0) &&
        value.length <= (shape.maxItems ?? Infinity) &&
        value.every((item) => accepts(shape.items ?? {}, item))
      )
    case 'object':
      return acceptsObject(shape, value)
    default:
      return true
  }
}

function acceptsObject(shape: JsonSchema, value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const properties = shape.properties ?? {}
  return (
    (shape.required ?? []).every((name) => Object.hasOwn(value, name)) &&
    Object.entries(value).every(
      ([name, item]) => Object.hasOwn(properties, name) && accepts(properties[name] ?? {}, item),
    )
  )
}

function isConfig(text: string): boolean {
  try {
    parseConfig(text, 'f', { X: '5s' })
    return true
  } catch (error) {
    if (error instanceof ConfigError) return false
    throw error
  }
}

const inListener = (keys: string): string =>
  `listeners: [{ address: ":1", protocol: http, upstream: "a:1"${keys === '' ? '' : `, ${keys}`} }]`

const accepted = [
  inListener(''),
  `${inListener('')}\nworkers: 64`,
  `${inListener('')}\nworkers: auto`,
  inListener('deadlines: { idle: 5s, write: off, lifetimeJitter: 10%, close: 1.5m }'),
  inListener('deadlines: { idle: "${X}" }'),
  inListener('buffers: { high: 8KiB, low: 4KiB }'),
  inListener(
    'websocket: { mode: frames, ping: { interval: off }, maxMessage: off, maxFragments: off, origins: ["https://a", "null"], compression: strip }',
  ),
  inListener(
    'websocket: { mode: messages, compression: on, slowConsumer: { policy: dropOldest, queue: 64KiB } }',
  ),
  inListener('limits: { connections: 5 }, noDelay: false, tcpKeepAlive: off, name: a-b.c_1'),
  inListener(
    'deadlines: { request: 5s }, http: { maxBody: 1MiB, keepAlive: off, trustForwarded: [10.0.0.0/8, "::1"] }',
  ),
  'listeners: [{ address: "[::1]:1", protocol: tcp, upstream: { addresses: ["unix:/a"] } }]',
  `${inListener('')}\nhealth: { address: ":2" }\nadmin: { address: "localhost:3" }\nlog: { level: debug, format: text, requests: true }`,
  `${inListener('')}\nmemory: { buffered: 64MiB, shedAt: off, refuseAt: 95.5% }`,
  `${inListener('')}\nmemory: { buffered: 25% }`,
]
const refused = [
  '{}',
  '[]',
  'listeners: []',
  'listeners: [{}]',
  'listeners: [{ address: ":1", protocol: http }]',
  'listeners: [{ address: 1, protocol: http, upstream: "a:1" }]',
  'listeners: [{ address: ":1", protocol: udp, upstream: "a:1" }]',
  'listeners: [{ address: ":1", protocol: tcp, upstream: ":1" }]',
  'listeners: [{ address: ":1", protocol: tcp, upstream: { addresses: [] } }]',
  'listeners: [{ address: ":1", protocol: tcp, upstream: { addresses: ["a:1"], healthCheck: { path: "a" } } }]',
  inListener('deadlines: { idle: 5 }'),
  inListener('deadlines: { idle: "5" }'),
  inListener('deadlines: { idel: 5s }'),
  inListener('deadlines: null'),
  inListener('buffers: { high: off }'),
  inListener('buffers: { high: 64KB }'),
  inListener('websocket: { mode: message }'),
  inListener('websocket: { maxFragments: 0 }'),
  inListener('websocket: { ping: { timeout: off } }'),
  inListener('websocket: { origins: [a] }'),
  inListener('websocket: { compression: maybe }'),
  inListener('limits: { connections: off }'),
  inListener('limits: { connections: 1.5 }'),
  inListener('noDelay: "yes"'),
  inListener('name: "a b"'),
  inListener('tls: {}'),
  inListener('http: { maxBody: 5 }'),
  inListener('http: { trustForwarded: [example.com] }'),
  `${inListener('')}\nworkers: 0`,
  `${inListener('')}\nworkers: 65`,
  `${inListener('')}\nworkers: many`,
  `${inListener('')}\nlog: { level: loud }`,
  `${inListener('')}\nadmin: { token: x }`,
]

test('what the JSON Schema accepts or refuses, Sidegate does too', async (t) => {
  for (const text of accepted)
    t.strictSame([accepts(schema, parse(text)), isConfig(text)], [true, true], text)
  for (const text of refused)
    t.strictSame([accepts(schema, parse(text)), isConfig(text)], [false, false], text)
})

test('every object is closed, every key is described, and no keyword is unknown to a draft-07 reader', async (t) => {
  const known = new Set([
    '$schema',
    '$ref',
    'title',
    'description',
    'type',
    'default',
    'enum',
    'pattern',
    'minimum',
    'maximum',
    'anyOf',
    'properties',
    'required',
    'additionalProperties',
    'items',
    'minItems',
    'maxItems',
    'definitions',
  ])
  const visit = (shape: JsonSchema, path: string): void => {
    for (const keyword of Object.keys(shape)) t.ok(known.has(keyword), `${path} ${keyword}`)
    // Headers have the names that a service wants.
    const isMap =
      shape.type === 'object' &&
      typeof shape.additionalProperties === 'object' &&
      shape.additionalProperties.type === 'string'
    if (shape.type === 'object' && !isMap) t.equal(shape.additionalProperties, false, path)
    for (const [name, inner] of Object.entries(shape.properties ?? {})) {
      t.ok(inner.description ?? inner.anyOf?.[0]?.description, `${path}.${name} is described`)
      visit(inner, `${path}.${name}`)
    }
    for (const inner of shape.anyOf ?? []) visit(inner, path)
    if (shape.items !== undefined) visit(shape.items, `${path}[]`)
  }
  t.equal(schema.$schema, 'http://json-schema.org/draft-07/schema#')
  visit(schema, '')
})

test('a default is acceptable to the schema it stands in', async (t) => {
  const visit = (shape: JsonSchema): void => {
    if (shape.default !== undefined) t.ok(accepts(shape, shape.default), JSON.stringify(shape.default))
    for (const inner of [
      ...Object.values(shape.properties ?? {}),
      ...(shape.anyOf ?? []),
      ...(shape.items === undefined ? [] : [shape.items]),
    ])
      visit(inner)
  }
  visit(schema)
})
