// The words about a key, beside its validation: for docs/configuration.md, the JSON Schema and error
// messages.

import type { Entries, Key } from './keys.ts'

/** The part of JSON Schema (draft-07) in use. */
export interface JsonSchema {
  $schema?: string
  $id?: string
  $ref?: string
  title?: string
  description?: string
  type?: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  default?: unknown
  enum?: readonly string[]
  pattern?: string
  minimum?: number
  maximum?: number
  anyOf?: readonly JsonSchema[]
  properties?: Record<string, JsonSchema>
  required?: readonly string[]
  additionalProperties?: false | JsonSchema
  items?: JsonSchema
  minItems?: number
  maxItems?: number
  definitions?: Record<string, JsonSchema>
}

export interface ValueMeta {
  kind: 'value'
  type: string
  remedy: string
  json: JsonSchema
  meaning: string
  innocent?: string
  default?: string | number | boolean | readonly never[]
  derived?: string
}

export interface SectionMeta {
  kind: 'section'
  meaning: string
  /** The section may be left out, and is `undefined` then. */
  isOptional?: true
  entries: Entries
}

export interface ListMeta {
  kind: 'list'
  meaning: string
  remedy: string
  item: Key<unknown>
  min: number
  max: number
}

export interface EitherMeta {
  kind: 'either'
  single: Key<unknown>
  object: Key<unknown>
  remedy: string
}

/** In the contract, not built yet. */
export interface LaterMeta {
  kind: 'later'
}

export type Meta = ValueMeta | SectionMeta | ListMeta | EitherMeta | LaterMeta

/** One of the shapes, or a text with `${NAME}` in it, whose value only the environment knows. */
export function fromEnvironment(...shapes: readonly JsonSchema[]): JsonSchema {
  return { anyOf: [...shapes, { $ref: '#/definitions/fromEnvironment' }] }
}
