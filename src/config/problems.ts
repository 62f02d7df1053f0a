// From a refusal of the schema to a problem that an operator can act on: the place, the value, and what to
// write instead. Every problem of a file is found, not only the first.

import * as v from 'valibot'
import type { ConfigProblem } from '../core/errors.ts'
import { checkMeaning } from './checks.ts'
import type { Finding } from './finding.ts'
import { isMap } from './keys.ts'
import type { Meta } from './meta.ts'
import type { Path } from './path.ts'
import { formatPath } from './path.ts'
import type { Place, Reading } from './reader.ts'
import { Unknown } from './reader.ts'
import type { Config } from './schema.ts'
import { configKey } from './schema.ts'
import { unknownKey } from './unknown-keys.ts'
import { inline } from './words.ts'

/** A file of a hundred problems is another kind of file; the rest is only counted. */
const MAX_PROBLEMS = 100

export function validate(reading: Reading): { config: Config } | { problems: ConfigProblem[] } {
  if (reading.places.size === 0 && reading.problems.length > 0) return { problems: sorted(reading.problems) }
  const { value } = reading
  if (value === null) return { problems: [whole('is empty, write at least one listener')] }
  if (value instanceof Unknown || (value === undefined && reading.problems.length > 0))
    return { problems: sorted(reading.problems) }
  if (!isMap(value)) return { problems: [whole('is not a map of keys, write keys such as listeners:')] }
  const unknown = takeUnknownKeys(configKey.meta, value, [])
  const result = v.safeParse(configKey, value)
  const findings = [...unknown, ...(result.issues ?? []).flatMap(findingsOf), ...checkMeaning(value)]
  const problems = [...reading.problems, ...findings.map((finding) => locate(finding, reading))]
  return result.success && problems.length === 0 ? { config: result.output } : { problems: sorted(problems) }
}

function whole(message: string): ConfigProblem {
  return { line: 1, column: 1, path: '', message }
}

function findingsOf(issue: v.BaseIssue<unknown>): Finding[] {
  const items = issue.path ?? []
  // An unreadable value has been reported already, with everything inside it.
  if (issue.input instanceof Unknown || items.some((item) => item.input instanceof Unknown)) return []
  return [
    {
      path: items.map(({ key }) => key as string | number),
      message: issue.message,
      isKey: issue.message.startsWith('not supported yet'),
    },
  ]
}

/** Removes unknown keys from the value, so that the schema does not report them again. */
function takeUnknownKeys(meta: Meta, value: unknown, path: Path): Finding[] {
  if (meta.kind === 'either') return takeUnknownKeys(meta.object.meta, value, path)
  if (meta.kind === 'list' && Array.isArray(value))
    return value.flatMap((item, index) => takeUnknownKeys(meta.item.meta, item, [...path, index]))
  if (meta.kind !== 'section' || !isMap(value)) return []
  return Object.keys(value).flatMap((name) => {
    const key = Object.hasOwn(meta.entries, name) ? meta.entries[name] : undefined
    if (key !== undefined) return takeUnknownKeys(key.meta, value[name], [...path, name])
    delete value[name]
    return [{ path: [...path, name], message: unknownKey(name, meta.entries), isKey: true }]
  })
}

/**
 * The finding with its line and column; one that is not in the file gets those of the nearest key around it.
 */
export function locate(finding: Finding, reading: Reading): ConfigProblem {
  const path = formatPath(finding.path)
  const exact = reading.places.get(path)
  const message =
    exact?.written === undefined
      ? finding.message
      : `${finding.message} (the value comes from ${inline(exact.written)})`
  const offset =
    exact === undefined
      ? nearest(finding.path, reading.places)
      : finding.isKey === true
        ? exact.key
        : exact.value
  return { ...reading.position(offset), path, message }
}

function nearest(path: Path, places: ReadonlyMap<string, Place>): number {
  for (let length = path.length - 1; length >= 0; length--) {
    const place = places.get(formatPath(path.slice(0, length)))
    if (place !== undefined) return typeof path[length - 1] === 'number' ? place.value : place.key
  }
  return 0
}

/** By position; problems after the first hundred are only counted. */
export function sorted(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const unique = new Map(problems.map((one) => [`${one.line}:${one.column} ${one.path} ${one.message}`, one]))
  const all = [...unique.values()].sort((one, other) => one.line - other.line || one.column - other.column)
  if (all.length <= MAX_PROBLEMS) return all
  const kept = all.slice(0, MAX_PROBLEMS)
  const last = kept.at(-1) ?? whole('')
  return [
    ...kept,
    { ...last, path: '', message: `and ${all.length - MAX_PROBLEMS} more problems after this` },
  ]
}
