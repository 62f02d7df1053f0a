// A stream of Kubernetes manifests as text and as documents. What nobody changes comes out byte for byte as it came in;
// what is changed keeps its comments, its order, and the way its scalars are written.

import { LineCounter, parseDocument, isAlias, isMap, isScalar, isSeq, type Document, type Node, type Pair, type Scalar, type ScalarTag, type Tags, type YAMLMap, type YAMLSeq } from 'yaml'
import { ConfigError, type ConfigProblem } from '../core/errors.ts'

/** One document of the stream, from its `---` to the next. */
export interface Part {
  readonly text: string
  /** Lines of the stream before it. */
  readonly linesBefore: number
  readonly document: Document
  readonly lines: LineCounter
  isChanged: boolean
}

/** One object of Kubernetes: a document, or an item of a List. */
export interface Resource {
  readonly part: Part
  readonly node: YAMLMap
  readonly kind: string
  readonly name: string
  readonly namespace: string | null
}

// A number that is not touched is written as it was: `0644` is octal to Kubernetes and decimal to YAML 1.2.
const asWritten = (tags: Tags): Tags =>
  tags.map((tag) => {
    if (typeof tag !== 'object' || tag.collection !== undefined || !/:(int|float)$/.test(tag.tag)) return tag
    const { stringify } = tag
    return { ...tag, stringify: (item, ...rest) => item.source ?? stringify?.(item, ...rest) ?? String(item.value) } satisfies ScalarTag
  })

/** Throws a ConfigError with every syntax error of the stream. */
export function readManifest(text: string, fileName: string): Part[] {
  const parts: Part[] = []
  const problems: ConfigProblem[] = []
  let linesBefore = 0
  // At the start of a line `---` begins a document whatever came before, a block of text included.
  for (const piece of text.split(/^(?=---(?:[ \t\r\n]|$))/m)) {
    const lines = new LineCounter()
    const document = parseDocument(piece, { lineCounter: lines, customTags: asWritten, keepSourceTokens: false, prettyErrors: false })
    const part: Part = { text: piece, linesBefore, document, lines, isChanged: false }
    for (const error of document.errors) problems.push(problemAt(part, error.pos[0], '', `is not YAML: ${lowerFirst(error.message)}`))
    parts.push(part)
    linesBefore += piece.split('\n').length - 1
  }
  if (problems.length > 0) throw new ConfigError(fileName, problems)
  return parts
}

export function problemAt({ lines, linesBefore }: Part, offset: number, path: string, message: string): ConfigProblem {
  const { line, col } = lines.linePos(offset)
  return { line: line + linesBefore, column: col, path, message }
}

export function writePart(part: Part): string {
  if (!part.isChanged) return part.text
  const { text, document } = part
  return document.toString({
    lineWidth: 0,
    indent: /:[ \t]*\n( {2,8})\S/.exec(text)?.[1]?.length ?? 2,
    // As in what is there: whether lists are indented, and braces have a space inside.
    indentSeq: !/^( *)[^\s#-][^\n]*:[ \t]*\n\1- /m.test(text),
    flowCollectionPadding: /[{[] /.test(text),
  })
}

/** Every object with a kind and a name, those in Lists one by one. */
export function resources(parts: readonly Part[]): Resource[] {
  return parts.flatMap((part) => resourcesOf(part, part.document.contents))
}

function resourcesOf(part: Part, node: unknown): Resource[] {
  if (!isMap(node)) return []
  const items = node.get('items')
  const kind = textOf(node, 'kind') ?? ''
  if (kind.endsWith('List') && isSeq(items)) return items.items.flatMap((item) => resourcesOf(part, item))
  const metadata = node.get('metadata')
  if (kind === '' || !isMap(metadata)) return []
  const name = textOf(metadata, 'name') ?? textOf(metadata, 'generateName') ?? ''
  return [{ part, node, kind, name, namespace: textOf(metadata, 'namespace') }]
}

export function titleOf({ kind, name }: Resource): string {
  return `${kind}/${name}`
}

export function textOf(map: YAMLMap, key: string): string | null {
  const value = map.get(key)
  return typeof value === 'string' ? value : null
}

/** The value as plain data, aliases resolved; undefined where there is none. */
export function plain(part: Part, node: unknown): unknown {
  if (typeof node !== 'object' || node === null || !('toJS' in node)) return node ?? undefined
  return (node as YAMLMap).toJS(part.document)
}

/** A map or list to change in place. What is shared by an alias cannot be: the change would show elsewhere, too. */
export function own<T extends 'map' | 'list'>(resource: Resource, map: YAMLMap, key: string, type: T): (T extends 'map' ? YAMLMap : YAMLSeq) | null {
  const node = map.get(key, true)
  if (node === undefined || (isScalar(node) && node.value === null)) return null
  if (type === 'map' ? isMap(node) : isSeq(node)) return node as never
  const problem = isAlias(node) ? `${key} is an alias (*${node.source}), write it out` : `${key} is not a ${type}, write one`
  throw new ConfigError('', [problemAt(resource.part, node.range?.[0] ?? 0, titleOf(resource), problem)])
}

/** Puts a new key at a place of its own. A comment above the first key belongs to that key, though YAML gives it to the map. */
export function insertKey(map: YAMLMap, index: number, key: Pair<Scalar, Node>): void {
  const first = map.items[0]?.key
  if (index === 0 && isScalar(first) && map.commentBefore !== undefined && map.commentBefore !== null) {
    first.commentBefore = map.commentBefore
    map.commentBefore = null
  }
  map.items.splice(index, 0, key)
}

/** Sets a scalar where it stands, with the comment that belongs to it. */
export function setScalar(map: YAMLMap, key: string, value: string | number): void {
  const node = map.get(key, true)
  if (!isScalar(node)) return map.set(key, value)
  node.value = value
  delete node.source
  delete node.format
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
