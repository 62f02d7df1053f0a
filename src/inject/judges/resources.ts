// The effect of the gate's share of CPU and memory on the whole pod: its QoS class, and the ratio that an
// autoscaler reads.

import { isGuaranteed } from '../quality.ts'
import { sidecarOf } from '../pod.ts'
import { titleOf } from '../stream.ts'
import type { Loose } from '../plain.ts'
import { scalersOf } from '../surroundings.ts'
import type { Judge } from './judge.ts'

export const judgeQuality: Judge = ({ workload, wishes }) => {
  const limits = sidecarOf(workload)?.resources?.limits
  if (!isGuaranteed(workload) || wishes.cpu !== null || limits?.cpu !== undefined) return []
  return [
    {
      code: 'guaranteed',
      about: titleOf(workload),
      text: 'its QoS class is Guaranteed and becomes Burstable, since the gate has no CPU limit: it is evicted earlier and loses CPUs of its own; say what the gate may use with --cpu 500m --memory 256Mi, and it stays Guaranteed',
    },
  ]
}

export const judgeAutoscaler: Judge = (situation) =>
  scalersOf(situation).flatMap((scaler) => {
    const metrics: Loose[] = Array.isArray(scaler.object.spec?.metrics) ? scaler.object.spec.metrics : []
    const ofPod = metrics
      .filter(({ type }) => type === 'Resource')
      .map(({ resource }) => String(resource?.name))
    if (scaler.object.spec?.targetCPUUtilizationPercentage !== undefined) ofPod.push('cpu')
    const container = situation.doors[0]?.container
    return ofPod.map((name) => ({
      code: 'autoscaler' as const,
      about: titleOf(scaler),
      text: `scales by ${name} of the whole pod, in which the gate's share counts from now on; name the application's with type: ContainerResource, container: ${container} (Kubernetes 1.30), or scale by sidegate_connections`,
    }))
  })
