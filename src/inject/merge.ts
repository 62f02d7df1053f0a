// From the wanted content of an object, as a plain tree, to the edits of its text that set it; existing
// content gives none. It also records the previous content of each place, from which `undo` restores it.
//
// Lists of named things (containers, volumes, environment) merge by name; in other lists by place.

import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap, type YAMLSeq } from 'yaml'
import {
  columnOf,
  fill,
  fillFlow,
  giveScalar,
  insertItem,
  insertPair,
  isEmptyScalar,
  replaceScalar,
  styleOf,
  type Edit,
  type Style,
} from './edits.ts'
import { fail, oddity, type Resource } from './stream.ts'

export type Wanted = Readonly<Record<string, unknown>>

/**
 * By pointer, as in JSON Pointer, with the name of an item or `#` and its number: null for an absent value,
 * otherwise its previous text.
 */
export type Before = Record<string, string | null>

/** Places that may hold more than our content, so that each child is recorded separately. */
const shared = new Set(['metadata', 'labels', 'annotations', 'lifecycle', 'initContainers', 'volumes', 'env'])
const named = new Set(['initContainers', 'containers', 'volumes', 'env', 'ports'])
/** Where readers look for these keys. */
const places: Readonly<Record<string, string>> = {
  terminationGracePeriodSeconds: 'containers',
  initContainers: 'containers',
  metadata: 'spec',
  targetPort: 'nodePort',
}

interface Context {
  resource: Resource
  style: Style
  edits: Edit[]
  before: Before
}

/** Throws a ConfigError where it would have to write into a place that an alias shares. */
export function merge(resource: Resource, wanted: Wanted): { edits: Edit[]; before: Before } {
  const context = {
    resource,
    style: styleOf(resource.stream, resource.document.range),
    edits: [],
    before: {},
  }
  mergeMap(context, resource.node, wanted, '')
  return context
}

export function pointerTo(parent: string, key: string): string {
  return `${parent}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

export function isShared(pointer: string): boolean {
  return shared.has(pointer.slice(pointer.lastIndexOf('/') + 1))
}

/** The last part of the pointer to an item. */
export function itemKey(list: YAMLSeq, index: number): string {
  const item = list.items[index]
  const name = isMap(item) ? item.get('name') : undefined
  return typeof name === 'string' ? name : `#${index}`
}

function mergeMap(context: Context, map: YAMLMap, wanted: Wanted, pointer: string): void {
  const { resource, style, edits, before } = context
  for (const [key, value] of Object.entries(wanted)) {
    if (value === undefined) continue
    const path = pointerTo(pointer, key)
    const pair = map.items.find((one) => String(one.key) === key)
    if (pair !== undefined) mergeValue(context, { map, pair, path }, value)
    else if (isMerged(resource, map, key))
      fail(resource, `${key} comes from an alias (<<), write it out`, map)
    else {
      edits.push(insertPair(resource.stream, map, [key, value], { style, before: places[key] ?? null }))
      addedTo(before, path, value)
    }
  }
}

function isMerged({ document }: Resource, map: YAMLMap, key: string): boolean {
  return map.items.some((pair) => String(pair.key) === '<<') && key in (map.toJS(document) as object)
}

interface Place {
  map: YAMLMap
  pair: Pair
  path: string
}

function mergeValue(context: Context, { map, pair, path }: Place, value: unknown): void {
  const { resource } = context
  const node = pair.value as Node | null
  const key = String(pair.key)
  if (map.flow === true && isEmptyScalar(node)) fail(resource, `${key} has no value, write one`, pair.key)
  if (typeof value !== 'object' || value === null) return mergeScalar(context, { map, pair, path }, value)
  const isEmpty = isEmptyScalar(node) || (isScalar(node) && node.value === null)
  const odd = oddity(node, Array.isArray(value) ? 'list' : 'map')
  // Lines can replace empty braces of either kind; between braces only those of the same kind can be filled.
  const isBare =
    (isMap(node) || isSeq(node)) && node.items.length === 0 && (map.flow !== true || odd === null)
  if (isEmpty || isBare) return fillEmpty(context, { map, pair, path }, value)
  if (odd !== null) fail(resource, `${key} ${odd}`, node)
  if (Array.isArray(value)) mergeList(context, node as YAMLSeq, { wanted: value, path, key })
  else mergeMap(context, node as YAMLMap, value as Wanted, path)
}

