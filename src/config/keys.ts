// The vocabulary of schema.ts: a kind of key each for durations, sizes, choices, sections, lists. A key has
// its valibot schema and its words for the documentation and the JSON Schema in one place. Its suffix puts
// the unit into the name of the result: `idle: duration(..)` becomes `idleMs: number`, in the type as at run
// time.

import * as v from 'valibot'
import type { JsonSchema, Meta, ValueMeta } from './meta.ts'
import { fromEnvironment } from './meta.ts'
import type { Range } from './units.ts'
import {
  formatDuration,
  formatPercent,
  formatSize,
  MAX_DURATION_MS,
  OFF,
  parseDuration,
  parsePercent,
  parseSize,
} from './units.ts'
import type { Parsed } from './words.ts'
import { oneOf, show, suggest } from './words.ts'

/** One key of the file: `Output` is the type of its result, `Suffix` is appended to its name. */
export type Key<Output, Suffix extends string = ''> = v.GenericSchema<unknown, Output> & {
  readonly suffix: Suffix
  readonly meta: Meta
}
export type Entries = Readonly<Record<string, Key<unknown, string>>>
/** The result of a section: units in the names, and without the keys that are not built yet. */
export type Section<E extends Entries> = {
  -readonly [
    K in keyof E & string as E[K]['suffix'] extends 'later' ? never : `${K}${E[K]['suffix']}`
  ]: v.InferOutput<E[K]>
}

/** The words about a value. Without `default` it is required; with `derived` other keys give its default. */
export interface About {
  /** Its purpose, in one sentence. */
  meaning: string
  /** The innocents that it must not harm, where that matters. */
  innocent?: string
  /** As it would be written. */
  default?: string | number | boolean | readonly never[]
  /** The rule for the default, in words; the result is then `undefined` where the file has no value. */
  derived?: string
}

interface Kind<T> {
  /** For the table of the documentation. */
  type: string
  /** The remedy where the value is missing. */
  remedy: string
  json: JsonSchema
  read: (input: unknown) => Parsed<T>
}

/** A key whose value is read by one function; every other kind of value is made of this. */
export function value<T, S extends string = ''>(kind: Kind<T>, about: About, suffix = '' as S): Key<T, S> {
  const schema = v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      const parsed: Parsed<T> =
        dataset.value === null ? { problem: `is empty, ${kind.remedy}` } : kind.read(dataset.value)
      if ('value' in parsed) return parsed.value
      addIssue({ message: parsed.problem })
      return NEVER
    }),
  )
  const { read: _, ...described } = kind
  const meta: ValueMeta = { kind: 'value', ...described, ...about }
  return key(isRequired(about) ? schema : v.optional(schema, about.default), meta, suffix) as Key<T, S>
}

function isRequired(about: About): boolean {
  return about.default === undefined && about.derived === undefined
}

function key<S extends string>(
  schema: v.GenericSchema<unknown, unknown>,
  meta: Meta,
  suffix: S,
): Key<unknown, S> {
  return Object.assign(schema, { meta, suffix })
}

/** The same key, with `change` applied to its result. */
export function changed<T, U, S extends string>(from: Key<T, S>, change: (value: T) => U): Key<U, S> {
  return key(v.pipe(from, v.transform(change)), from.meta, from.suffix) as Key<U, S>
}

/**
 * A key whose default is derived from other keys: `undefined` stands for "not written" until the section is
 * complete.
 */
export function derived<T, S extends string>(from: Key<T, S>): Key<T | undefined, S> {
  return from
}

type Bounds = Partial<Range>

/** Milliseconds, 1ms to 24d; `off` is infinity unless it is not allowed. */
export function duration(about: About, bounds: Bounds = {}): Key<number, 'Ms'> {
  const range = { min: 1, max: MAX_DURATION_MS, isOffAllowed: true, ...bounds }
  const kind = {
    ...quantityKind('duration', range, '(ms|s|m|h|d)'),
    remedy: 'write a duration such as 30s',
    read: (input: unknown) => parseDuration(input, range),
  }
  const isNarrowed = bounds.min !== undefined || bounds.max !== undefined
  if (isNarrowed) kind.type += `, ${formatDuration(range.min)} to ${formatDuration(range.max)}`
  return value(kind, about, 'Ms')
}

/** Bytes; `off` is infinity where it is allowed. */
export function size(about: About, range: Range): Key<number, 'Bytes'> {
  const kind = {
    ...quantityKind('size', range, '(B|KiB|MiB|GiB)'),
    remedy: 'write a size such as 64KiB',
    read: (input: unknown) => parseSize(input, range),
  }
  kind.type += `, ${formatSize(range.min)} to ${formatSize(range.max)}`
  return value(kind, about, 'Bytes')
}

