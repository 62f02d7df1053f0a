// The doors: which ports of an application get a gate, at which ports of the pod, with which protocol. By
// default they are the ports to which Services of the same stream send, except ports for metrics.

import { freeFrom, refuseClashes, usedBy } from './clashes.ts'
import type { Door } from './door.ts'
import { containersOf, portAt, portsOf, sidecarOf } from './pod.ts'
import { protocolOf, schemesOf, type Protocol } from './protocol.ts'
import { DEFAULT_PORT, SIDECAR_NAME } from './sidecar.ts'
import { fail, type Resource } from './stream.ts'
import type { Loose } from './plain.ts'
import type { Surroundings } from './surroundings.ts'

/** A port as the operator gave it, or as an earlier run recorded it. */
export interface PortWish {
  appPort: number
  port: number | null
  protocol: Protocol | null
}

export interface DoorOptions {
  ports: readonly PortWish[]
  /** The application's ports that the gate takes over, with the application's new ones. */
  taken: readonly { port: number; moved: number }[]
  container: string | null
  protocol: Protocol | null
}

/** The annotation of a workload with the ports of an earlier run. */
export const PORTS = 'sidegate.io/ports'

export function writePorts(doors: readonly Door[]): string {
  return doors.map(({ appPort, port, protocol }) => `${appPort}:${port}/${protocol}`).join(',')
}

export function parsePort(words: string): PortWish | null {
  const match = /^(\d{1,5})(?::(\d{1,5}))?(?:\/(http|tcp|h2c))?$/.exec(words)
  if (match === null) return null
  const [appPort, port] = [Number(match[1]), match[2] === undefined ? null : Number(match[2])]
  const isPort = (number: number): boolean => number >= 1 && number <= 65_535
  if (!isPort(appPort) || (port !== null && !isPort(port))) return null
  return { appPort, port, protocol: (match[3] as Protocol | undefined) ?? null }
}

/** Empty where the workload serves no port that could be meant. */
export function doorsOf(around: Surroundings, options: DoorOptions): Door[] {
  const { workload } = around
  const containers = containersOf(workload)
  if (containers.some(({ name }) => name === SIDECAR_NAME))
    fail(workload, `has ${SIDECAR_NAME} among its containers; remove it there, it is added to initContainers`)
  const written = String(workload.object.metadata?.annotations?.[PORTS] ?? '')
  const earlier = written.split(',').flatMap((words) => parsePort(words) ?? [])
  const wished = [
    ...options.taken.map(({ port, moved }) => ({ appPort: moved, port, protocol: null })),
    ...options.ports,
  ]
  const kept = earlier.filter(({ appPort }) => !wished.some((one) => one.appPort === appPort))
  const wishes = [...kept, ...wished]
  const targets = wishes.length > 0 ? wishes : targetsOf(around, options.container)
  const doors: Door[] = []
  for (const wish of targets) {
    const door = doorFor(around, wish, { options, doors })
    const before = earlier.find(({ appPort }) => appPort === wish.appPort)?.port ?? null
    if (door !== null) doors.push({ ...door, earlier: before })
  }
  refuseClashes(workload, doors)
  return doors
}

function doorFor(
  around: Surroundings,
  { appPort, port, protocol }: PortWish,
  { options, doors }: { options: DoorOptions; doors: readonly Door[] },
): Door | null {
  const { workload } = around
  const taken = options.taken.find(({ moved }) => moved === appPort)
  const container = chosen(workload, taken?.port ?? appPort, options.container)
  if (container === null) return null
  const gate = port ?? freePort(workload, doors)
  const spoken = protocolOf(evidenceOf(around, container, taken?.port ?? appPort))
  const wanted = protocol ?? options.protocol
  return {
    appPort,
    port: gate,
    container: String(container.name),
    isTaken: taken !== undefined,
    earlier: null,
    ...(wanted === null ? spoken : { protocol: wanted, why: null }),
  }
}

function freePort(workload: Resource, doors: readonly Door[]): number {
  // The first one is named or refused, not moved: policies and configurations that are kept elsewhere contain
  // it.
  if (doors.length === 0) return DEFAULT_PORT
  const used = [...usedBy(workload), ...doors.map(({ port }) => port)]
  return freeFrom(DEFAULT_PORT, new Set(used))
}

