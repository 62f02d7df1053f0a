// The wanted content of one workload, its Services and its policies, with the gate in front: a tree for each
// object, and a sentence for each change. Nothing is written here.

import type { Door } from './door.ts'
import { PORTS, writePorts } from './doors.ts'
import { meshChange } from './mesh.ts'
import type { Wanted } from './merge.ts'
import { containersOf, inPod, podOf, portsOf, sidecarOf, specOf } from './pod.ts'
import { isGuaranteed } from './quality.ts'
import type { Change } from './services.ts'
import {
  appPreStop,
  GRACE_SECONDS,
  podIp,
  podLabels,
  SIDECAR_NAME,
  sidecarContainer,
  sidecarPorts,
  sidecarVolumes,
  type Sidecar,
} from './sidecar.ts'
import { titleOf, type Resource } from './stream.ts'
import type { Loose } from './plain.ts'
import type { Surroundings } from './surroundings.ts'

export interface SidecarWishes {
  /** null: the present one, or `defaultImage` for a new sidecar. */
  image: string | null
  defaultImage: string
  cpu: string | null
  memory: string | null
  /** The address that the gate dials. */
  upstream: 'loopback' | 'pod-ip'
}

export interface ConfigMapName {
  configMap: string
  /** The operator named it, so it replaces another one. */
  isConfigMapNamed: boolean
}

export function planWorkload(
  around: Surroundings,
  doors: readonly Door[],
  wishes: SidecarWishes & ConfigMapName,
): Change {
  const { workload } = around
  const mesh = meshChange(around, doors)
  const parts = [
    grace(workload),
    gate(workload, doors, wishes),
    volumes(workload, wishes),
    application(workload, doors),
    marks(workload, { doors, annotations: mesh.annotations }),
  ]
  const spec = Object.assign({}, ...parts.map(({ spec: one }) => one ?? {})) as Wanted
  const metadata = Object.assign({}, ...parts.map(({ metadata: one }) => one ?? {})) as Wanted
  const title = titleOf(workload)
  const says = [...parts.flatMap(({ says: words }) => words.map((word) => `${title}: ${word}`)), ...mesh.says]
  const pod = inPod(workload, { metadata, spec })
  // A sidecar from another source (a patch, a chart) is recorded there; our annotation would be the only
  // change.
  const isKept =
    sidecarOf(workload) !== undefined && workload.object.metadata?.annotations?.[PORTS] === undefined
  return { resource: workload, wanted: isKept ? pod : withPorts(pod, doors), says }
}

/** On the workload itself, for the next run; a change there rolls no pods. */
function withPorts(wanted: Wanted, doors: readonly Door[]): Wanted {
  const metadata = (wanted['metadata'] ?? {}) as Wanted
  const annotations = { ...(metadata['annotations'] as Wanted | undefined), [PORTS]: writePorts(doors) }
  return { ...wanted, metadata: { ...metadata, annotations } }
}

interface Piece {
  spec?: Wanted
  metadata?: Wanted
  says: string[]
}

function grace(workload: Resource): Piece {
  const seconds: unknown = specOf(workload).terminationGracePeriodSeconds
  if (typeof seconds === 'number' && seconds >= GRACE_SECONDS) return { says: [] }
  const was = typeof seconds === 'number' ? seconds : '30 (the default)'
  return {
    spec: { terminationGracePeriodSeconds: GRACE_SECONDS },
    says: [`terminationGracePeriodSeconds ${was} -> ${GRACE_SECONDS}`],
  }
}

function gate(workload: Resource, doors: readonly Door[], wishes: SidecarWishes): Piece {
  const existing = sidecarOf(workload)
  const ports = doors.map(({ port }) => port)
  if (existing !== undefined) return renew(existing, ports, wishes)
  const sidecar: Sidecar = {
    image: wishes.image ?? wishes.defaultImage,
    ports,
    cpu: wishes.cpu,
    memory: wishes.memory,
    isGuaranteed: isGuaranteed(workload) && wishes.cpu !== null,
    isUserFixed: specOf(workload).securityContext?.runAsUser === 0,
    hasPodIp: wishes.upstream === 'pod-ip',
  }
  return {
    spec: { initContainers: [sidecarContainer(sidecar)] },
    says: [`initContainers: added ${SIDECAR_NAME}`],
  }
}

