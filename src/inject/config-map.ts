// The ConfigMap of a gate that has none yet.

import { stringify } from 'yaml'
import type { Edit } from './edits.ts'
import type { Door } from './door.ts'
import { BEFORE, WHOLE } from './record.ts'
import { smallestConfig } from './sidecar.ts'
import type { Resource } from './stream.ts'

export function configMapText(
  { namespace }: Resource,
  { name, doors, upstream }: { name: string; doors: readonly Door[]; upstream: 'loopback' | 'pod-ip' },
): string {
  const metadata = {
    name,
    ...(namespace === null ? {} : { namespace }),
    annotations: { [BEFORE]: WHOLE },
  }
  const data = { 'sidegate.yaml': smallestConfig(doors, upstream === 'pod-ip' ? '${POD_IP}' : undefined) }
  return stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data }, { lineWidth: 0 })
}

/** Inserts it as a document before the workload's. */
export function insertDocument({ stream: { text, eol }, document }: Resource, written: string): Edit {
  const [start] = document.range
  const lines = written.replaceAll('\n', eol)
  // Directives belong to the mark after them: nothing can come between.
  if (text.startsWith('%', start))
    return { at: text.length, remove: 0, insert: `---${eol}${lines}`, column: -1 }
  if (text.startsWith('---', start)) return { at: start, remove: 0, insert: `---${eol}${lines}`, column: -1 }
  return { at: 0, remove: 0, insert: `${lines}---${eol}` }
}
