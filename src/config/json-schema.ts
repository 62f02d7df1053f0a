// The JSON Schema (draft-07) of the configuration file, for editors and for checks of files without Sidegate.
// It covers shapes; ranges of durations and relations of two keys are left to `sidegate check`.

import type { Key } from './keys.ts'
import type { JsonSchema, Meta } from './meta.ts'
import { configKey } from './schema.ts'

export function jsonSchema(): JsonSchema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Sidegate configuration',
    ...shapeOf(configKey.meta),
    definitions: {
      fromEnvironment: {
        description: 'A text with ${NAME} in it, which is taken from the environment.',
        type: 'string',
        pattern: String.raw`\$\{[A-Za-z_][A-Za-z0-9_]*\}`,
      },
    },
  }
}

function shapeOf(meta: Meta): JsonSchema {
  switch (meta.kind) {
    case 'value':
      return {
        description: describe(meta),
        ...meta.json,
        ...(meta.default === undefined ? {} : { default: meta.default }),
      }
    case 'list':
      return {
        description: meta.meaning,
        type: 'array',
        items: shapeOf(meta.item.meta),
        ...(meta.min > 0 ? { minItems: meta.min } : {}),
        maxItems: meta.max,
      }
    case 'either':
      return { anyOf: [shapeOf(meta.single.meta), shapeOf(meta.object.meta)] }
    case 'section': {
      const entries = Object.entries(meta.entries).filter(([, key]) => key.meta.kind !== 'later')
      const required = entries.filter(([, key]) => !isOptional(key)).map(([name]) => name)
      return {
        description: meta.meaning,
        type: 'object',
        additionalProperties: false,
        ...(required.length > 0 ? { required } : {}),
        properties: Object.fromEntries(entries.map(([name, key]) => [name, shapeOf(key.meta)])),
      }
    }
    case 'later':
      return {}
  }
}

function describe(meta: Extract<Meta, { kind: 'value' }>): string {
  const innocent = meta.innocent === undefined ? '' : ` Spares: ${meta.innocent}`
  return `${meta.meaning}${innocent}${meta.derived === undefined ? '' : ` Default: ${meta.derived}.`}`
}

export function isOptional(key: Key<unknown, string>): boolean {
  return key.type === 'optional'
}
