// Adds the sidecar to the pod of one workload. Done twice it changes nothing: every part is compared with what is there
// and written only where it differs.

import { isDeepStrictEqual } from 'node:util'
import { type Document, isMap, type YAMLMap, YAMLSeq } from 'yaml'
import { ConfigError } from '../core/errors.ts'
import { insertKey, own, plain, problemAt, setScalar, textOf, titleOf, type Resource } from './manifest.ts'
import { appPreStop, GRACE_SECONDS, podLabels, SIDECAR_NAME, sidecarContainer, sidecarVolumes } from './sidecar.ts'

/** Where each kind keeps its pod. */
const podPaths: Readonly<Record<string, readonly string[]>> = {
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
  Pod: [],
}
export const workloadKinds = Object.keys(podPaths)

/** What an application is and where the gate stands before it. */
export interface Placement {
  container: YAMLMap
  appPort: number
  port: number
}

export interface PlacementOptions {
  /** null: the one that the container declares. */
  appPort: number | null
  port: number
  container: string | null
}

export interface SidecarOptions {
  image: string
  configMap: string
}

/** The map that holds `metadata` and `spec` of the pod. */
export function podOf(workload: Resource): YAMLMap {
  let map = workload.node
  for (const key of podPaths[workload.kind] ?? []) map = own(workload, map, key, 'map') ?? fail(workload, `has no ${key}, write one`)
  return map
}

export function podLabelsOf(workload: Resource): Record<string, string> {
  const metadata = podOf(workload).get('metadata')
  return ((isMap(metadata) ? plain(workload.part, metadata.get('labels')) : undefined) ?? {}) as Record<string, string>
}

/** Null where the workload serves nothing that could be meant. */
export function place(workload: Resource, options: PlacementOptions): Placement | null {
  const containers = containersOf(workload)
  if (containers.some((container) => textOf(container, 'name') === SIDECAR_NAME)) {
    return fail(workload, `has ${SIDECAR_NAME} among its containers; remove it there, it is added to initContainers`)
  }
  const container = choose(workload, containers, options)
  if (container === null) return null
  const declared = portsOf(workload, container)
  const appPort = options.appPort ?? onlyPort(workload, container, declared)
  if (appPort === null) return null
  if (appPort === options.port || containers.some((one) => portsOf(workload, one).includes(options.port))) {
    return fail(workload, `port ${options.port} belongs to the application; give the gate another one with --port ${appPort}:${options.port + 1}`)
  }
  return { container, appPort, port: options.port }
}

function choose(workload: Resource, containers: YAMLMap[], { container: name, appPort }: PlacementOptions): YAMLMap | null {
  if (name !== null) return containers.find((one) => textOf(one, 'name') === name) ?? null
  if (containers.length === 1) return containers[0] ?? null
  const serving = containers.filter((one) => (appPort === null ? portsOf(workload, one).length > 0 : portsOf(workload, one).includes(appPort)))
  if (serving.length === 1) return serving[0] ?? null
  if (serving.length === 0 && appPort === null) return null
  const names = containers.map((one) => textOf(one, 'name')).join(', ')
  return fail(workload, `has the containers ${names}: say which one the gate is for with --container NAME`)
}

function onlyPort(workload: Resource, container: YAMLMap, declared: number[]): number | null {
  const [port, ...others] = declared
  if (port === undefined) return null
  if (others.length === 0) return port
  return fail(workload, `container ${textOf(container, 'name')} has the ports ${declared.join(', ')}: say which one with --port ${port}:17080`)
}

function containersOf(workload: Resource): YAMLMap[] {
  const spec = specOf(workload)
  const containers = own(workload, spec, 'containers', 'list')?.items ?? []
  if (containers.length === 0) fail(workload, 'has no containers')
  return containers.map((container) => (isMap(container) ? container : fail(workload, 'a container is an alias or no map, write it out')))
}

/** The TCP ports that the container declares. */
export function portsOf(workload: Resource, container: YAMLMap): number[] {
  return declaredPorts(workload, container).map(({ containerPort }) => containerPort)
}

export function declaredPorts(workload: Resource, container: YAMLMap): { name?: string; containerPort: number }[] {
  const ports = (plain(workload.part, container.get('ports')) ?? []) as { name?: string; containerPort?: unknown; protocol?: string }[]
  return ports.flatMap(({ name, containerPort, protocol = 'TCP' }) =>
    typeof containerPort === 'number' && protocol === 'TCP' ? [{ ...(name === undefined ? {} : { name }), containerPort }] : [],
  )
}

function specOf(workload: Resource): YAMLMap {
  return own(workload, podOf(workload), 'spec', 'map') ?? fail(workload, 'its pod has no spec, write one')
}

