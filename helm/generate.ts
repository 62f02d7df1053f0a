// Writes what the charts say twice: values.schema.json and the table in README.md from values.yaml and the schema of the
// configuration, the words that the templates need of both, and the copies of rules and dashboards that the chart ships.
// `--check` writes nothing and exits 1 where a file is out of date. Run as `node helm/generate.ts`.

import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { writeOrCheck } from '../docs/generated.ts'
import { jsonSchema } from '../src/config/json-schema.ts'
import type { JsonSchema } from '../src/config/meta.ts'
import { readValues, schemaOf, type Value } from './values.ts'

const here = import.meta.dirname
const root = dirname(here)
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const charts = ['sidegate', 'sidegate-sidecar'] as const

/** Every file, by its path below this folder. */
function files(): Record<string, string> {
  const written: Record<string, string> = {
    'sidegate-sidecar/templates/_generated.tpl': generatedTemplates(),
  }
  for (const chart of charts) {
    const values = readValues(readFileSync(join(here, chart, 'values.yaml'), 'utf8'))
    written[`${chart}/values.schema.json`] = `${JSON.stringify(valuesSchema(chart, values), null, 2)}\n`
    written[`${chart}/README.md`] = withTable(chart, values)
  }
  return { ...written, ...copies() }
}

function generatedTemplates(): string {
  return `{{/* Written by helm/generate.ts; change the source, not this file. */}}

{{/* The keys of the configuration that are true or false. Every other false was \`off\` before Helm read it. */}}
{{- define "sidegate.lib.flags" -}}
${flags().join(',')}
{{- end -}}

{{- define "sidegate.lib.version" -}}
${version}
{{- end -}}
`
}

/** Flags are told from words by their name alone, so no word may share the name of a flag. */
function flags(): string[] {
  const [isFlag, isWord] = [new Set<string>(), new Set<string>()]
  const visit = (shape: JsonSchema): void => {
    for (const [name, inner] of Object.entries(shape.properties ?? {})) {
      if (isBoolean(inner)) isFlag.add(name)
      if (mayBeOff(inner)) isWord.add(name)
      visit(inner)
    }
    for (const inner of [...(shape.anyOf ?? []), ...(shape.items === undefined ? [] : [shape.items])])
      visit(inner)
  }
  visit(jsonSchema())
  const both = [...isFlag].filter((name) => isWord.has(name))
  if (both.length > 0)
    throw new Error(
      `true or false in one place and off in another: ${both.join(', ')}; tell them apart in _config.tpl`,
    )
  return [...isFlag].sort()
}

const isBoolean = (shape: JsonSchema): boolean =>
  shape.type === 'boolean' || (shape.anyOf ?? []).some(isBoolean)
const mayBeOff = (shape: JsonSchema): boolean =>
  wordsOf(shape).includes('off') || (shape.anyOf ?? []).some(mayBeOff)

/** Those of the words that Helm reads as true and false that the shape accepts. */
function wordsOf({ type, enum: words, pattern }: JsonSchema): string[] {
  if (type !== 'string') return []
  return ['on', 'off'].filter((word) =>
    words === undefined ? pattern !== undefined && new RegExp(pattern, 'u').test(word) : words.includes(word),
  )
}

/** The schema of the configuration, as Helm sees one: a bare \`off\` is false by then; the templates write it back. */
function asHelmReads(shape: JsonSchema): JsonSchema {
  const inner: JsonSchema = {
    ...shape,
    ...(shape.properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(shape.properties).map(([name, one]) => [name, asHelmReads(one)]),
          ),
        }),
    ...(shape.items === undefined ? {} : { items: asHelmReads(shape.items) }),
    ...(shape.anyOf === undefined ? {} : { anyOf: shape.anyOf.map(asHelmReads) }),
  }
  const booleans = wordsOf(shape).map((word) => word === 'on')
  if (booleans.length === 0) return inner
  const { description, default: value, ...bare } = inner
  return {
    ...(description === undefined ? {} : { description }),
    anyOf: [bare, { enum: booleans }],
    ...(value === undefined ? {} : { default: value }),
  } as JsonSchema
}

function valuesSchema(chart: string, values: readonly Value[]): object {
  const { $schema, title: _, definitions, ...config } = jsonSchema()
  const own = schemaOf(values, { config: asHelmReads(config) })
  // Helm itself puts \`global\` into the values of every chart, and those of a dependency below its name.
  const fromHelm = {
    global: { type: 'object' },
    ...(chart === 'sidegate' ? { 'sidegate-sidecar': { type: 'object' } } : {}),
  }
  return {
    $schema,
    title: `Values of the chart ${chart}`,
    ...own,
    properties: { ...own.properties, ...fromHelm },
    definitions,
  }
}

function withTable(chart: string, values: readonly Value[]): string {
  const rows = values
    .flatMap(rowsOf)
    .map(({ path, meaning, shown }) => `| \`${path}\` | ${shown} | ${meaning.replaceAll('|', '\\|')} |`)
  const table = ['| value | default | meaning |', '|---|---|---|', ...rows].join('\n')
  const [begin, end] = ['<!-- Written by helm/generate.ts from values.yaml. -->', '<!-- end -->']
  const text = readFileSync(join(here, chart, 'README.md'), 'utf8')
  const [before, after] = [text.indexOf(begin), text.indexOf(end)]
  if (before === -1 || after < before)
    throw new Error(`helm/${chart}/README.md lacks the lines ${begin} and ${end}`)
  return `${text.slice(0, before)}${begin}\n\n${table}\n\n${text.slice(after)}`
}

function rowsOf({
  path,
  meaning,
  value,
  children,
}: Value): { path: string; meaning: string; shown: string }[] {
  if (children.length > 0 && path !== 'config') return children.flatMap(rowsOf)
  const text = JSON.stringify(value)
  return [{ path, meaning, shown: text.length > 40 ? '(see values.yaml)' : `\`${text}\`` }]
}

/** A chart can read no file outside of its folder. */
function copies(): Record<string, string> {
  const found = globSync(['deploy/grafana/*.json', 'deploy/monitoring/rules.yaml'], { cwd: root })
  return Object.fromEntries(
    found.map((path) => [
      path.endsWith('.json') ? `sidegate/files/dashboards/${basename(path)}` : 'sidegate/files/rules.yaml',
      readFileSync(join(root, path), 'utf8'),
    ]),
  )
}

const written = files()
// What is copied goes when its source does.
const orphans = globSync('sidegate/files/**/*.{json,yaml}', { cwd: here }).filter(
  (name) => !(name in written),
)
process.exitCode = writeOrCheck({ folder: here, files: written, orphans, generator: 'helm/generate.ts' })
