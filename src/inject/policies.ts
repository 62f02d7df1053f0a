// NetworkPolicies that admit the application's port admit the gate's instead: the way in stays open, and the
// way around is closed. Rules that do not name that port are reported, not guessed at.

import type { Door } from './door.ts'
import { podLabelsOf } from './pod.ts'
import { doorAt, type Change } from './services.ts'
import { HEALTH_PORT } from './sidecar.ts'
import { titleOf, type Resource } from './stream.ts'
import type { Loose } from './plain.ts'
import { selects, type Surroundings } from './surroundings.ts'

export function admitGate(around: Surroundings, doors: readonly Door[]): Change[] {
  const { workload, neighbours } = around
  return neighbours
    .filter(({ kind }) => kind === 'NetworkPolicy')
    .flatMap((policy) => {
      const says: string[] = []
      const replaced = (rules: unknown, isOurs: (rule: Loose) => boolean): unknown =>
        list(rules).map((rule) =>
          isOurs(rule) ? replacePorts(rule, { policy, workload, doors, says }) : null,
        )
      const { spec } = policy.object
      const labels = podLabelsOf(workload)
      const isOn = selects(spec?.podSelector, labels)
      const wanted = {
        spec: {
          ...(isOn ? { ingress: replaced(spec?.ingress, () => true) } : {}),
          // Other pods with egress to it: they dial a Service, and policies judge them by the port of the
          // pod.
          egress: replaced(spec?.egress, ({ to }) =>
            list(to).some((peer) => selects(peer?.podSelector, labels)),
          ),
        },
      }
      return says.length === 0 ? [] : [{ resource: policy, wanted: withoutEmpty(wanted), says }]
    })
}

interface Rule {
  policy: Resource
  workload: Resource
  doors: readonly Door[]
  says: string[]
}

function replacePorts({ ports }: Loose, { policy, workload, doors, says }: Rule): object | null {
  const wanted = list(ports).map((entry) => {
    const door = isPlain(entry) ? doorAt(workload, doors, entry.port) : null
    if (door === null || entry.port === door.port) return null
    says.push(`${titleOf(policy)}: admits port ${door.port} in place of ${entry.port}`)
    return { port: door.port }
  })
  return wanted.some((entry) => entry !== null) ? { ports: wanted } : null
}

const isPlain = ({ protocol = 'TCP', endPort }: Loose): boolean => protocol === 'TCP' && endPort === undefined
const list = (value: unknown): Loose[] => (Array.isArray(value) ? value : [])

/** A list with nothing to change would look like a list to create. */
function withoutEmpty({ spec }: { spec: Record<string, unknown> }): { spec: object } {
  const entries = Object.entries(spec).filter(([, rules]) => list(rules).some((rule) => rule !== null))
  return { spec: Object.fromEntries(entries) }
}

/** The rules of the pods' policies that exchanging a number cannot move. */
export function judgePolicies(
  { workload, neighbours }: Surroundings,
  doors: readonly Door[],
): [string, string][] {
  const policies = neighbours.filter(
    ({ kind, object }) =>
      kind === 'NetworkPolicy' && selects(object.spec?.podSelector, podLabelsOf(workload)),
  )
  const said = policies.flatMap((policy): [string, string][] =>
    list(policy.object.spec?.ingress).flatMap((rule) =>
      remarks(rule, doors).map((remark): [string, string] => [titleOf(policy), remark]),
    ),
  )
  const rules = policies.flatMap(({ object }) => list(object.spec?.ingress))
  const isScraped = rules.some(
    ({ ports }) => list(ports).length === 0 || list(ports).some((one) => covers(one, HEALTH_PORT)),
  )
  if (rules.length > 0 && !isScraped)
    said.push([
      titleOf(policies[0] as Resource),
      `admits nobody to port ${HEALTH_PORT}, where Prometheus finds the gate's metrics; add a rule from its namespace (the kubelet needs none)`,
    ])
  return said
}

function remarks({ ports }: Loose, doors: readonly Door[]): string[] {
  if (list(ports).length === 0)
    return [
      `has a rule for every port, so the way around the gate stays open; name the ports: ${doors.map(({ port }) => port).join(', ')}`,
    ]
  return list(ports)
    .filter(({ endPort }) => endPort !== undefined)
    .flatMap((entry) => {
      const around = doors.find(({ appPort }) => covers(entry, appPort))
      if (around === undefined) return []
      return [
        `admits ports ${entry.port} to ${entry.endPort}, the application's ${around.appPort} among them; leave that one out and admit ${around.port}`,
      ]
    })
}

function covers({ port, endPort = port, protocol = 'TCP' }: Loose, wanted: number): boolean {
  return protocol === 'TCP' && port <= wanted && wanted <= endPort
}
