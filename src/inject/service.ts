// Points the Services of a workload at the gate. Only `targetPort` changes, and it becomes a number: a port that is named
// on a native sidecar is not found by Services before Kubernetes 1.32.

import { isMap, type YAMLMap } from 'yaml'
import { own, plain, setScalar, titleOf, type Resource } from './manifest.ts'
import { declaredPorts, podLabelsOf, type Placement } from './workload.ts'

/** Those in the same stream that send to the pods of the workload. */
export function servicesOf(workload: Resource, services: readonly Resource[]): Resource[] {
  const labels = podLabelsOf(workload)
  return services.filter((service) => {
    const spec = own(service, service.node, 'spec', 'map')
    const selector = Object.entries((plain(service.part, spec?.get('selector')) ?? {}) as Record<string, string>)
    return service.namespace === workload.namespace && selector.length > 0 && selector.every(([name, value]) => labels[name] === value)
  })
}

/** Changes the document; gives a sentence for each port that was changed. */
export function repoint(service: Resource, workload: Resource, placement: Placement): string[] {
  const spec = own(service, service.node, 'spec', 'map')
  const ports = spec === null ? null : own(service, spec, 'ports', 'list')
  const changes = (ports?.items ?? []).filter(isMap).flatMap((port) => {
    const target = port.get('targetPort') ?? port.get('port')
    if (!isOfApp(target, workload, placement)) return []
    setScalar(port, 'targetPort', placement.port)
    service.part.isChanged = true
    return [`${titleOf(service)}: port ${String(port.get('port'))}: targetPort ${String(target)} -> ${placement.port}`]
  })
  return changes
}

/** Whether one of its ports leads to the gate by now. */
export function leadsTo(service: Resource, { port }: Placement): boolean {
  const spec = own(service, service.node, 'spec', 'map')
  const ports = (plain(service.part, spec?.get('ports')) ?? []) as { targetPort?: unknown }[]
  return ports.some(({ targetPort }) => targetPort === port)
}

function isOfApp(target: unknown, workload: Resource, { container, appPort }: { container: YAMLMap; appPort: number }): boolean {
  if (typeof target === 'number') return target === appPort
  return declaredPorts(workload, container).some(({ name, containerPort }) => name === target && containerPort === appPort)
}
