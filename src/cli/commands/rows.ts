// Live connections as a table for people. If it is too wide, it drops columns, the least useful first.

import type { ConnectionRow, Sort } from '../../admin/types.ts'
import { formatAge, formatBytes } from '../../core/wait.ts'
import { formatTable } from './table.ts'
import type { Column } from './table.ts'

/** A connection of one of several gates; `gate` is its name where there are several. */
export interface GateRow extends ConnectionRow {
  gate?: string
}

interface Ranked extends Column<GateRow> {
  /** The highest is dropped first if there is no room; 0 is never dropped. */
  rank: number
  /** Omitted where no row has a value. */
  isThere?: (row: GateRow) => boolean
}

const columns: readonly Ranked[] = [
  { title: 'GATE', rank: 0, isThere: ({ gate }) => gate !== undefined, cell: ({ gate }) => gate ?? '' },
  { title: 'ID', rank: 0, isNumber: true, cell: ({ id }) => String(id) },
  { title: 'LISTENER', rank: 5, cell: ({ listener }) => listener },
  { title: 'PROTO', rank: 6, cell: ({ protocol }) => (protocol === 'websocket' ? 'ws' : protocol) },
  { title: 'CLIENT', rank: 0, cell: ({ client }) => client },
  { title: 'UPSTREAM', rank: 8, cell: ({ upstream }) => upstream ?? '-' },
  {
    title: 'PHASE',
    rank: 7,
    cell: ({ phase, close }) => (close === null ? phase : `${phase} ${close.reason}`),
  },
  { title: 'AGE', rank: 2, isNumber: true, cell: ({ ageMs }) => formatAge(ageMs) },
  { title: 'IDLE', rank: 4, isNumber: true, cell: ({ idleMs }) => formatAge(idleMs) },
  {
    title: 'RATE',
    rank: 1,
    isNumber: true,
    cell: ({ bytesPerSec }) => (bytesPerSec === null ? '-' : `${formatBytes(bytesPerSec)}/s`),
  },
  {
    title: 'QUEUED',
    rank: 0,
    isNumber: true,
    cell: ({ queued }) => formatBytes(queued.client + queued.upstream),
  },
  {
    title: 'KERNEL',
    rank: 6,
    isNumber: true,
    isThere: hasWait,
    cell: ({ wait }) => (wait?.kernel == null ? '-' : formatBytes(wait.kernel.client + wait.kernel.upstream)),
  },
  { title: 'STALLED', rank: 3, isNumber: true, isThere: hasWait, cell: stalled },
  { title: 'WAITS FOR', rank: 2, isThere: hasWait, cell: ({ wait }) => wait?.waitsFor ?? '-' },
  {
    title: 'NEXT',
    rank: 3,
    isThere: hasWait,
    cell: ({ wait }) =>
      wait?.next == null ? '-' : `${wait.next.reason} in ${formatAge(Math.max(0, wait.next.inMs))}`,
  },
]

function hasWait({ wait }: GateRow): boolean {
  return wait !== undefined
}

/** Less is no stall: a peer takes its bytes in turns, and a head may be on its way. */
const STALLED_MS = 1000

function stalled({ wait }: GateRow): string {
  const longest = Math.max(wait?.stalledMs.client ?? -1, wait?.stalledMs.upstream ?? -1)
  return longest < STALLED_MS ? '-' : formatAge(longest)
}

/** The titles and a line for each row, none wider than `width` as long as a column can be dropped. */
export function formatRows(rows: readonly GateRow[], width = Number.POSITIVE_INFINITY): string[] {
  let shown = columns.filter(({ isThere }) => isThere === undefined || rows.some(isThere))
  for (;;) {
    const lines = formatTable(shown, rows)
    const most = Math.max(...shown.map(({ rank }) => rank))
    if (most === 0 || lines.every((line) => line.length <= width)) return lines
    // Of equals the one further to the right.
    const goes = shown.findLast(({ rank }) => rank === most)
    shown = shown.filter((column) => column !== goes)
  }
}

/** The order in which each gate has sorted its own. */
export function inOrder(sort: Sort): (one: GateRow, other: GateRow) => number {
  const weigh: Record<Sort, (row: GateRow) => number> = {
    age: ({ ageMs }) => ageMs,
    idle: ({ idleMs }) => idleMs,
    buffered: ({ queued }) => queued.client + queued.upstream,
    rate: ({ bytesPerSec }) => bytesPerSec ?? 0,
  }
  return (one, other) => weigh[sort](other) - weigh[sort](one)
}
