// The annotations for a mesh once the gate is in the pod. The kubelet speaks plain HTTP to the health server:
// Istio rewrites its probes and linkerd lets them through, but neither does so for its hooks, so a mesh that
// insists on mTLS would refuse the hook that holds the application. The health port is left out of the mesh;
// clients still come in through it.

import type { Door } from './door.ts'
import { podAnnotationsOf, podLabelsOf } from './pod.ts'
import { HEALTH_PORT } from './sidecar.ts'
import { titleOf } from './stream.ts'
import type { Surroundings } from './surroundings.ts'

export type Mesh = 'istio' | 'linkerd'

export interface MeshChange {
  annotations: Record<string, string>
  says: string[]
}

const istioExcluded = 'traffic.sidecar.istio.io/excludeInboundPorts'
const linkerdSkipped = 'config.linkerd.io/skip-inbound-ports'
const linkerdOpaque = 'config.linkerd.io/opaque-ports'
/** linkerd's default, which any annotation replaces. */
const opaqueByDefault = '25,587,3306,4444,5432,6379,9300,11211'

/** The meshes that the pod, or its namespace if that is in the stream, asks for. */
function meshesOf({ workload, neighbours }: Surroundings): Mesh[] {
  const [labels, annotations] = [podLabelsOf(workload), podAnnotationsOf(workload)]
  const spaces = neighbours.filter(({ kind }) => kind === 'Namespace')
  const namespace = spaces[0]?.object.metadata ?? {}
  const asked = (label: string): string | undefined => labels[label] ?? annotations[label]
  const istio = asked('sidecar.istio.io/inject') ?? (isIstio(namespace.labels) ? 'true' : 'false')
  const linkerd = asked('linkerd.io/inject') ?? namespace.annotations?.['linkerd.io/inject'] ?? 'disabled'
  return [
    ...(istio === 'true' ? (['istio'] as const) : []),
    ...(linkerd === 'enabled' || linkerd === 'ingress' ? (['linkerd'] as const) : []),
  ]
}

function isIstio(labels: Record<string, string> = {}): boolean {
  return labels['istio-injection'] === 'enabled' || labels['istio.io/rev'] !== undefined
}

/** Annotations of the pod; none where they are right already. */
export function meshChange(around: Surroundings, doors: readonly Door[]): MeshChange {
  const { workload } = around
  const meshes = meshesOf(around)
  const annotations = podAnnotationsOf(workload)
  const wanted: Record<string, string> = {}
  if (meshes.includes('istio')) wanted[istioExcluded] = withPorts(annotations[istioExcluded], [HEALTH_PORT])
  if (meshes.includes('linkerd')) {
    wanted[linkerdSkipped] = withPorts(annotations[linkerdSkipped], [HEALTH_PORT])
    const said = annotations[linkerdOpaque] ?? opaqueByDefault
    const opaque = doors.filter(({ protocol, appPort }) => protocol === 'tcp' || has(said, appPort))
    const ports = opaque.map(({ port }) => port)
    if (ports.length > 0) wanted[linkerdOpaque] = withPorts(said, ports)
  }
  const changed = Object.entries(wanted).filter(([name, value]) => annotations[name] !== value)
  const title = titleOf(workload)
  return {
    annotations: Object.fromEntries(changed),
    says: changed.map(
      ([name, value]) => `${title}: annotation ${name}: "${value}" (docs/meshes.md says why)`,
    ),
  }
}

/** Whether a list of ports and port ranges has the port. */
function has(list: string | undefined, port: number): boolean {
  return (list ?? '').split(',').some((part) => {
    const [from, to = from] = part.split('-').map(Number)
    return from !== undefined && to !== undefined && from <= port && port <= to
  })
}

function withPorts(list: string | undefined, ports: readonly number[]): string {
  const missing = ports.filter((port) => !has(list, port)).map(String)
  return [...(list === undefined || list === '' ? [] : [list]), ...missing].join(',')
}
