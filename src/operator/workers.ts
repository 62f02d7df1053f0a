// How many threads relay, and how large the heap of each may grow.

import { availableParallelism, totalmem } from 'node:os'
import { ConfigError } from '../core/errors.ts'
import { cpuLimit } from '../overload/cpu-limit.ts'

const MAX_WORKERS = 64
const MIB = 1024 * 1024
/**
 * The share of the container's limit for all heaps together: the rest is for buffers, which are outside of
 * them, and for Node itself.
 */
const HEAP_SHARE = 0.5
/** A thread cannot start with less. */
const LEAST_HEAP_MB = 64

/** `auto`: the CPU limit of the container, rounded up, or else the system's available parallelism. */
export function workersOf(
  configured: number | 'auto',
  limit = cpuLimit(),
  platform: string = process.platform,
): number {
  const isLinux = platform === 'linux'
  if (configured === 'auto')
    return isLinux ? Math.min(MAX_WORKERS, Math.max(1, Math.ceil(limit ?? availableParallelism()))) : 1
  if (configured === 1 || isLinux) return configured
  const message = `got ${configured}, but threads share a port on Linux only: write 1`
  throw new ConfigError('configuration', [{ line: 0, column: 0, path: 'workers', message }])
}

/** Megabytes; V8 would let each thread grow to a quarter of the machine. */
export function heapMbOf(workers: number, limitBytes = memoryLimit()): number {
  return Math.max(LEAST_HEAP_MB, Math.floor((limitBytes * HEAP_SHARE) / workers / MIB))
}

function memoryLimit(): number {
  const limit = process.constrainedMemory()
  // Without a limit the kernel reports a number near 2^64.
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}
