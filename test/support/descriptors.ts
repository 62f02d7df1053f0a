// The descriptors of another process, and its limit of them.

import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'

export function limitTo(pid: number, descriptors: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${descriptors}:`])
}

/** Leaves so many. The limit bounds the numbers of descriptors, and those in use have gaps. */
export function leave(pid: number, free: number): void {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number))
  let limit = 0
  for (let left = free; left > 0 || used.has(limit); limit += 1) if (!used.has(limit)) left -= 1
  limitTo(pid, limit)
}

/** So many are in use. */
export const used = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length
