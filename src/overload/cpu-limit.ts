// The number of cores that this container may use, by its cgroup: v2 `cpu.max`, v1 `cpu.cfs_quota_us`; the
// lowest of nested limits.

import { posix } from 'node:path'
import { hierarchies, readHere } from './cgroup.ts'
import type { ReadFile } from './cgroup.ts'

/** Cores, such as 1.5; null where there is no limit. */
export function readCpuLimit(readFile: ReadFile = readHere): number | null {
  let lowest: number | null = null
  for (const { folders, isV1 } of hierarchies(readFile, 'cpu')) {
    for (const folder of folders) {
      const [quota, period] = isV1 ? quotaV1(readFile, folder) : quotaV2(readFile, folder)
      // `max`, -1, or no such file.
      if (!(quota > 0 && period > 0)) continue
      lowest = Math.min(lowest ?? Number.POSITIVE_INFINITY, quota / period)
    }
  }
  return lowest
}

function quotaV2(readFile: ReadFile, folder: string): [quota: number, period: number] {
  const [quota, period] = (readFile(posix.join(folder, 'cpu.max')) ?? '').trim().split(' ').map(Number)
  return [quota ?? Number.NaN, period ?? Number.NaN]
}

function quotaV1(readFile: ReadFile, folder: string): [quota: number, period: number] {
  const of = (name: string): number => Number(readFile(posix.join(folder, name)) ?? Number.NaN)
  return [of('cpu.cfs_quota_us'), of('cpu.cfs_period_us')]
}
