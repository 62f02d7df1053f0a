// The ConfigMap of a gate: written where there is none, and otherwise checked for what a gate behind these
// Services would miss.

import { stringify } from 'yaml'
import type { Edit } from './edits.ts'
import type { Door } from './doors.ts'
import type { Remark } from './judges/judge.ts'
import { BEFORE, WHOLE } from './record.ts'
import { smallestConfig } from './sidecar.ts'
import { titleOf, type Resource } from './stream.ts'

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

/** The remarks on an existing one, by its text alone: it may have variables that only the pod knows. */
export function judgeConfigMap(configMap: Resource, doors: readonly Door[]): Remark[] {
  const config = String(configMap.object.data?.['sidegate.yaml'] ?? '')
  const about = titleOf(configMap)
  const missing = doors.filter(({ port }) => !new RegExp(String.raw`address:.*:${port}\b`).test(config))
  if (missing.length > 0)
    return missing.map(({ port }) => ({
      code: 'config',
      about,
      text: `its sidegate.yaml has no listener with address ":${port}"; add one, or the Service finds nobody there`,
    }))
  const isHttp = /protocol: *["']?http\b/.test(config)
  if (!isHttp || /^[^#\n]*(trustForwarded|proxyProtocol):/m.test(config)) return []
  const text =
    'its sidegate.yaml has no http.trustForwarded: behind an ingress write [private], or an application that forces HTTPS redirects for ever; where clients come directly, []'
  return [{ code: 'config', about, text }]
}