/** An existing sidecar may have been changed by hand: only explicit wishes are applied to it. */
function renew(
  existing: Loose,
  ports: readonly number[],
  { image, cpu, memory, upstream }: SidecarWishes,
): Piece {
  const { requests = {}, limits = {} } = existing.resources ?? {}
  const share = {
    requests: { ...(cpu === null ? {} : { cpu }), ...(memory === null ? {} : { memory }) },
    limits: {
      ...(cpu === null || limits.cpu === undefined ? {} : { cpu }),
      ...(memory === null ? {} : { memory }),
    },
  }
  const known = new Set(portsOf(existing).map(({ containerPort }) => containerPort))
  const isNew = ports.some((port) => !known.has(port))
  const changed = [
    ...(image !== null && image !== existing.image ? [`image ${existing.image} -> ${image}`] : []),
    ...(cpu !== null && requests.cpu !== cpu ? [`cpu ${requests.cpu} -> ${cpu}`] : []),
    ...(memory !== null && limits.memory !== memory ? [`memory ${limits.memory} -> ${memory}`] : []),
    ...(isNew ? [`ports ${ports.join(', ')}`] : []),
  ]
  const wanted = {
    name: SIDECAR_NAME,
    ...(image === null ? {} : { image }),
    ...(cpu === null && memory === null ? {} : { resources: withoutEmpty(share) }),
    ...(isNew ? { ports: sidecarPorts(ports) } : {}),
    ...(upstream === 'pod-ip' ? { env: [podIp] } : {}),
  }
  return {
    spec: { initContainers: [wanted] },
    says: changed.length === 0 ? [] : [`initContainers: ${SIDECAR_NAME}: ${changed.join(', ')}`],
  }
}

function withoutEmpty(share: Record<string, object>): object {
  return Object.fromEntries(Object.entries(share).filter(([, inner]) => Object.keys(inner).length > 0))
}

function volumes(workload: Resource, { configMap, isConfigMapNamed }: ConfigMapName): Piece {
  const existing: Loose[] = specOf(workload).volumes ?? []
  const [config, tmp] = sidecarVolumes(configMap)
  const wanted = [config, tmp].filter((one) => {
    const is = existing.find(({ name }) => name === one?.['name'])
    if (is === undefined) return true
    return one === config && isConfigMapNamed && is.configMap?.name !== configMap
  })
  const changes = wanted.map((one) => {
    const isThere = existing.some(({ name }) => name === one?.['name'])
    return isThere ? `${String(one?.['name'])} is ConfigMap/${configMap}` : `added ${String(one?.['name'])}`
  })
  if (changes.length === 0) return { says: [] }
  return { spec: { volumes: wanted }, says: [`volumes: ${changes.join(', ')}`] }
}

/** Holds every container that has a gate before it, and moves the ports that the gate takes over. */
function application(workload: Resource, doors: readonly Door[]): Piece {
  const says: string[] = []
  const containers = containersOf(workload).flatMap((container: Loose) => {
    const own = doors.filter((door) => door.container === container.name)
    if (own.length === 0) return []
    const preStop: unknown = container.lifecycle?.preStop
    // Otherwise it is held already, or has its own hook: see judges/hooks.ts.
    if (preStop === undefined)
      says.push(`container ${container.name} waits for the end of the drain (preStop)`)
    const taken = own.filter(({ isTaken }) => isTaken)
    const held = preStop === undefined ? { lifecycle: { preStop: appPreStop } } : {}
    return [{ name: container.name, ...moved(container, taken, says), ...held }]
  })
  return { spec: { containers }, says }
}

const probes = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const

/** Its declared port, and the probes of that port by number: they are for the application, not the gate. */
function moved(container: Loose, taken: readonly Door[], says: string[]): Wanted {
  if (taken.length === 0) return {}
  const to = (port: unknown): number | null => taken.find((door) => door.port === port)?.appPort ?? null
  const ports = (container.ports ?? []).map(({ containerPort, protocol = 'TCP' }: Loose) => {
    // HTTP/3 has the same number over UDP, where the gate does not listen.
    const port = protocol === 'TCP' ? to(containerPort) : null
    return port === null ? null : { containerPort: port }
  })
  for (const { port, appPort } of taken.filter(({ earlier, port: now }) => earlier !== now))
    says.push(`container ${container.name}: the gate has its port ${port}, and its own is ${appPort}`)
  const asked = probes.flatMap((probe) =>
    ['httpGet', 'tcpSocket', 'grpc'].flatMap((kind) => {
      const port = to(container[probe]?.[kind]?.port)
      return port === null ? [] : [[probe, { [kind]: { port } }] as const]
    }),
  )
  for (const [probe] of asked) says.push(`container ${container.name}: its ${probe} goes there, too`)
  return { ports, ...Object.fromEntries(asked) }
}

function marks(
  workload: Resource,
  { doors, annotations }: { doors: readonly Door[]; annotations: Record<string, string> },
): Piece {
  const existing = podOf(workload).metadata ?? {}
  const defaultContainer = 'kubectl.kubernetes.io/default-container'
  const wanted = {
    // Another default container is the operator's choice.
    ...(existing.annotations?.[defaultContainer] === undefined
      ? { [defaultContainer]: doors[0]?.container ?? '' }
      : {}),
    ...annotations,
  }
  const says = [
    ...Object.entries(podLabels)
      .filter(([name, value]) => existing.labels?.[name] !== value)
      .map(([name, value]) => `label ${name}=${value}`),
    ...Object.entries(wanted)
      .filter(([name]) => !(name in annotations))
      .map(([name, value]) => `annotation ${name}=${value}`),
  ]
  const isMarked = Object.keys(wanted).length > 0
  return { metadata: { labels: podLabels, ...(isMarked ? { annotations: wanted } : {}) }, says }
}
