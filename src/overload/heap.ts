// V8's heap in a container: V8's own limit ignores small container limits (259 MiB and more in any container
// below 1 GiB, Node 24 and 26), and V8 collects by its own growth, not by the kernel's count.

import { nodeV8, nodeVm } from '../core/late.ts'

/** The heap's share of a container's limit: the rest is for buffers outside the heap, and for Node itself. */
const MAX_SHARE = 0.75
const MIB = 1024 * 1024

/** The advice to an operator if the heap may grow until the kernel kills the process, else null. */
export function heapWarning(
  limitBytes: number,
  heapBytes = nodeV8().getHeapStatistics().heap_size_limit,
): string | null {
  if (heapBytes <= MAX_SHARE * limitBytes) return null
  return `the JavaScript heap may grow to ${mib(heapBytes)} in a container of ${mib(limitBytes)}, so that the kernel kills the process first: set NODE_OPTIONS=--max-old-space-size-percentage=50`
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}

/**
 * Collects all garbage now, and returns to the system the memory that V8 would keep. Buffers of ended
 * connections are garbage until then, and a process that refuses all work makes nothing that would bring V8
 * to collect. Some 50 ms for a heap of 50 MiB.
 */
export function collectGarbage(): void {
  const collect = globalThis.gc ?? exposedGc()
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

/** Node gives no other access to the collector in a process started without `--expose-gc`. */
function exposedGc(): NodeJS.GCFunction {
  const { setFlagsFromString } = nodeV8()
  setFlagsFromString('--expose-gc')
  const collect = nodeVm().runInNewContext('gc') as NodeJS.GCFunction
  setFlagsFromString('--no-expose-gc')
  return collect
}
