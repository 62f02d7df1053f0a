// The files of `npm test`, in the order in which they start: those that run alone, the long ones, and all others. A long
// one that started last would be waited for while the machine idles.

import { globSync } from 'node:fs'
import { others } from './unit-others.ts'

/**
 * They fill the machine, build `dist/` anew, or have deadlines of a second that are not theirs to choose. Nothing else runs alone: no
 * test judges what a busy machine may lengthen (test/support/stopwatch.ts).
 */
const ALONE = 'test/alone/*.test.ts'
const UNIT = 'test/unit.ts'
const HALVES = [`${UNIT} 1/2`, `${UNIT} 2/2`]
/** One of each in turn: the first of these mostly wait, the others mostly compute. */
const LONG = [
  'test/system/{fleet,page,simulated,netns}-*.test.ts',
  'test/wire/workers-*.test.ts',
  'test/wire/gate-*.test.ts',
]

export interface Order {
  alone: string[]
  beside: string[]
}

/** As `node` takes them. Without patterns all files; the unit ring in two processes. */
export function inOrder(patterns?: string[]): Order {
  const matching = patterns?.flatMap((pattern) => globSync(pattern).toSorted()) ?? [UNIT, ...outsideTheRing()]
  const wanted = matching.flatMap((file) => (file === UNIT ? HALVES : [file]))
  const alone = globSync(ALONE).toSorted()
  const first = [...HALVES, ...inTurn(LONG.map((pattern) => globSync(pattern).toSorted()))]
  const beside = [...new Set([...first.filter((file) => wanted.includes(file)), ...wanted])]
  return {
    alone: alone.filter((file) => wanted.includes(file)),
    beside: beside.filter((file) => !alone.includes(file)),
  }
}

function outsideTheRing(): string[] {
  const inside = new Set(globSync('test/**/*.test.ts', { exclude: others }))
  return globSync('test/**/*.test.ts')
    .toSorted()
    .filter((file) => !inside.has(file))
}

function inTurn(lists: string[][]): string[] {
  const rounds = Math.max(...lists.map(({ length }) => length))
  return Array.from({ length: rounds }, (_, nth) => lists.flatMap((list) => list.slice(nth, nth + 1))).flat()
}