/** The container that listens on the port; null where it cannot be determined. */
function chosen(workload: Resource, appPort: number, name: string | null): Loose {
  const containers = containersOf(workload)
  if (name !== null) return containers.find((one) => one.name === name) ?? null
  if (containers.length === 1) return containers[0]
  const serving = containers.filter((one) =>
    portsOf(one).some(({ containerPort }) => containerPort === appPort),
  )
  if (serving.length === 1) return serving[0]
  const names = containers.map((one) => String(one.name)).join(', ')
  return fail(workload, `has the containers ${names}: say which one the gate is for with --container NAME`)
}

/** The ports to which Services send, or else the one declared port. */
function targetsOf(around: Surroundings, container: string | null): PortWish[] {
  const { workload, services } = around
  const all = containersOf(workload).filter(({ name }) => container === null || name === container)
  // A Service that leads to an existing gate shows nothing about the application.
  const gates = new Set(portsOf(sidecarOf(workload)).map(({ containerPort }) => containerPort))
  const served = (of: readonly Resource[]): number[] =>
    of
      .flatMap((service) => servicePorts(service).flatMap((port) => targetIn(all, port) ?? []))
      .filter((port) => !gates.has(port))
  // A headless Service names pods, and its port often means nothing: it counts only where there is no other.
  const [headless, others] = [services.filter(isHeadless), services.filter((one) => !isHeadless(one))]
  const ports = new Set(served(others).length > 0 ? served(others) : served(headless))
  if (ports.size === 0) for (const port of declared(workload, all)) ports.add(port)
  return [...ports].map((appPort) => ({ appPort, port: null, protocol: null }))
}

function declared(workload: Resource, containers: readonly Loose[]): number[] {
  const serving = containers.filter((one) => portsOf(one).length > 0)
  if (serving.length > 1) {
    const names = serving.map((one) => String(one.name)).join(', ')
    fail(workload, `has the containers ${names}: say which one the gate is for with --container NAME`)
  }
  const found = portsOf(serving[0])
  const ports = found.filter((port) => !isForMetrics(port.name))
  const [port, ...others] = ports.length > 0 ? ports : found
  if (port === undefined) return []
  if (others.length === 0) return [port.containerPort]
  const numbers = ports.map(({ containerPort }) => containerPort).join(', ')
  return fail(
    workload,
    `container ${serving[0].name} has the ports ${numbers}, and no Service in this file says which are meant: name each with --port ${port.containerPort}:17080`,
  )
}

const metricsName = /(^|-)(metrics|prometheus|prom|telemetry)(-|$)/

/** A scraper is no client: it comes from elsewhere, and must not share the limits of clients. */
export function isForMetrics(name: string | undefined): boolean {
  return name !== undefined && metricsName.test(name)
}

export function isHeadless({ object }: Resource): boolean {
  return object.spec?.clusterIP === 'None'
}

/** The TCP ports of a Service. */
export function servicePorts(service: Resource): Loose[] {
  const ports: Loose[] = Array.isArray(service.object.spec?.ports) ? service.object.spec.ports : []
  return ports.filter((port) => (port?.protocol ?? 'TCP') === 'TCP')
}

/** The container port to which a port of a Service leads; null for metrics and for an undeclared name. */
function targetIn(containers: readonly Loose[], { name, port, targetPort = port }: Loose): number | null {
  const found = portAt(containers, targetPort)
  if (isForMetrics(name) || isForMetrics(found?.name)) return null
  return (
    found?.containerPort ?? (typeof targetPort === 'number' && containers.length === 1 ? targetPort : null)
  )
}

function evidenceOf({ services, neighbours }: Surroundings, container: Loose, appPort: number) {
  const own = portsOf(container).filter(({ containerPort }) => containerPort === appPort)
  const leading = services.flatMap((service) =>
    servicePorts(service)
      .filter(
        ({ port, targetPort = port }) =>
          targetPort === appPort || own.some(({ name }) => name === targetPort),
      )
      .map((port) => ({ port, service })),
  )
  const texts = (words: unknown[]): string[] => words.filter((word) => typeof word === 'string')
  return {
    appPort,
    names: texts([...own.map(({ name }) => name), ...leading.map(({ port }) => port.name)]),
    appProtocols: texts(leading.map(({ port }) => port.appProtocol)),
    schemes: leading.flatMap(({ service }) => schemesOf(service.object, neighbours)),
  }
}
