// `sidegate uninject` as a function of text: undoes the changes in the records of its objects, and leaves the
// rest. Later additions, such as a second container beside ours in a list that we made, stay.

import { isMap, isScalar, isSeq, type Pair, type YAMLMap, type YAMLSeq } from 'yaml'
import { ConfigError } from '../core/errors.ts'
import { applyEdits, removeItem, removePair, restoreEmpty, restoreScalar, type Edit } from './edits.ts'
import { isShared, itemKey, pointerTo, type Before } from './merge.ts'
import { recordOf } from './record.ts'
import { asFile, butFound, readStream, resources, titleOf, type Resource, type Stream } from './stream.ts'

/** Throws a ConfigError where no object has a record. */
export function uninject(text: string, fileName: string): { text: string; notes: string[] } {
  const stream = readStream(text, fileName)
  const all = resources(stream)
  const edits: Edit[] = []
  const notes: string[] = []
  for (const resource of all) {
    const before = recordOf(resource)
    if (before === null) {
      if (hasSidecar(resource))
        notes.push(
          `${titleOf(resource)}: has the sidecar, and no record of what it was before; take it out by hand, or apply what you had`,
        )
    } else if (before[''] === null) {
      edits.push(removeObject(resource))
      notes.push(`${titleOf(resource)}: taken out, with what was changed in it since`)
    } else {
      edits.push(...undoIn({ stream, before }, resource.node, '').edits)
      notes.push(`${titleOf(resource)}: as it was before`)
    }
  }
  if (edits.length === 0) throw nothingToUndo(all, fileName)
  return { text: asFile(stream, applyEdits(stream.text, edits)), notes }
}

function nothingToUndo(all: readonly Resource[], fileName: string): ConfigError {
  const found = butFound(all, 'nor any object of Kubernetes')
  const message = `holds nothing that sidegate inject has changed (${found})`
  return new ConfigError(fileName, [{ line: 0, column: 0, path: '', message }])
}

function hasSidecar({ object }: Resource): boolean {
  const spec = object.spec?.template?.spec ?? object.spec?.jobTemplate?.spec?.template?.spec ?? object.spec
  const containers: unknown = spec?.initContainers
  return Array.isArray(containers) && containers.some((one) => one?.name === 'sidegate')
}

interface Context {
  stream: Stream
  before: Before
}

interface Undone {
  edits: Edit[]
  /** Whether nothing is left in it. */
  isEmpty: boolean
}

function undoIn(context: Context, node: unknown, pointer: string): Undone {
  if (isMap(node))
    return gather(
      node.items.map((pair) =>
        undoAt(context, pair.value, {
          path: pointerTo(pointer, String(pair.key)),
          pair,
          remove: () => removePair(context.stream, node, pair),
        }),
      ),
    )
  if (isSeq(node))
    return gather(node.items.map((item, index) => undoItem(context, node, { item, index, pointer })))
  return { edits: [], isEmpty: false }
}

function undoItem(
  context: Context,
  list: YAMLSeq,
  { item, index, pointer }: { item: unknown; index: number; pointer: string },
): Undone {
  const path = pointerTo(pointer, itemKey(list, index))
  return undoAt(context, item, { path, pair: null, remove: () => removeItem(context.stream, list, index) })
}

function gather(parts: readonly Undone[]): Undone {
  return { edits: parts.flatMap(({ edits }) => edits), isEmpty: parts.every(({ isEmpty }) => isEmpty) }
}

interface Place {
  path: string
  /** Null for an item. */
  pair: Pair | null
  remove: () => Edit
}

/** `isEmpty` means that the place itself is gone. */
function undoAt(context: Context, value: unknown, { path, pair, remove }: Place): Undone {
  const was = context.before[path]
  if (was === null && !isShared(path)) return { edits: [remove()], isEmpty: true }
  if (typeof was === 'string' && isScalar(value))
    return { edits: [restoreScalar(context.stream, value, was)], isEmpty: false }
  const isWhole = !holdsMore(context.before, path)
  if (isWhole && was === undefined) return { edits: [], isEmpty: false }
  // What filled an empty place is ours as a whole where the record has no parts of it.
  const inner = isWhole ? { edits: [], isEmpty: true } : undoIn(context, value, path)
  if (!inner.isEmpty || was === undefined) return { edits: inner.edits, isEmpty: false }
  if (was === null) return { edits: [remove()], isEmpty: true }
  return { edits: restored(context.stream, pair, value as YAMLMap | YAMLSeq, was), isEmpty: false }
}

function restored(stream: Stream, pair: Pair | null, value: YAMLMap | YAMLSeq, was: string): Edit[] {
  return value.flow === true || pair === null
    ? [restoreScalar(stream, value, was)]
    : restoreEmpty(stream, pair, was)
}

function holdsMore(before: Before, path: string): boolean {
  return Object.keys(before).some((pointer) => pointer.startsWith(`${path}/`))
}

function removeObject({ stream, document, list }: Resource): Edit {
  if (list !== null) return removeItem(stream, list.items, list.index)
  const { text, documents } = stream
  const start = document.range[0]
  const next = documents[documents.indexOf(document) + 1]?.range[0] ?? text.length
  if (text.startsWith('---', start)) return { at: start, remove: next - start, insert: '' }
  // The first document, without a mark of its own: the mark after it is ours as well.
  const line = text.indexOf('\n', next)
  return { at: 0, remove: line === -1 ? text.length : line + 1, insert: '' }
}