/** A fraction; `off` is 0. */
export function percent(about: About, range: Range): Key<number> {
  const kind = {
    ...quantityKind('percentage', range, '%'),
    remedy: 'write a percentage such as 10%',
    read: (input: unknown) => parsePercent(input, range),
  }
  kind.type += `, up to ${formatPercent(range.max)}`
  return value(kind, about)
}

/** Bytes, or a share of an amount that is known only at run time; `off` is infinitely many bytes. */
export function sizeOrShare(about: About, range: Range): Key<{ bytes: number } | { share: number }> {
  const share = { min: 0.01, max: 1, isOffAllowed: false }
  const number = String.raw`[0-9]{1,15}(\.[0-9]{1,6})?(B|KiB|MiB|GiB|%)`
  const isShare = (input: unknown): input is string => typeof input === 'string' && input.endsWith('%')
  return value(
    {
      type: `size, ${formatSize(range.min)} to ${formatSize(range.max)}, or percentage, up to 100%${range.isOffAllowed ? ', or `off`' : ''}`,
      remedy: 'write a percentage such as 25% or a size such as 64MiB',
      json: fromEnvironment({
        type: 'string',
        pattern: range.isOffAllowed ? `^(off|${number})$` : `^${number}$`,
      }),
      read(input): Parsed<{ bytes: number } | { share: number }> {
        if (!isShare(input)) {
          const bytes = parseSize(input, range)
          return 'value' in bytes ? { value: { bytes: bytes.value } } : bytes
        }
        const parsed = parsePercent(input, share)
        return 'value' in parsed ? { value: { share: parsed.value } } : parsed
      },
    },
    about,
  )
}

function quantityKind(name: string, range: Range, unit: string): { type: string; json: JsonSchema } {
  const number = String.raw`[0-9]{1,15}(\.[0-9]{1,6})?${unit}`
  const pattern = range.isOffAllowed ? `^(off|${number})$` : `^${number}$`
  return {
    type: range.isOffAllowed ? `${name} or \`off\`` : name,
    json: fromEnvironment({ type: 'string', pattern }),
  }
}

/** A whole number; `off` is infinity where it is allowed. */
export function count(about: About, range: Range): Key<number> {
  const must = `a whole number, ${range.min} to ${range.max}${range.isOffAllowed ? ', or off' : ''}`
  const json: JsonSchema[] = [{ type: 'integer', minimum: range.min, maximum: range.max }]
  if (range.isOffAllowed) json.push({ type: 'string', enum: ['off'] })
  return value(
    {
      type: `whole number, ${range.min} to ${range.max}${range.isOffAllowed ? ', or `off`' : ''}`,
      remedy: `write ${must}`,
      json: fromEnvironment(...json),
      read(input) {
        if (input === 'off' && range.isOffAllowed) return { value: OFF }
        if (input === 0 && range.isOffAllowed) return { problem: 'got 0, write off to disable it' }
        const isGood =
          typeof input === 'number' && Number.isInteger(input) && input >= range.min && input <= range.max
        return isGood ? { value: input } : { problem: `got ${show(input)}, write ${must}` }
      },
    },
    about,
  )
}

/** One of some words. */
export function choice<const W extends string>(about: About, words: readonly W[]): Key<W> {
  return value<W>(
    {
      type: words.map((word) => `\`${word}\``).join(' or '),
      remedy: `write ${oneOf(words)}`,
      json: fromEnvironment({ type: 'string', enum: words }),
      read(input) {
        const found = words.find((word) => word === input)
        if (found !== undefined) return { value: found }
        const meant = typeof input === 'string' ? suggest(input, words) : null
        return {
          problem: `got ${show(input)}, write ${oneOf(words)}${meant !== null && words.length > 2 ? `; did you mean ${meant}?` : ''}`,
        }
      },
    },
    about,
  )
}

export function flag(about: About): Key<boolean> {
  return value(
    {
      type: '`true` or `false`',
      remedy: 'write true or false',
      json: fromEnvironment({ type: 'boolean' }, { enum: ['on', 'off'] }),
      read: (input) => {
        if (typeof input === 'boolean') return { value: input }
        if (input === 'on' || input === 'off') return { value: input === 'on' }
        return { problem: `got ${show(input)}, write true or false` }
      },
    },
    about,
  )
}

