// Ports of one pod, which all its containers share: two that listen on one number cannot both start, or the
// gate sends its clients to the wrong one.

import { portsOf, runningWith } from './pod.ts'
import { ADMIN_PORT, HEALTH_PORT } from './sidecar.ts'
import { fail, type Resource } from './stream.ts'
import type { Door } from './door.ts'

/** The TCP ports that the application and other sidecars declare. */
export const usedBy = (workload: Resource): number[] =>
  runningWith(workload).flatMap((one) => portsOf(one).map(({ containerPort }) => containerPort))

export function freeFrom(first: number, used: ReadonlySet<number>): number {
  let port = first
  while (used.has(port)) port++
  return port
}

/** The words of an option that gives each port to the gate, and the application a port that nobody has. */
export function takePorts(
  workload: Resource,
  doors: readonly Door[],
): (port: number) => { option: string; moved: number } {
  const used = new Set([
    ...usedBy(workload),
    ADMIN_PORT,
    HEALTH_PORT,
    ...doors.flatMap(({ port, appPort }) => [port, appPort]),
  ])
  const known = new Map<number, number>()
  return (port) => {
    // Above 55535 there is no room for the distance that is easy to remember.
    const moved = known.get(port) ?? freeFrom(port + (port > 55_000 ? -10_000 : 10_000), used)
    known.set(port, moved)
    used.add(moved)
    return { option: `--take-port ${port}:${moved}`, moved }
  }
}

/** Throws where two would listen on one port of the pod. */
export function refuseClashes(workload: Resource, doors: readonly Door[]): void {
  const used = usedBy(workload)
  for (const door of doors) {
    if (door.isTaken) refuseMoved(workload, door, used)
    else refuseUsed(workload, door, doors)
    refuseServers(workload, door, used)
  }
  for (const [index, { port, appPort }] of doors.entries()) {
    const other = doors.find((one, at) => at !== index && (one.port === port || one.appPort === port))
    if (other !== undefined)
      fail(
        workload,
        other.port === port
          ? `the gate cannot listen on port ${port} for both ${appPort} and ${other.appPort}; give each a port of its own`
          : `port ${port} is to be the gate's and the application's; have the application listen on another one than ${port}`,
      )
  }
}

function refuseUsed(workload: Resource, { appPort, port }: Door, doors: readonly Door[]): void {
  const used = usedBy(workload)
  if (appPort !== port && !used.includes(port)) return
  const free = freeFrom(port + 1, new Set(used))
  fail(
    workload,
    `port ${port} belongs to the application; give the gate another one with --port ${appPort}:${free}, or take it over with ${takePorts(workload, doors)(port).option}`,
  )
}

/** The new port of the application, unless an earlier run has moved it there. */
function refuseMoved(workload: Resource, { appPort, port, earlier }: Door, used: readonly number[]): void {
  if (earlier === port || (appPort !== port && !used.includes(appPort))) return
  const free = freeFrom(appPort + 1, new Set([...used, ADMIN_PORT, HEALTH_PORT]))
  fail(
    workload,
    `--take-port ${port}:${appPort}: port ${appPort} is in use in the pod; move the application to another one, such as ${port}:${free}`,
  )
}

function refuseServers(workload: Resource, { port, appPort }: Door, used: readonly number[]): void {
  for (const [own, server] of [
    [HEALTH_PORT, 'health'],
    [ADMIN_PORT, 'admin'],
  ] as const)
    if ([...used, port, appPort].includes(own))
      fail(
        workload,
        `port ${own} is that of the gate's ${server} server; move the application's, or take the library chart, where config.${server}.address says another one`,
      )
}