/** Changes the document; gives a sentence for each change, none where all is as it should be. */
export function addSidecar(workload: Resource, { container, port }: Placement, { image, configMap }: SidecarOptions): string[] {
  const spec = specOf(workload)
  const changes = [
    ...raiseGrace(workload, spec),
    putNamed(workload, spec, 'initContainers', [sidecarContainer({ image, port })]),
    putNamed(workload, spec, 'volumes', sidecarVolumes(configMap)),
    ...holdApp(workload, container),
    ...mark(workload, textOf(container, 'name') ?? ''),
  ].filter((change) => change !== '')
  if (changes.length > 0) workload.part.isChanged = true
  return changes
}

function raiseGrace({ part: { document } }: Resource, spec: YAMLMap): string[] {
  const grace = spec.get('terminationGracePeriodSeconds')
  if (typeof grace === 'number' && grace >= GRACE_SECONDS) return []
  if (grace === undefined) insertKey(spec, 0, document.createPair('terminationGracePeriodSeconds', GRACE_SECONDS))
  else setScalar(spec, 'terminationGracePeriodSeconds', GRACE_SECONDS)
  return [`terminationGracePeriodSeconds ${typeof grace === 'number' ? grace : '30 (the default)'} -> ${GRACE_SECONDS}`]
}

/** Puts each of them into the list, in place of one with its name, or first (the sidecar starts before others). */
function putNamed(workload: Resource, spec: YAMLMap, key: string, wanted: readonly Record<string, unknown>[]): string {
  const { document } = workload.part
  let list = own(workload, spec, key, 'list')
  const written: string[] = []
  for (const [index, item] of wanted.entries()) {
    const name = String(item['name'])
    const at = list?.items.findIndex((one) => isMap(one) && textOf(one, 'name') === name) ?? -1
    if (at >= 0 && isDeepStrictEqual(plain(workload.part, list?.items[at]), item)) continue
    written.push(`${at >= 0 ? 'replaced' : 'added'} ${name}`)
    list ??= newList(document, spec, key)
    const node = document.createNode(item)
    if (at >= 0) list.items[at] = node
    else list.items.splice(key === 'initContainers' ? index : list.items.length, 0, node)
  }
  return written.length === 0 ? '' : `${key}: ${written.join(', ')}`
}

/** `initContainers` stand before `containers`; a reader looks for them there. */
function newList(document: Document, spec: YAMLMap, key: string): YAMLSeq {
  const list = new YAMLSeq(document.schema)
  spec.delete(key)
  const before = key === 'initContainers' ? spec.items.findIndex(({ key: one }) => String(one) === 'containers') : spec.items.length
  insertKey(spec, before, document.createPair(key, list))
  return list
}

function holdApp(workload: Resource, container: YAMLMap): string[] {
  const name = textOf(container, 'name')
  const lifecycle = own(workload, container, 'lifecycle', 'map')
  const preStop = plain(workload.part, lifecycle?.get('preStop'))
  // It is held already, or by a hook of its own: see warningsOf.
  if (preStop !== undefined) return []
  const { document } = workload.part
  if (lifecycle === null) container.set('lifecycle', document.createNode({ preStop: appPreStop }))
  else lifecycle.set('preStop', document.createNode(appPreStop))
  return [`container ${name} waits for the end of the drain (preStop)`]
}

/** What the operator has to do by hand: a hook of the application is not ours to replace. */
export function warningsOf(workload: Resource, { container }: Placement): string[] {
  const preStop = plain(workload.part, own(workload, container, 'lifecycle', 'map')?.get('preStop'))
  if (preStop === undefined || isDeepStrictEqual(preStop, appPreStop)) return []
  return [`container ${textOf(container, 'name')} has a preStop hook of its own, which stays; let it end after GET :17021/drain/wait does, or the application goes before its connections`]
}

function mark(workload: Resource, appName: string): string[] {
  const pod = podOf(workload)
  const { document } = workload.part
  if (own(workload, pod, 'metadata', 'map') === null) {
    pod.delete('metadata')
    insertKey(pod, 0, document.createPair('metadata', {}))
  }
  const metadata = own(workload, pod, 'metadata', 'map')
  if (metadata === null) return []
  const wanted = { labels: podLabels, annotations: { 'kubectl.kubernetes.io/default-container': appName } }
  const changes: string[] = []
  for (const [key, entries] of Object.entries(wanted)) {
    let map = own(workload, metadata, key, 'map')
    for (const [name, value] of Object.entries(entries)) {
      // Another default container is somebody's wish.
      if (map?.has(name) === true && (key === 'annotations' || map.get(name) === value)) continue
      if (map === null) metadata.set(key, (map = document.createNode({}) as YAMLMap))
      setScalar(map, name, value)
      changes.push(`${key.slice(0, -1)} ${name}=${value}`)
    }
  }
  return changes
}

/** The operator wrote what cannot be used: says where, and what to write instead. */
export function fail(workload: Resource, message: string): never {
  throw new ConfigError('', [problemAt(workload.part, workload.node.range?.[0] ?? 0, titleOf(workload), message)])
}
