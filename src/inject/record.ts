// The record that an object keeps of what it was: an annotation with what each changed place held before. With it a change is
// taken back byte for byte, from a file or from what a cluster gives, and a second change remembers what the first one found.

import type { Edit } from './edits.ts'
import { isShared, merge, type Before, type Wanted } from './merge.ts'
import type { Resource } from './stream.ts'

export const BEFORE = 'sidegate.io/before'
/** Of an object that is ours altogether. */
export const WHOLE = JSON.stringify({ '': null })

/** Null where it has none, or none that can be read. */
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

/** The edits that bring an object to what is wanted, its record among them; none where nothing is missing. */
export function change(resource: Resource, wanted: Wanted): Edit[] {
  if (merge(resource, wanted).edits.length === 0) return []
  const seen = recordOf(resource) ?? {}
  // The record is itself a change, so it is written once to learn what that changes.
  const { before } = merge(resource, withRecord(wanted, {}))
  const fresh = Object.entries(before).filter(([pointer]) => !isKnown(pointer, seen))
  return merge(resource, withRecord(wanted, { ...seen, ...Object.fromEntries(fresh) })).edits
}

/** Whether the place, or a whole that it lies in, is in the record already. */
function isKnown(pointer: string, seen: Before): boolean {
  if (pointer in seen) return true
  return Object.entries(seen).some(
    ([place, was]) => was === null && !isShared(place) && pointer.startsWith(`${place}/`),
  )
}

function withRecord(wanted: Wanted, before: Before): Wanted {
  const metadata = (wanted['metadata'] ?? {}) as Wanted
  const annotations = (metadata['annotations'] ?? {}) as Wanted
  // A text even where nothing is in it yet: an object like another's would be no change.
  const record = JSON.stringify(before)
  return { ...wanted, metadata: { ...metadata, annotations: { ...annotations, [BEFORE]: record } } }
}
