// What a process has taken so far, as Linux tells, and gates beside each other.

import { readFileSync, readdirSync } from 'node:fs'

/** CPU seconds of all its threads, by the nanosecond: the ticks of `stat` are too coarse for a gate with little to do. */
export function cpu(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`)
  const taken = tasks.map(
    (task) => readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0],
  )
  return taken.reduce((sum, ns) => sum + Number(ns), 0) / 1e9
}

/** Bytes of memory that are its own, and its share of those that others use too (PSS). */
export function memory(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))![1]) * 1024
}

/** Bytes of memory that it touches, those of others too. */
export function resident(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) * 1024
}

export function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[all.length >> 1]!
}

export interface Question<Gate> {
  what: string
  unit: string
  ask: (gate: Gate) => Promise<number>
  rounds: number
}

/** Asks the gates in turn, round by round, and prints the median of each and its ratio to that of the first. */
export async function compare<Gate extends { name: string }>(
  gates: readonly Gate[],
  questions: readonly Question<Gate>[],
): Promise<void> {
  for (const { what, unit, ask, rounds } of questions) {
    const found = gates.map((): number[] => [])
    for (let round = 0; round < rounds; round++)
      for (const [nth, gate] of gates.entries()) found[nth]!.push(await ask(gate))
    const base = median(found[0]!)
    console.log(what)
    for (const [nth, { name }] of gates.entries())
      console.log(
        `  ${name}: ${median(found[nth]!).toFixed(2)} ${unit}, ${(median(found[nth]!) / base).toFixed(2)}`,
      )
  }
}
