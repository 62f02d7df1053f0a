// How many threads relay, and how large the heap of each may grow.

import { availableParallelism } from 'node:os'
import { ConfigError } from '../core/errors.ts'
import type { Log } from '../log/log.ts'
import { readCpuLimit } from '../overload/cpu-limit.ts'
import { memoryGauge } from '../overload/memory.ts'

const MAX_WORKERS = 64
const MIB = 1024 * 1024
/**
 * The share of the container's limit for all heaps together: the rest is for buffers, which are outside of
 * them, and for Node itself.
 */
const HEAP_SHARE = 0.5
/** A thread cannot start with less. */
const LEAST_HEAP_MB = 64

/** The facts that decide. */
export interface Room {
  platform: string
  /** Cores; null where the container has no limit. */
  cpuLimit: number | null
  cores: number
  memoryBytes: number
  /** The memory is the container's limit, not the machine's. */
  isMemoryLimited: boolean
}

function thisRoom(): Room {
  const gauge = memoryGauge()
  return {
    platform: process.platform,
    cpuLimit: readCpuLimit(),
    cores: availableParallelism(),
    memoryBytes: gauge.read().limitBytes,
    isMemoryLimited: gauge.cgroup !== null,
  }
}

/**
 * `auto`: the CPU limit of the container, rounded up, or else the cores; and no more than their heaps have
 * memory for. A sidecar mostly has no CPU limit, a small memory limit, and a node of many cores: a thread for
 * each core would have the kernel kill it at its start.
 */
export function workersOf(configured: number | 'auto', room: () => Room = thisRoom): number {
  if (configured === 'auto') return chosen(room())
  if (configured === 1 || room().platform === 'linux') return configured
  const message = `got ${configured}, but threads share a port on Linux only: write 1`
  throw new ConfigError('configuration', [{ line: 0, column: 0, path: 'workers', message }])
}

function chosen({ platform, cpuLimit, cores, memoryBytes }: Room): number {
  const wanted = Math.min(MAX_WORKERS, Math.ceil(cpuLimit ?? cores), heapsIn(memoryBytes))
  return platform === 'linux' ? Math.max(1, wanted) : 1
}

/** The number of workers whose least heaps fit. */
function heapsIn(memoryBytes: number): number {
  return Math.floor((memoryBytes * HEAP_SHARE) / MIB / LEAST_HEAP_MB)
}

/** Says at the start what `auto` has chosen, and why: nothing in the file shows it. */
export function tellWorkers(
  configured: number | 'auto',
  log: Pick<Log, 'info' | 'warn'>,
  roomOf: () => Room = thisRoom,
): void {
  if (configured !== 'auto') return
  const room = roomOf()
  const workers = chosen(room)
  const because = reasonFor(workers, room)
  if (room.cpuLimit !== null || !room.isMemoryLimited || workers === 1)
    return log.info('workers', { workers, because })
  log.warn('workers for a machine, not for this container', {
    workers,
    because,
    remedy: 'workers: auto follows the CPU limit, and the container has none: write a number, or set a limit',
  })
}

function reasonFor(workers: number, { platform, cpuLimit, cores, memoryBytes }: Room): string {
  if (platform !== 'linux') return 'threads share a port on Linux only'
  const wanted = cpuLimit === null ? `${cores} cores of the machine` : `CPU limit ${cpuLimit}`
  const isShort = workers < Math.min(MAX_WORKERS, Math.ceil(cpuLimit ?? cores))
  return isShort ? `${wanted}, memory of ${Math.round(memoryBytes / MIB)} MiB` : wanted
}

/** Megabytes; V8 would let each thread grow to a quarter of the machine. */
export function heapMbOf(workers: number, limitBytes = memoryGauge().read().limitBytes): number {
  return Math.max(LEAST_HEAP_MB, Math.floor((limitBytes * HEAP_SHARE) / workers / MIB))
}
