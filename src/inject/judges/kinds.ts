// The consequences of the kind of the workload: the peers of a StatefulSet, the end of a Job, and the node
// drains that a disruption budget allows.

import { podLabelsOf } from '../pod.ts'
import { titleOf } from '../stream.ts'
import { selects } from '../surroundings.ts'
import type { Judge } from './judge.ts'

export const judgePeers: Judge = ({ workload, doors, neighbours }) => {
  if (workload.kind !== 'StatefulSet') return []
  const isClosed = neighbours.some(
    ({ kind, object }) =>
      kind === 'NetworkPolicy' && selects(object.spec?.podSelector, podLabelsOf(workload)),
  )
  const ports = doors.filter(({ isTaken }) => !isTaken).map(({ appPort }) => appPort)
  if (!isClosed || ports.length === 0) return []
  return [
    {
      code: 'peers',
      about: titleOf(workload),
      text: `its pods may speak to each other at ${ports.join(', ')}, which the NetworkPolicy admits no more; where they do, add a rule for that port from the pods themselves`,
    },
  ]
}

export const judgeJob: Judge = ({ workload }) => {
  if (workload.kind !== 'Job' && workload.kind !== 'CronJob') return []
  return [
    {
      code: 'job',
      about: titleOf(workload),
      text: 'ends when its containers do, because the gate is a native sidecar; before Kubernetes 1.29 it would never begin, and a Job that ends by itself runs no hooks, so its last connections are cut. See that it is meant to serve',
    },
  ]
}

export const judgeBudget: Judge = ({ workload, neighbours }) => {
  const replicas: unknown = workload.object.spec?.replicas ?? 1
  return neighbours
    .filter(({ kind, object }) => {
      if (kind !== 'PodDisruptionBudget' || !selects(object.spec?.selector, podLabelsOf(workload)))
        return false
      const { maxUnavailable, minAvailable } = object.spec
      const isNone = maxUnavailable === 0 || maxUnavailable === '0%'
      return (
        isNone ||
        minAvailable === '100%' ||
        (typeof minAvailable === 'number' && minAvailable >= Number(replicas))
      )
    })
    .map((budget) => ({
      code: 'disruption-budget',
      about: titleOf(budget),
      text: `lets no pod of ${titleOf(workload)} go, so the drain of a node waits until somebody ends it by force, and the gate's connections with it; allow one: maxUnavailable: 1`,
    }))
}
