// A stream of Kubernetes manifests as text, and its objects with the places of their content. It writes
// nothing: a change of an object adds edits to the text, so that everything else stays byte for byte.

import {
  LineCounter,
  parseAllDocuments,
  isAlias,
  isMap,
  isSeq,
  visit,
  type Document,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { shaped, type Loose } from './plain.ts'
import { ConfigError, type ConfigProblem } from '../core/errors.ts'

export interface Stream {
  /** Ends with a line end, whether the file does or not. */
  readonly text: string
  readonly eol: string
  readonly endsOpen: boolean
  readonly documents: readonly Document.Parsed[]
  readonly lines: LineCounter
}

/** One object of Kubernetes: a document, or an item of a List. */
export interface Resource {
  readonly stream: Stream
  readonly document: Document.Parsed
  readonly node: YAMLMap
  /** Its place, where it is an item. */
  readonly list: { readonly items: YAMLSeq; readonly index: number } | null
  readonly kind: string
  readonly name: string
  readonly namespace: string | null
  /** The object as plain data, aliases and merge keys resolved, in the shapes of Kubernetes. */
  readonly object: Loose
}

/** Throws a ConfigError with every syntax error of the stream. */
export function readStream(text: string, fileName: string): Stream {
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const endsOpen = text !== '' && !text.endsWith('\n')
  const whole = endsOpen ? text + eol : text
  const lines = new LineCounter()
  const parsed = parseAllDocuments(whole, {
    lineCounter: lines,
    keepSourceTokens: true,
    prettyErrors: false,
    merge: true,
  })
  const documents = Array.isArray(parsed) ? (parsed as Document.Parsed[]) : []
  const stream = { text: whole, eol, endsOpen, documents, lines }
  const problems = documents.flatMap((document) => problemsOf(stream, document))
  if (problems.length > 0) throw new ConfigError(fileName, problems)
  return stream
}

function problemsOf(stream: Stream, document: Document.Parsed): ConfigProblem[] {
  // A fault is never in the line end that the file does not have.
  const end = stream.text.length - (stream.endsOpen ? stream.eol.length : 0)
  const problems = document.errors.map((error) =>
    problemAt(stream, Math.min(error.pos[0], end), '', `is not YAML: ${lowerFirst(error.message)}`),
  )
  visit(document, {
    Alias(_, node) {
      if (node.resolve(document) !== undefined) return
      const message = `is not YAML: *${node.source} has no anchor &${node.source} before it in its document; anchors end with their document, write it out`
      problems.push(problemAt(stream, node.range?.[0] ?? 0, '', message))
    },
  })
  return problems
}

function problemAt({ lines }: Stream, offset: number, path: string, message: string): ConfigProblem {
  const { line, col } = lines.linePos(offset)
  return { line, column: col, path, message }
}

/** The text of the file: without the line end that it did not have. */
export function asFile({ endsOpen, eol }: Stream, text: string): string {
  return endsOpen && text.endsWith(eol) ? text.slice(0, -eol.length) : text
}

/** Every object with a kind and a name, those in Lists one by one. */
export function resources(stream: Stream): Resource[] {
  return stream.documents.flatMap((document) => resourcesOf(stream, document, document.contents, null))
}

function resourcesOf(
  stream: Stream,
  document: Document.Parsed,
  node: unknown,
  list: Resource['list'],
): Resource[] {
  if (!isMap(node)) return []
  const items = node.get('items')
  const kind = wordOf(node.get('kind')) ?? ''
  if (kind.endsWith('List') && isSeq(items))
    return items.items.flatMap((item, index) => resourcesOf(stream, document, item, { items, index }))
  const metadata = node.get('metadata')
  if (kind === '' || !isMap(metadata)) return []
  const name = wordOf(metadata.get('name')) ?? wordOf(metadata.get('generateName')) ?? ''
  const namespace = wordOf(metadata.get('namespace'))
  return [{ stream, document, node, list, kind, name, namespace, object: plain(stream, document, node) }]
}

function plain(stream: Stream, document: Document.Parsed, node: YAMLMap): Loose {
  try {
    return shaped(node.toJS(document))
  } catch (error) {
    // Such as aliases that would grow without end.
    const message = `cannot be read: ${lowerFirst(error instanceof Error ? error.message : String(error))}`
    throw new ConfigError('', [problemAt(stream, node.range?.[0] ?? 0, '', message)])
  }
}

export function titleOf({ kind, name }: { kind: string; name: string }): string {
  return `${kind}/${name}`
}

/**
 * The resources of a file, for the end of a sentence about a missing one; `none` where it holds nothing of
 * Kubernetes.
 */
export function butFound(all: readonly Resource[], none: string): string {
  return all.length === 0 ? none : `but ${all.map(titleOf).slice(0, 10).join(', ')}`
}

/** Fails on unusable content of the operator's: with the place and the remedy. */
export function fail(resource: Resource, message: string, node?: unknown): never {
  const offset = (node as { range?: readonly number[] } | undefined)?.range?.[0] ?? resource.node.range?.[0]
  throw new ConfigError('', [problemAt(resource.stream, offset ?? 0, titleOf(resource), message)])
}

/** Describes a node in the place of a map or a list; null where it is an ordinary one. */
export function oddity(node: unknown, wanted: 'map' | 'list'): string | null {
  if (isAlias(node)) return `is an alias (*${node.source}), write it out`
  if (wanted === 'map' ? isMap(node) : isSeq(node)) return null
  return `is not a ${wanted}, write one`
}

function wordOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
