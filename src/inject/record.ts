// The record in an object of its previous state: an annotation with the previous content of each changed
// place. With it a change is undone byte for byte, in a file or in the output of a cluster, and a second
// change keeps what the first one found.

import type { Edit } from './edits.ts'
import { isShared, merge, type Before, type Wanted } from './merge.ts'
import type { Resource } from './stream.ts'

export const BEFORE = 'sidegate.io/before'
/** The record of an object that is entirely ours. */
export const WHOLE = JSON.stringify({ '': null })

/** Null where there is none, or an unreadable one. */
export function recordOf({ object }: Resource): Before | null {
  const text: unknown = object.metadata?.annotations?.[BEFORE]
  if (typeof text !== 'string') return null
  try {
    const record: unknown = JSON.parse(text)
    return typeof record === 'object' && record !== null ? (record as Before) : null
  } catch {
    return null
  }
}

/** The edits that give an object its wanted content, with its record; none where nothing is missing. */
export function change(resource: Resource, wanted: Wanted): Edit[] {
  if (merge(resource, wanted).edits.length === 0) return []
  const seen = recordOf(resource) ?? {}
  // The record is itself a change, so a first merge with an empty record shows what that changes.
  const { before } = merge(resource, withRecord(wanted, {}))
  const fresh = Object.entries(before).filter(([pointer]) => !isKnown(pointer, seen))
  return merge(resource, withRecord(wanted, { ...seen, ...Object.fromEntries(fresh) })).edits
}

/** Whether the record has the place, or a whole that contains it, already. */
function isKnown(pointer: string, seen: Before): boolean {
  if (pointer in seen) return true
  return Object.entries(seen).some(
    ([place, was]) => was === null && !isShared(place) && pointer.startsWith(`${place}/`),
  )
}

function withRecord(wanted: Wanted, before: Before): Wanted {
  const metadata = (wanted['metadata'] ?? {}) as Wanted
  const annotations = (metadata['annotations'] ?? {}) as Wanted
  // A text even for an empty record: a map without keys would be merged as no change.
  const record = JSON.stringify(before)
  return { ...wanted, metadata: { ...metadata, annotations: { ...annotations, [BEFORE]: record } } }
}
