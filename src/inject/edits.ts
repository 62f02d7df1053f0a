// Edits of a text at places of its YAML: pairs and items inserted or removed as whole lines (in braces and
// brackets: with their comma), and scalars replaced in place. An insertion can be removed with no byte left
// over, and no byte outside it is touched.

import { isMap, isScalar, isSeq, stringify, type Node, type Pair, type YAMLMap, type YAMLSeq } from 'yaml'
import type { Stream } from './stream.ts'

export interface Edit {
  at: number
  remove: number
  insert: string
  /** The column of the insertion: of two at one place the deeper one belongs to the lines above. */
  column?: number
}

/** The visible style of a document. */
export interface Style {
  eol: string
  isJson: boolean
  options: { lineWidth: 0; indent: number; indentSeq: boolean; flowCollectionPadding: boolean }
}

export function styleOf({ text: whole, eol }: Stream, [from, to]: readonly [number, number, number]): Style {
  const text = whole.slice(from, to)
  return {
    eol,
    isJson: /^(?:---)?\s*\{\s*"/.test(text),
    options: {
      lineWidth: 0,
      indent: stepOf(text),
      indentSeq: !/^( *)[^\s#-][^\n]*:[ \t]*\r?\n\1- /m.test(text),
      flowCollectionPadding: /[{[] /.test(text),
    },
  }
}

/** The indent of the first map inside another one. */
function stepOf(text: string): number {
  for (const [, lead = '', child = ''] of text.matchAll(
    /^( *(?:- +)*)[^\s#-][^\n]*:[ \t]*\r?\n( +)[^\s#-]/gm,
  ))
    if (child.length > lead.length) return child.length - lead.length
  return 2
}

/** Insertions at one place and one column keep their order. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = ''
  let done = 0
  for (const { at, remove, insert } of [...edits].sort(byPlace)) {
    result += text.slice(done, Math.max(done, at)) + insert
    done = Math.max(done, at + remove)
  }
  return result + text.slice(done)
}

function byPlace(one: Edit, other: Edit): number {
  return one.at - other.at || (other.column ?? 0) - (one.column ?? 0)
}

/** The end of the last byte that belongs to the node, without following comments. */
function contentEnd(node: unknown): number {
  const { range, flow } = node as { range: [number, number, number]; flow?: boolean }
  if (flow === true) return range[1]
  if (isMap(node)) return pairEnd(node.items.at(-1))
  if (isSeq(node)) {
    const last = node.items.at(-1)
    return isEmptyScalar(last) ? (itemStart(node, node.items.length - 1) ?? range[0]) + 1 : contentEnd(last)
  }
  return range[1]
}

function pairEnd(pair: Pair | undefined): number {
  return isEmptyScalar(pair?.value) ? colonEnd(pair) : contentEnd(pair?.value)
}

/** An empty value: `key:`. */
export function isEmptyScalar(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.source === '')
}

/** The position after the `:` of a pair. */
function colonEnd(pair: Pair | undefined): number {
  const { sep } =
    (pair as unknown as { srcToken?: { sep?: { type: string; offset: number }[] } }).srcToken ?? {}
  const colon = sep?.find(({ type }) => type === 'map-value-ind')
  return colon === undefined ? contentEnd(pair?.key) : colon.offset + 1
}

/** The position of the `-` of an item. */
function itemStart(list: YAMLSeq, index: number): number | undefined {
  const { items } = (list.srcToken ?? {}) as { items?: { start: { type: string; offset: number }[] }[] }
  return items?.[index]?.start.find(({ type }) => type === 'seq-item-ind')?.offset
}

function lineStart(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1
}

/** The start of the next line; a block of text ends there. */
function nextLine(text: string, at: number): number {
  if (text[at - 1] === '\n') return at
  const end = text.indexOf('\n', at)
  return end === -1 ? text.length : end + 1
}

/** The start of the comments that belong to what begins at `at`, but not above `floor`. */
function aboveComments(text: string, at: number, floor: number): number {
  let start = lineStart(text, at)
  for (;;) {
    const before = lineStart(text, start - 1)
    if (start === 0 || before <= floor || !/^[ \t]*#/.test(text.slice(before, start))) return start
    start = before
  }
}

function lines(value: unknown, column: number, { options, eol }: Style): string {
  const pad = ' '.repeat(column)
  return stringify(value, { ...options, aliasDuplicateObjects: false })
    .trimEnd()
    .split('\n')
    .map((line) => (line === '' ? eol : pad + line + eol))
    .join('')
}

function inFlow(value: unknown, { options, isJson }: Style): string {
  if (isJson) return JSON.stringify(value)
  return stringify(value, { ...options, collectionStyle: 'flow', aliasDuplicateObjects: false }).trimEnd()
}

const keyOffset = (pair: Pair): number => (pair.key as Node).range?.[0] ?? 0
const put = (at: number, insert: string, column = 0): Edit => ({ at, remove: 0, insert, column })

/** `before` names the key before which it goes, and before that key's comments; without it, it goes last. */
export function insertPair(
  { text }: Stream,
  map: YAMLMap,
  [key, value]: readonly [string, unknown],
  { style, before }: { style: Style; before: string | null },
): Edit {
  if (map.flow === true) return insertInFlow(map, `${inFlow(key, style)}: ${inFlow(value, style)}`)
  const first = map.items[0] as Pair
  const column = keyOffset(first) - lineStart(text, keyOffset(first))
  const next = map.items.find((pair) => String(pair.key) === before)
  const written = lines({ [key]: value }, column, style)
  if (next !== undefined && text.slice(lineStart(text, keyOffset(next)), keyOffset(next)).trim() === '')
    return put(aboveComments(text, keyOffset(next), 0), written, column)
  return put(nextLine(text, contentEnd(map)), written, column)
}

export function insertItem(
  { text }: Stream,
  list: YAMLSeq,
  value: unknown,
  { style, isFirst }: { style: Style; isFirst: boolean },
): Edit {
  if (list.flow === true)
    return isFirst ? firstInFlow(list, inFlow(value, style)) : insertInFlow(list, inFlow(value, style))
  const start = itemStart(list, 0) ?? 0
  const column = start - lineStart(text, start)
  const at = isFirst ? aboveComments(text, start, 0) : nextLine(text, contentEnd(list))
  return put(at, lines([value], column, style), column)
}

function insertInFlow(collection: YAMLMap | YAMLSeq, written: string): Edit {
  const last = collection.items.at(-1)
  if (last === undefined) return put((collection.range?.[0] ?? 0) + 1, written)
  return put(isSeq(collection) ? contentEnd(last) : pairEnd(last as Pair), `, ${written}`)
}

function firstInFlow(list: YAMLSeq, written: string): Edit {
  const first = list.items[0]
  return first === undefined
    ? insertInFlow(list, written)
    : put((first as Node).range?.[0] ?? 0, `${written}, `)
}

/**
 * Fills an empty value (`key:`, `{}`, `[]`), as lines below the key; returns the replaced text, with the
 * space before it.
 */
export function fill(
  { text }: Stream,
  pair: Pair,
  value: unknown,
  { style, column }: { style: Style; column: number },
): { edits: Edit[]; was: string } {
  const [from, to] = [colonEnd(pair), pairEnd(pair)]
  const indent = Array.isArray(value) && !style.options.indentSeq ? column : column + style.options.indent
  return {
    edits: [
      { at: from, remove: to - from, insert: '' },
      put(nextLine(text, to), lines(value, indent, style), indent),
    ],
    was: text.slice(from, to),
  }
}

/** Fills an empty value between its braces or brackets. */
export function fillFlow(collection: YAMLMap | YAMLSeq, value: unknown, style: Style): Edit {
  const inner = Array.isArray(value)
    ? value.map((item) => inFlow(item, style))
    : Object.entries(value as object).map(([key, item]) => `${inFlow(key, style)}: ${inFlow(item, style)}`)
  return put((collection.range?.[0] ?? 0) + 1, inner.join(', '))
}

/** The column of a map's keys, if the map is in lines. */
export function columnOf({ text }: Stream, map: YAMLMap): number {
  const at = keyOffset(map.items[0] as Pair)
  return at - lineStart(text, at)
}

/** Replaces a scalar; returns the replaced text. */
export function replaceScalar(
  { text }: Stream,
  node: Node,
  value: string | number,
  style: Style,
): { edit: Edit; was: string } {
  const [from, to] = node.range as [number, number, number]
  return {
    edit: { at: from, remove: to - from, insert: inFlow(value, style) },
    was: text.slice(from, to),
  }
}

/** After the colon, where the value is empty. */
export function giveScalar(pair: Pair, value: string | number, style: Style): Edit {
  return put(colonEnd(pair), ` ${inFlow(value, style)}`)
}

/** Where the value was empty, the space before it is removed, too. */
export function restoreScalar({ text }: Stream, node: Node, was: string): Edit {
  const [start, to] = node.range as [number, number, number]
  const from = was === '' && text[start - 1] === ' ' ? start - 1 : start
  return { at: from, remove: to - from, insert: was }
}

/** Removes all lines below a key and restores the text that followed it. */
export function restoreEmpty({ text }: Stream, pair: Pair, was: string): Edit[] {
  const from = nextLine(text, colonEnd(pair))
  return [put(colonEnd(pair), was), { at: from, remove: nextLine(text, pairEnd(pair)) - from, insert: '' }]
}

export function removePair({ text }: Stream, map: YAMLMap, pair: Pair): Edit {
  if (map.flow === true) return removeInFlow(map, map.items.indexOf(pair))
  const from = lineStart(text, keyOffset(pair))
  return { at: from, remove: nextLine(text, pairEnd(pair)) - from, insert: '' }
}

export function removeItem({ text }: Stream, list: YAMLSeq, index: number): Edit {
  if (list.flow === true) return removeInFlow(list, index)
  const from = lineStart(text, itemStart(list, index) ?? 0)
  return { at: from, remove: nextLine(text, contentEnd(list.items[index])) - from, insert: '' }
}

/** With the comma before it; the first item with the comma after it. */
function removeInFlow(collection: YAMLMap | YAMLSeq, index: number): Edit {
  const items = collection.items as unknown[]
  const start = (item: unknown): number =>
    isSeq(collection) ? ((item as Node).range?.[0] ?? 0) : keyOffset(item as Pair)
  const end = (item: unknown): number => (isSeq(collection) ? contentEnd(item) : pairEnd(item as Pair))
  const [previous, item, next] = [items[index - 1], items[index], items[index + 1]]
  const from = previous === undefined ? start(item) : end(previous)
  const to = previous === undefined && next !== undefined ? start(next) : end(item)
  return { at: from, remove: to - from, insert: '' }
}
