// YAML text to plain values, with the place of each. It stops everything that a hostile or broken file can do
// to a parser: alias bombs, deep nesting, duplicate keys, several documents, tags, `__proto__`.
//
// It walks the tree by hand rather than by `toJS`: one walk resolves aliases under a budget, interpolates,
// and notes the positions, and its set of keys finds duplicates in linear time where the library compares
// each with each.

import type { Alias, Document, Pair, YAMLMap, YAMLSeq } from 'yaml'
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { ConfigProblem } from '../core/errors.ts'
import type { Environment } from './interpolate.ts'
import { interpolate } from './interpolate.ts'
import type { Path } from './path.ts'
import { formatPath } from './path.ts'
import { inline, show } from './words.ts'

/** Deeper and larger than any real configuration, and small enough for a quick walk. */
const MAX_DEPTH = 32
const MAX_NODES = 100_000
const MAX_WORDS_CHARS = 160

/** The place of a value in the file. */
export interface Place {
  /** Offset of the value, or of its key where it is empty. */
  value: number
  /** Offset of its key; of the value where it has none. */
  key: number
  /** The text of the file, where the environment gave the value. */
  written?: string
}

export interface Reading {
  /** Maps are objects without a prototype; undefined where the text is no YAML. */
  value: unknown
  /** By `formatPath`. */
  places: ReadonlyMap<string, Place>
  problems: readonly ConfigProblem[]
  position: (offset: number) => { line: number; column: number }
}

