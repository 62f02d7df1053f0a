// The files of `npm test`, in the order in which they start: those that run alone, the long ones, and all others. A long
// one that started last would be waited for while the machine idles.

import { globSync } from 'node:fs'
import { apart, filesOf, groups, unitRing, wireRing } from './rings.ts'

/**
 * They fill the machine, build `dist/` anew, or have deadlines of a second that are not theirs to choose. Nothing else runs alone: no
 * test judges what a busy machine may lengthen (test/support/stopwatch.ts).
 */
const ALONE = 'test/alone/*.test.ts'
const UNIT = 'test/unit.ts'
const WIRE = 'test/wire.ts'
const HALVES = parts(UNIT, 2)
/** Of eight files or so: half a minute each where six processes share two cores. */
const WIRE_PARTS = parts(WIRE, 16)
const GROUPS = Object.entries(groups).flatMap(([name, group]) => parts(`test/group.ts ${name}`, group.parts))
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

/** As `node` takes them. Without patterns all files; the rings and groups in parts, each a process. */
export function inOrder(patterns?: string[]): Order {
  const matching = patterns?.flatMap((pattern) => globSync(pattern).toSorted()) ?? [
    UNIT,
    WIRE,
    ...GROUPS,
    ...outsideTheRings(),
  ]
  const wanted = matching.flatMap(inParts)
  const alone = globSync(ALONE).toSorted()
  const long = LONG.map((pattern) => globSync(pattern).toSorted())
  const first = [...HALVES, ...inTurn([GROUPS, ...long]), ...WIRE_PARTS]
  const beside = [...new Set([...first.filter((file) => wanted.includes(file)), ...wanted])]
  return {
    alone: alone.filter((file) => wanted.includes(file)),
    beside: beside.filter((file) => !alone.includes(file)),
  }
}

function parts(ring: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${ring} ${at + 1}/${count}`)
}

function inParts(file: string): string[] {
  if (file === UNIT) return HALVES
  return file === WIRE ? [...WIRE_PARTS, ...globSync(apart).toSorted()] : [file]
}

function outsideTheRings(): string[] {
  const inside = new Set([...unitRing(), ...wireRing(), ...Object.values(groups).flatMap(filesOf)])
  return globSync('test/**/*.test.ts')
    .toSorted()
    .filter((file) => !inside.has(file))
}

function inTurn(lists: string[][]): string[] {
  const rounds = Math.max(...lists.map(({ length }) => length))
  return Array.from({ length: rounds }, (_, nth) => lists.flatMap((list) => list.slice(nth, nth + 1))).flat()
}
