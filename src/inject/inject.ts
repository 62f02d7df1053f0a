// `sidegate inject` as a function of text: manifests in, the same manifests with the sidecar out, and a list
// of the changes. It asks no cluster, reads everything in the stream, and touches only the bytes that it adds
// or replaces. Running it on its own result changes nothing.

import { ConfigError } from '../core/errors.ts'
import { judgeConfigMap } from './config-judge.ts'
import { configMapText, insertDocument } from './config-map.ts'
import type { Door } from './door.ts'
import { doorsOf, type DoorOptions } from './doors.ts'
import { applyEdits, type Edit } from './edits.ts'
import { judges } from './judges/all.ts'
import type { Code, Remark } from './judges/judge.ts'
import { combine, type Wanted } from './merge.ts'
import { planWorkload, type SidecarWishes } from './plan.ts'
import { specOf, workloadKinds } from './pod.ts'
import { admitGate } from './policies.ts'
import { change } from './record.ts'
import { repoint, type Change } from './services.ts'
import { CONFIG_VOLUME } from './sidecar.ts'
import { asFile, butFound, fail, readStream, resources, titleOf, type Resource } from './stream.ts'
import type { Loose } from './plain.ts'
import { surroundingsOf, type Surroundings } from './surroundings.ts'

export interface InjectOptions extends DoorOptions, SidecarWishes {
  /** One that exists elsewhere; null writes one for each workload, named after it. */
  configMap: string | null
  /** The name of the one workload to change; null: all that serve a port. */
  only: string | null
  /** Remarks that the operator knows, and that are not made. */
  accept: readonly Code[]
  fileName: string
}

export interface Injected {
  text: string
  /** The changes, for the operator. */
  changes: string[]
  /** The remaining work, and facts to know, for the operator. */
  remarks: Remark[]
}

/** Throws a ConfigError that names the place and the remedy. */
export function inject(text: string, options: InjectOptions): Injected {
  const stream = readStream(text, options.fileName)
  try {
    const work = injectAll(resources(stream), options)
    return { ...work, text: asFile(stream, applyEdits(stream.text, work.edits)) }
  } catch (error) {
    // The functions below know the place in the file, not its name.
    throw error instanceof ConfigError && error.file === ''
      ? new ConfigError(options.fileName, error.problems)
      : error
  }
}

interface Work {
  edits: Edit[]
  changes: string[]
  remarks: Remark[]
}

function injectAll(all: readonly Resource[], options: InjectOptions): Work {
  const workloads = all.filter(
    ({ kind, name }) => workloadKinds.includes(kind) && (options.only === null || options.only === name),
  )
  const meant = workloads.map((workload) => {
    const around = surroundingsOf(workload, all)
    return { around, doors: doorsOf(around, options) }
  })
  if (meant.every(({ doors }) => doors.length === 0)) throw nothingToDo(all, workloads, options)
  const work: Work = { edits: [], changes: [], remarks: [] }
  const written = new Map<string, string>()
  const wanted: Change[] = []
  for (const { around, doors } of meant) {
    if (doors.length === 0)
      work.changes.push(`${titleOf(around.workload)}: no container that the gate could be for, left as it is`)
    else wanted.push(...injectOne(around, doors, { options, work, written }))
  }
  // Two workloads may share a Service or a policy.
  const trees = new Map<Resource, Wanted>()
  for (const { resource, wanted: tree } of wanted)
    trees.set(resource, combine(trees.get(resource), tree) as Wanted)
  for (const [resource, tree] of trees) work.edits.push(...change(resource, tree))
  work.changes = [...new Set(work.changes)]
  return { ...work, remarks: work.remarks.filter(({ code }) => !options.accept.includes(code)) }
}

interface Context {
  options: InjectOptions
  work: Work
  /** By namespace and name, the text of each written ConfigMap. */
  written: Map<string, string>
}

/** The changes of objects in the stream; everything else goes into `work`. */
function injectOne(
  around: Surroundings,
  doors: readonly Door[],
  { options, work, written }: Context,
): Change[] {
  const { workload } = around
  const title = titleOf(workload)
  const configMap = options.configMap ?? mountedBy(workload) ?? `${workload.name}-sidegate`
  const plan = planWorkload(around, doors, {
    ...options,
    configMap,
    isConfigMapNamed: options.configMap !== null,
  })
  const others = [...repoint(around, doors), ...admitGate(around, doors)]
  const says = [plan, ...others].flatMap((one) => one.says)
  if (plan.says.length === 0) work.changes.push(`${title}: has the sidecar already`)
  for (const { appPort, protocol, why } of doors)
    if (why !== null && plan.says.length > 0)
      says.push(`${title}: port ${appPort}: protocol: ${protocol}, because ${why}`)
  work.changes.push(...says)
  provideConfig(around, doors, { configMap, options, work, written })
  for (const judge of judges) work.remarks.push(...judge({ ...around, doors, wishes: options }))
  return [plan, ...others]
}

/** The ConfigMap that an earlier run has mounted. */
function mountedBy(workload: Resource): string | null {
  const { volumes } = specOf(workload)
  const volume: Loose = (Array.isArray(volumes) ? volumes : []).find(({ name }) => name === CONFIG_VOLUME)
  return volume?.configMap?.name ?? null
}

function provideConfig(
  { workload, neighbours }: Surroundings,
  doors: readonly Door[],
  { configMap, options, work, written }: Context & { configMap: string },
): void {
  const existing = neighbours.find(({ kind, name }) => kind === 'ConfigMap' && name === configMap)
  if (existing !== undefined) {
    work.remarks.push(...judgeConfigMap(existing, { workload, doors, wishes: options }))
    return
  }
  // A ConfigMap that is named, or mounted by an earlier run, is kept elsewhere.
  if (options.configMap !== null || mountedBy(workload) !== null) {
    work.changes.push(
      `${titleOf(workload)}: reads ConfigMap/${configMap}, key sidegate.yaml, which must exist in its namespace`,
    )
    return
  }
  const text = configMapText(workload, { name: configMap, doors, upstream: options.upstream })
  const key = `${workload.namespace ?? ''}/${configMap}`
  const other = written.get(key)
  if (other === text) return
  if (other !== undefined)
    fail(
      workload,
      `shares its name, and so ConfigMap/${configMap}, with another workload here; write one for both and name it with --config-map`,
    )
  written.set(key, text)
  work.edits.push(insertDocument(workload, text))
  const listeners = doors.map(({ port, protocol }) => `":${port}" (${protocol})`).join(', ')
  work.changes.push(`ConfigMap/${configMap}: written; sidegate.yaml in it listens on ${listeners}`)
}

function nothingToDo(
  all: readonly Resource[],
  workloads: readonly Resource[],
  { only, container, fileName }: InjectOptions,
): ConfigError {
  const found = butFound(all, 'nor any other object of Kubernetes')
  const wanted =
    only === null ? `no ${workloadKinds.slice(0, -1).join(', ')} or Pod` : `no workload named ${only}`
  const noPort =
    'no container declares a TCP port; say which one the application listens on with --port 8080:17080'
  const noContainer = `no container named ${container} that declares a TCP port; see --container and --port`
  const message =
    workloads.length === 0
      ? `holds ${wanted} (${found})`
      : `${workloads.map(titleOf).join(', ')}: ${container === null ? noPort : noContainer}`
  return new ConfigError(fileName, [{ line: 0, column: 0, path: '', message }])
}