/** A key whose feature is not built (yet): refused, not documented, and absent from the result. */
export function later(message = 'not supported yet, remove this key'): Key<never, 'later'> {
  const schema = v.pipe(
    v.unknown(),
    v.rawTransform<unknown, never>(({ addIssue, NEVER }) => {
      addIssue({ message })
      return NEVER
    }),
  )
  return key(v.optional(schema), { kind: 'later' }, 'later') as Key<never, 'later'>
}

/** A map of keys. It may be left out if none of them is required. */
export function section<const E extends Entries>(meaning: string, entries: E): Key<Section<E>> {
  const isComplete = Object.values(entries).every((entry) => entry.type === 'optional')
  const schema = v.pipe(
    v.custom<Record<string, unknown>>(isMap, (issue) =>
      issue.input === null
        ? 'is empty, give it keys or remove it'
        : `got ${show(issue.input)}, write a map of keys, ${keysFor(issue.input, entries)}`,
    ),
    v.strictObject(entries, (issue) => missing(entries, issue)),
    v.transform((read) => named(entries, read)),
  )
  return key(isComplete ? v.optional(schema, {}) : schema, { kind: 'section', meaning, entries }, '') as Key<
    Section<E>
  >
}

/** For `ping: off` the key inside that takes the word; else all keys. */
function keysFor(input: unknown, entries: Entries): string {
  const names = possible(entries)
  const off = input === 'off' ? names.filter((name) => canBeOff(entries[name]!.meta)) : []
  if (off.length > 0) return `of which ${oneOf(off)} can be off`
  return `possible are ${names.join(', ')}${input === 'off' ? ', or remove it' : ''}`
}

function canBeOff(meta: Meta): boolean {
  if (meta.kind === 'either') return canBeOff(meta.single.meta)
  return meta.kind === 'value' && meta.type.includes('`off`')
}

/** A section with required keys that may itself be left out: it is `undefined` then. */
export function optional<T>(from: Key<T>): Key<T | undefined> {
  const meta: Meta = from.meta.kind === 'section' ? { ...from.meta, isOptional: true } : from.meta
  return key(v.optional(from), meta, '') as Key<T | undefined>
}

/** The names of the keys that a file may hold. */
export function possible(entries: Entries): string[] {
  return Object.keys(entries).filter((name) => entries[name]?.suffix !== 'later')
}

export function isMap(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}

function missing(entries: Entries, issue: v.BaseIssue<unknown>): string {
  const name = String(issue.path?.[0]?.key)
  const meta = Object.hasOwn(entries, name) ? entries[name]?.meta : undefined
  return meta?.kind === 'value' || meta?.kind === 'list' || meta?.kind === 'either'
    ? `is missing, ${meta.remedy}`
    : 'is missing'
}

function named(entries: Entries, read: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(entries)
      .filter(([, one]) => one.suffix !== 'later')
      .map(([name, one]) => [name + one.suffix, read[name]]),
  )
}

/** `remedy` says what to write, where the list is missing or wrong. */
export interface ListRules {
  min: number
  max: number
  remedy: string
}

/** A list of at least `min` items; it may be left out if that is 0. */
export function list<T>(meaning: string, item: Key<T>, rules: ListRules): Key<T[]> {
  const schema = v.pipe(
    v.array(
      item,
      (issue) =>
        `${issue.input === null ? 'is empty' : `got ${show(issue.input)}`}, ${rules.remedy}${isMap(issue.input) ? ', each behind a dash' : ''}`,
    ),
    v.minLength(rules.min, `got ${rules.min === 1 ? 'an empty list' : 'too few'}, ${rules.remedy}`),
    v.maxLength(rules.max, (issue) => `got ${issue.received} items, at most ${rules.max} are possible`),
  )
  return key(
    rules.min === 0 ? v.optional(schema, []) : schema,
    { kind: 'list', meaning, item, ...rules },
    '',
  ) as Key<T[]>
}

/** A single value, or a section where a map is written. It may be left out if the value may. */
export function either<T>(single: Key<T>, object: Key<T>): Key<T> {
  const { meta } = single
  const [remedy, fallback] = meta.kind === 'value' ? [meta.remedy, meta.default] : ['']
  const [first = 'none'] = object.meta.kind === 'section' ? possible(object.meta.entries) : []
  const neither = v.custom<T>(
    () => false,
    (issue) => `got ${show(issue.input)}, ${remedy}, or a map with ${first}`,
  )
  const schema = v.lazy((input) => (isMap(input) ? object : Array.isArray(input) ? neither : single))
  return key(
    fallback === undefined ? schema : v.optional(schema, fallback),
    { kind: 'either', single, object, remedy },
    '',
  ) as Key<T>
}
