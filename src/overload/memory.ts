// A memory gauge: how much memory there is and how much is used, by the figures for which the kernel would
// kill this process.
//
// In a container these are its cgroup's: the limit (v2: memory.max, or memory.high if that is lower; v1:
// memory.limit_in_bytes), and the usage less the file cache that the kernel would drop first, which
// Kubernetes calls the working set. Without a limit it is our own resident memory against that of the
// machine: the cache of other processes there says nothing about us.
//
// A look reads three small files, 75 us (Linux 6, 2 cores, November 2026), so it is synchronous, four times a
// second.

import { totalmem } from 'node:os'
import { posix } from 'node:path'
import { hierarchies, readHere } from './cgroup.ts'
import type { ReadFile } from './cgroup.ts'

export interface MemoryReading {
  limitBytes: number
  usageBytes: number
}

export interface MemoryGauge {
  /** The origin of the limit: a cgroup's folder, or null for the machine. */
  readonly cgroup: string | null
  read(): MemoryReading
}

/** The source of a gauge. */
export interface Machine {
  readFile: ReadFile
  totalBytes: number
  /** Null where the system cannot tell now: Linux needs a descriptor for it. */
  residentBytes(): number | null
}

const thisMachine: Machine = {
  readFile: readHere,
  totalBytes: totalmem(),
  residentBytes() {
    try {
      return process.memoryUsage.rss()
    } catch {
      return null
    }
  },
}

interface Files {
  /** The lowest of these is the limit. */
  limits: readonly string[]
  usage: string
  /** The field of memory.stat for the cache that the kernel drops first. */
  inactive: string
  /** The field of memory.stat with an outer limit that is not visible itself. */
  hierarchical: string | null
}

const v2: Files = {
  limits: ['memory.max', 'memory.high'],
  usage: 'memory.current',
  inactive: 'inactive_file',
  hierarchical: null,
}
const v1: Files = {
  limits: ['memory.limit_in_bytes'],
  usage: 'memory.usage_in_bytes',
  inactive: 'total_inactive_file',
  hierarchical: 'hierarchical_memory_limit',
}

export function memoryGauge(machine: Machine = thisMachine): MemoryGauge {
  const found = tightest(machine)
  // With no descriptor left nothing can be read: the last reading holds until there is one.
  let last: MemoryReading | null = null
  if (found === null)
    return { cgroup: null, read: () => (last = ofProcess(machine) ?? last ?? unknown(machine)) }
  const { folder, files } = found
  // Each look reads the limit anew: a pod may be resized in place.
  return {
    cgroup: folder,
    read: () => (last = readCgroup(machine, folder, files) ?? ofProcess(machine) ?? last ?? unknown(machine)),
  }
}

function ofProcess(machine: Machine): MemoryReading | null {
  const usageBytes = machine.residentBytes()
  return usageBytes === null ? null : { limitBytes: machine.totalBytes, usageBytes }
}

function unknown({ totalBytes: limitBytes }: Machine): MemoryReading {
  return { limitBytes, usageBytes: 0 }
}

function readCgroup(machine: Machine, folder: string, files: Files): MemoryReading | null {
  const usage = Number(machine.readFile(posix.join(folder, files.usage)) ?? Number.NaN)
  if (!Number.isFinite(usage)) return null
  const stat = machine.readFile(posix.join(folder, 'memory.stat'))
  const limitBytes = Math.min(machine.totalBytes, limitOf(machine, folder, files, stat))
  return { limitBytes, usageBytes: Math.max(0, usage - (field(stat, files.inactive) ?? 0)) }
}

function limitOf(machine: Machine, folder: string, files: Files, stat: string | null): number {
  const above = files.hierarchical === null ? null : field(stat, files.hierarchical)
  let lowest = above ?? Number.POSITIVE_INFINITY
  for (const name of files.limits) {
    const bytes = Number.parseInt(machine.readFile(posix.join(folder, name)) ?? '', 10)
    // `max`, or no such file.
    if (!Number.isNaN(bytes)) lowest = Math.min(lowest, bytes)
  }
  return lowest
}

/** `name 123` on a line of its own. */
function field(stat: string | null, name: string): number | null {
  const digits = stat === null ? undefined : new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1]
  return digits === undefined ? null : Number(digits)
}

/**
 * Of this process's cgroup and those around it, the one with the lowest limit; the outermost of equals, which
 * holds more.
 */
function tightest(machine: Machine): { folder: string; files: Files } | null {
  let lowest = machine.totalBytes
  let found: { folder: string; files: Files } | null = null
  for (const { folders, isV1 } of hierarchies(machine.readFile, 'memory')) {
    const files = isV1 ? v1 : v2
    for (const folder of folders) {
      if (machine.readFile(posix.join(folder, files.usage)) === null) continue
      const stat = files.hierarchical === null ? null : machine.readFile(posix.join(folder, 'memory.stat'))
      const bytes = limitOf(machine, folder, files, stat)
      if (bytes >= lowest) continue
      lowest = bytes
      found = { folder, files }
    }
  }
  return found
}
