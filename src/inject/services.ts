// Points the Services of a workload at the gate. Only `targetPort` changes, and it becomes a number: before
// Kubernetes 1.32 Services do not find a named port of a native sidecar.

import { containersOf, portAt } from './pod.ts'
import type { Door } from './door.ts'
import { isHeadless } from './doors.ts'
import type { Wanted } from './merge.ts'
import { titleOf, type Resource } from './stream.ts'
import type { Loose } from './plain.ts'
import type { Surroundings } from './surroundings.ts'

export interface Change {
  resource: Resource
  wanted: Wanted
  /** For the operator, one sentence for each change. */
  says: string[]
}

export function repoint({ workload, services }: Surroundings, doors: readonly Door[]): Change[] {
  return services.flatMap((service) => {
    const says: string[] = []
    const ports = rawPorts(service).map((port) => {
      const { port: number, targetPort = number, protocol = 'TCP' } = port ?? {}
      const door = protocol === 'TCP' ? doorAt(workload, doors, targetPort) : null
      if (door === null || targetPort === door.port) return null
      // No traffic goes through a headless Service: its clients resolve the pods and dial the port
      // themselves. Its endpoints and SRV records have the number behind a name, which is the gate's where it
      // took over.
      if (isHeadless(service) && !door.isTaken) return null
      says.push(`${titleOf(service)}: port ${number}: targetPort ${targetPort} -> ${door.port}`)
      return { targetPort: door.port }
    })
    return says.length === 0 ? [] : [{ resource: service, wanted: { spec: { ports } }, says }]
  })
}

function rawPorts({ object }: Resource): Loose[] {
  return Array.isArray(object.spec?.ports) ? object.spec.ports : []
}

/** The door for traffic to a port of the application, by the port's number or name. */
export function doorAt(workload: Resource, doors: readonly Door[], target: unknown): Door | null {
  const number = portAt(containersOf(workload), target)?.containerPort ?? target
  const isMeant = (door: Door): boolean =>
    (door.isTaken ? door.port : door.appPort) === number || door.earlier === target
  return doors.find(isMeant) ?? null
}

/** Whether one of its ports leads to a gate after all changes. */
export function leadsTo(
  service: Resource,
  { workload, doors }: { workload: Resource; doors: readonly Door[] },
): boolean {
  return rawPorts(service).some(({ port, targetPort = port }) => {
    const isGate = doors.some((door) => door.port === targetPort)
    return isGate || (!isHeadless(service) && doorAt(workload, doors, targetPort) !== null)
  })
}
