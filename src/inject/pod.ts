// The pod of a workload as plain data, and the path from the workload to it.

import { fail, type Resource } from './stream.ts'
import type { Loose } from './plain.ts'
import { SIDECAR_NAME } from './sidecar.ts'
import type { Wanted } from './merge.ts'

/** The path of the pod in each kind. */
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

export interface ContainerPort {
  name?: string
  containerPort: number
}

/** The map with `metadata` and `spec` of the pod, as plain data. */
export function podOf(workload: Resource): Loose {
  let map = workload.object
  for (const key of podPaths[workload.kind] ?? []) {
    if (map[key] === undefined || map[key] === null) fail(workload, `has no ${key}, write one`)
    if (typeof map[key] !== 'object' || Array.isArray(map[key]))
      fail(workload, `${key} is not a map, write one`)
    map = map[key]
  }
  return map
}

export function specOf(workload: Resource): Loose {
  return podOf(workload).spec ?? fail(workload, 'its pod has no spec, write one')
}

/** The wanted content of the pod, as wanted content of the workload. */
export function inPod(workload: Resource, wanted: Wanted): Wanted {
  return (podPaths[workload.kind] ?? []).reduceRight<Wanted>((inner, key) => ({ [key]: inner }), wanted)
}

export function podLabelsOf(workload: Resource): Record<string, string> {
  return podOf(workload).metadata?.labels ?? {}
}

export function podAnnotationsOf(workload: Resource): Record<string, string> {
  return podOf(workload).metadata?.annotations ?? {}
}

export function containersOf(workload: Resource): Loose[] {
  const { containers } = specOf(workload)
  if (!Array.isArray(containers) || containers.length === 0) return fail(workload, 'has no containers')
  return containers
}

/** The gate, if it is there already. */
export function sidecarOf(workload: Resource): Loose {
  const { initContainers } = specOf(workload)
  return (initContainers ?? []).find(({ name }: Loose) => name === SIDECAR_NAME)
}

/** Everything that runs while the application does: its containers, and other sidecars. */
export function runningWith(workload: Resource): Loose[] {
  const { initContainers } = specOf(workload)
  const sidecars = (Array.isArray(initContainers) ? initContainers : []).filter(
    (one) => one?.restartPolicy === 'Always' && one.name !== SIDECAR_NAME,
  )
  return [...containersOf(workload), ...sidecars]
}

/** The TCP ports that the container declares. */
export function portsOf(container: Loose): ContainerPort[] {
  const ports: Loose[] = Array.isArray(container?.ports) ? container.ports : []
  return ports.filter((port) => typeof port?.containerPort === 'number' && (port.protocol ?? 'TCP') === 'TCP')
}

/** By number or by name. */
export function portAt(containers: readonly Loose[], target: unknown): ContainerPort | null {
  const ports = containers.flatMap(portsOf)
  return ports.find(({ name, containerPort }) => target === containerPort || target === name) ?? null
}
