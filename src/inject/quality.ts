// The QoS class of a pod: Guaranteed where every container has limits for CPU and memory, and requests
// nothing less.

import { containersOf, specOf } from './pod.ts'
import { SIDECAR_NAME } from './sidecar.ts'
import type { Resource } from './stream.ts'
import type { Loose } from './plain.ts'

/** For the pod without the gate. */
export function isGuaranteed(workload: Resource): boolean {
  const { initContainers } = specOf(workload)
  const others = (Array.isArray(initContainers) ? initContainers : []).filter(
    ({ name }) => name !== SIDECAR_NAME,
  )
  return [...containersOf(workload), ...others].every(({ resources }: Loose) =>
    ['cpu', 'memory'].every((name) => {
      const limit: unknown = resources?.limits?.[name]
      return limit !== undefined && (resources.requests?.[name] ?? limit) === limit
    }),
  )
}