function mergeScalar(
  { resource, style, edits, before }: Context,
  { pair, path }: Place,
  value: unknown,
): void {
  const node = pair.value as Node
  if (isScalar(node) && node.value === value) return
  if (!isScalar(node)) {
    const odd = isAlias(node) ? oddity(node, 'map') : 'is not a single value, write one'
    fail(resource, `${String(pair.key)} ${odd}`, node)
  }
  if (isEmptyScalar(node)) {
    edits.push(giveScalar(pair, value as string | number, style))
    before[path] = ''
    return
  }
  const { edit, was } = replaceScalar(resource.stream, node, value as string | number, style)
  edits.push(edit)
  before[path] = was
}

function fillEmpty(
  { resource, style, edits, before }: Context,
  { map, pair, path }: Place,
  value: object,
): void {
  const node = pair.value
  addedTo(before, path, value)
  if (map.flow === true && (isMap(node) || isSeq(node))) {
    edits.push(fillFlow(node, value, style))
    delete before[path]
  } else if (map.flow === true) {
    const { edit, was } = replaceScalar(resource.stream, node as Node, value as never, style)
    edits.push(edit)
    before[path] = was
  } else {
    const filled = fill(resource.stream, pair, value, { style, column: columnOf(resource.stream, map) })
    edits.push(...filled.edits)
    before[path] = filled.was
  }
}

function mergeList(
  context: Context,
  list: YAMLSeq,
  { wanted, path, key }: { wanted: unknown[]; path: string; key: string },
): void {
  const { resource, style, edits, before } = context
  const byName = named.has(key) && wanted.every((one) => typeof nameOf(one) === 'string')
  for (const [index, value] of wanted.entries()) {
    if (value === null || value === undefined) continue
    const at = byName ? list.items.findIndex((_, one) => itemKey(list, one) === nameOf(value)) : index
    const item = list.items[at]
    if (item === undefined) {
      edits.push(insertItem(resource.stream, list, value, { style, isFirst: key === 'initContainers' }))
      addedTo(before, pointerTo(path, String(nameOf(value))), value)
    } else {
      const odd = oddity(item, 'map')
      if (odd !== null || !isMap(item)) fail(resource, `an item of ${key} ${odd}`, item)
      mergeMap(context, item, value as Wanted, pointerTo(path, itemKey(list, at)))
    }
  }
}

function nameOf(value: unknown): unknown {
  return (value as { name?: unknown } | null)?.name
}

function addedTo(before: Before, path: string, value: unknown): void {
  before[path] = null
  if (!isShared(path) || typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value))
    addedTo(before, pointerTo(path, Array.isArray(value) ? String(nameOf(inner)) : key), inner)
}

/** The wishes of two workloads for one object, combined. */
export function combine(one: unknown, other: unknown): unknown {
  if (one === undefined || one === null) return other
  if (other === undefined || other === null) return one
  if (Array.isArray(one) && Array.isArray(other))
    return Array.from(
      { length: Math.max(one.length, other.length) },
      (_, at) => combine(one[at], other[at]) ?? null,
    )
  if (typeof one !== 'object' || typeof other !== 'object') return other
  const [left, right] = [one as Wanted, other as Wanted]
  const keys = new Set([...Object.keys(left), ...Object.keys(right)])
  return Object.fromEntries([...keys].map((key) => [key, combine(left[key], right[key])]))
}
