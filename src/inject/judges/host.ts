// Ports of the node: with hostNetwork the gate's ports would be the node's, and a hostPort leads around the
// gate.

import { containersOf, specOf } from '../pod.ts'
import { ADMIN_PORT, HEALTH_PORT, SIDECAR_NAME } from '../sidecar.ts'
import { fail, titleOf } from '../stream.ts'
import type { Loose } from '../plain.ts'
import type { Judge } from './judge.ts'

/** Throws where the gate would open its servers on the node. */
export const judgeHost: Judge = ({ workload, doors }) => {
  if (specOf(workload).hostNetwork === true)
    fail(
      workload,
      `has hostNetwork, so the ports ${ADMIN_PORT}, ${HEALTH_PORT} and ${doors[0]?.port} would be the node's, and its admin server anybody's on the node; give the pod a network of its own, or put a gateway before it (chart sidegate)`,
    )
  return containersOf(workload).flatMap((container: Loose) =>
    (Array.isArray(container.ports) ? container.ports : []).flatMap(
      ({ hostPort, containerPort, protocol = 'TCP' }: Loose) => {
        const door = doors.find(({ isTaken, port, appPort }) => containerPort === (isTaken ? port : appPort))
        if (hostPort === undefined || protocol !== 'TCP' || door === undefined) return []
        const text = `container ${container.name}: hostPort ${hostPort} leads to port ${door.appPort} of the application around the gate; take it out there, and write it at containerPort ${door.port} of container ${SIDECAR_NAME}, or use a Service of type NodePort`
        return [{ code: 'host-port' as const, about: titleOf(workload), text }]
      },
    ),
  )
}