export function readYaml(text: string, env: Environment): Reading {
  const lineCounter = new LineCounter()
  const position = (offset: number) => {
    // The counter answers 0:0 for an empty text.
    const { line, col } = lineCounter.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const document = parseDocument(text, {
    lineCounter,
    prettyErrors: false,
    stringKeys: true,
    uniqueKeys: false,
    merge: false,
    resolveKnownTags: false,
    logLevel: 'error',
  })
  const problems = syntaxProblems(document, position)
  const blank = problems.length > 0 ? oddBlank(text) : null
  if (blank !== null) problems.splice(0, problems.length, { ...position(blank.offset), ...blank.problem })
  if (problems.length > 0) return { value: undefined, places: new Map(), problems, position }
  const walk = new Walk(env)
  const value = document.contents === null ? null : walk.read(document.contents, [], 0)
  return {
    value,
    places: walk.places,
    problems: walk.problems.map(({ offset, path, message }) => ({
      ...position(offset),
      path: formatPath(path),
      message,
    })),
    position,
  }
}

function syntaxProblems(document: Document.Parsed, position: Reading['position']): ConfigProblem[] {
  const found = [...document.errors, ...document.warnings].map((error) => {
    return { ...position(error.pos[0]), path: '', message: syntaxMessage(error.code, error.message) }
  })
  // Errors after the parser ran out of resources are noise.
  const collapse = document.errors.findIndex((error) => error.code === 'RESOURCE_EXHAUSTION')
  if (collapse !== -1) return found.slice(collapse, collapse + 1)
  // A directive would bring back `yes`, `no`, sexagesimal numbers and merge keys.
  if (document.directives.yaml.version !== '1.2')
    found.push({
      line: 1,
      column: 1,
      path: '',
      message: 'YAML 1.1 is not supported, remove the %YAML directive',
    })
  return found
}

/**
 * A blank in front of a line that is no space, as pages and word processors make it: it is part of a word for
 * YAML, looks like a space, and makes errors in other lines.
 */
function oddBlank(text: string): { offset: number; problem: Pick<ConfigProblem, 'path' | 'message'> } | null {
  const found = /^ *(?:- *)*(?![ \t\r\n])[\p{Zs}\u200B\u2060]/mu.exec(text)
  if (found === null) return null
  const blank = found[0].at(-1)!
  const name = blank.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')
  return {
    offset: found.index + found[0].length - 1,
    problem: { path: '', message: `this line begins with U+${name}, which is no space, write spaces` },
  }
}

function syntaxMessage(code: string, message: string): string {
  if (code === 'MULTIPLE_DOCS') return 'holds more than one YAML document, write one'
  if (code === 'RESOURCE_EXHAUSTION') return `nests too deep, at most ${MAX_DEPTH} levels are possible`
  if (code === 'TAG_RESOLVE_FAILED') return 'YAML tags (!) are not supported, remove it'
  if (code === 'NON_STRING_KEY') return 'a key must be a plain word'
  if (code === 'TAB_AS_INDENT') return 'a tab cannot indent, write spaces'
  // The parser's message quotes the file, which may hold anything.
  const [first = ''] = message.split('\n')
  const words = inline(first, MAX_WORDS_CHARS)
  return `not valid YAML: ${words.charAt(0).toLowerCase()}${words.slice(1)}`
}

interface Found {
  offset: number
  path: Path
  message: string
}

/** Too much to go on; the problem has been noted. */
class TooMuch extends Error {}

/** One walk over a document. */
class Walk {
  readonly places = new Map<string, Place>()
  readonly problems: Found[] = []
  readonly #env: Environment
  readonly #anchors = new Map<string, unknown>()
  #nodes = 0

  constructor(env: Environment) {
    this.#env = env
  }

  /** The value of the whole document. */
  read(node: unknown, path: Path, offset: number): unknown {
    try {
      return this.#value(node, path, offset)
    } catch (error) {
      if (error instanceof TooMuch) return undefined
      throw error
    }
  }

  /** `keyOffset` is the offset of this value's key. */
  #value(node: unknown, path: Path, keyOffset: number): unknown {
    const start = offsetOf(node) ?? keyOffset
    this.#spend(path, start)
    if (isAlias(node)) return this.#alias(node, path, keyOffset)
    if (isMap(node) || isSeq(node) || isScalar(node)) {
      if (node.anchor !== undefined) this.#anchors.set(node.anchor, node)
    }
    const place: Place = { key: keyOffset, value: start }
    this.places.set(formatPath(path), place)
    if (isMap(node)) return this.#map(node, path)
    if (isSeq(node)) return this.#list(node, path)
    if (!isScalar(node)) return null
    // An empty value has no place of its own: the parser puts it on a later line.
    if (node.value === null && node.source === '') place.value = keyOffset
    if (typeof node.value !== 'string') return node.value
    const result = interpolate(node.value, this.#env, node.type === 'PLAIN')
    if ('problem' in result) this.#note(start, path, result.problem)
    else if (result.isChanged) place.written = node.value
    return 'problem' in result ? new Unknown() : result.value
  }

  #map(node: YAMLMap, path: Path): Record<string, unknown> {
    // Without a prototype `__proto__` is a key like any other, and there is no inherited `constructor`.
    const map = Object.create(null) as Record<string, unknown>
    for (const item of node.items as unknown[]) {
      if (!isPair(item)) continue
      const name = keyName(item)
      const keyOffset = offsetOf(item.key) ?? 0
      const inner = [...path, name]
      if (Object.hasOwn(map, name)) this.#note(keyOffset, inner, 'is written twice, remove one')
      else map[name] = this.#value(item.value, inner, keyOffset)
    }
    return map
  }

  #list(node: YAMLSeq, path: Path): unknown[] {
    return node.items.map((item, index) => {
      const inner = [...path, index]
      return this.#value(item, inner, offsetOf(item) ?? offsetOf(node) ?? 0)
    })
  }

  #alias(node: Alias, path: Path, keyOffset: number): unknown {
    const target = this.#anchors.get(node.source)
    if (target === undefined) {
      this.#note(
        offsetOf(node) ?? keyOffset,
        path,
        `there is no anchor &${inline(node.source)} before this alias`,
      )
      return new Unknown()
    }
    return this.#value(target, path, keyOffset)
  }

  #spend(path: Path, offset: number): void {
    this.#nodes++
    // An alias inside its own anchor ends here too.
    if (path.length > MAX_DEPTH)
      this.#stop(offset, [], `nests too deep, at most ${MAX_DEPTH} levels are possible`)
    if (this.#nodes > MAX_NODES)
      this.#stop(offset, [], `holds more than ${MAX_NODES} values, aliases counted as often as they are used`)
  }

  #stop(offset: number, path: Path, message: string): never {
    this.problems.length = 0
    this.#note(offset, path, message)
    throw new TooMuch()
  }

  #note(offset: number, path: Path, message: string): void {
    this.problems.push({ offset, path, message })
  }
}

/** Stands for an unreadable value that has been reported: nothing else about it is. */
export class Unknown {}

function keyName(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : show(pair.key)
}

function offsetOf(node: unknown): number | undefined {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : undefined
}
