// What a process has taken so far, as Linux tells.

import { readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100

/** CPU seconds of all its threads. */
export function cpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** Bytes of memory that are its own, and its share of those that others use too (PSS). */
export function memory(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))![1]) * 1024
}

export function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[all.length >> 1]!
}
