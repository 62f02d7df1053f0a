// The surroundings of a workload in the same stream: the Services, policies and scalers that refer to its
// pods.

import { podLabelsOf } from './pod.ts'
import type { Resource } from './stream.ts'
import type { Loose } from './plain.ts'

export interface Surroundings {
  workload: Resource
  /** Every object of its namespace, the workload included, and the namespace itself. */
  neighbours: readonly Resource[]
  /** The Services that send to its pods. */
  services: readonly Resource[]
}

export function surroundingsOf(workload: Resource, all: readonly Resource[]): Surroundings {
  const neighbours = all.filter(
    ({ kind, name, namespace }) =>
      namespace === workload.namespace || (kind === 'Namespace' && name === workload.namespace),
  )
  const labels = podLabelsOf(workload)
  const services = neighbours.filter(({ kind, object }) => {
    if (kind !== 'Service') return false
    const selector = Object.entries(object.spec?.selector ?? {})
    return selector.length > 0 && selector.every(([name, value]) => labels[name] === value)
  })
  return { workload, neighbours, services }
}

/** A label selector's match; an empty selector takes every pod, an absent one none. */
export function selects(selector: Loose, labels: Readonly<Record<string, string>>): boolean {
  if (typeof selector !== 'object' || selector === null) return false
  const exact = Object.entries(selector.matchLabels ?? {}).every(([name, value]) => labels[name] === value)
  return exact && (selector.matchExpressions ?? []).every((one: Loose) => isMet(one, labels))
}

function isMet({ key, operator, values = [] }: Loose, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[key]
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    default:
      return value === undefined
  }
}

/** The scalers that have the workload as their target. */
export function scalersOf({ workload, neighbours }: Surroundings): Resource[] {
  return neighbours.filter(({ object }) => {
    const target = object.spec?.scaleTargetRef
    return target?.name === workload.name && (target.kind ?? 'Deployment') === workload.kind
  })
}
