// The columns of the table of connections: their content and their order.

import type { ComponentChildren } from 'preact'
import type { ConnectionRow, Sort } from '../../src/admin/types.ts'
import { formatAge, formatBytes, formatRate } from '../format.ts'
import { ReasonWord } from '../parts.tsx'
import { linkTo } from '../route.ts'

export interface Column {
  title: string
  /** Numbers are aligned right, and sorted from the largest down. */
  isNumber?: boolean
  /** Where the gate itself can select the first rows by it. */
  sort?: Sort
  weight: (row: ConnectionRow) => number | string
  cell: (row: ConnectionRow) => ComponentChildren
  /** Columns are dropped if there is no room: the highest rank first. */
  rank: number
}

const queued = ({ queued: { client, upstream } }: ConnectionRow): number => client + upstream

export const columns: readonly Column[] = [
  {
    title: 'Age',
    sort: 'age',
    isNumber: true,
    rank: 1,
    weight: ({ ageMs }) => ageMs,
    cell: ({ ageMs }) => formatAge(ageMs),
  },
  {
    title: 'Client',
    rank: 0,
    weight: ({ client }) => client,
    cell: ({ id, client }) => (
      <a class="mono" href={linkTo(`connections/${id}`)}>
        {client}
      </a>
    ),
  },
  { title: 'Listener', rank: 3, weight: ({ listener }) => listener, cell: ({ listener }) => listener },
  { title: 'Protocol', rank: 2, weight: ({ protocol }) => protocol, cell: ({ protocol }) => protocol },
  {
    title: 'Upstream',
    rank: 4,
    weight: ({ upstream }) => upstream ?? '',
    cell: ({ upstream }) => <span class="mono">{upstream ?? '–'}</span>,
  },
  {
    title: 'Phase',
    rank: 2,
    weight: ({ phase }) => phase,
    cell: ({ phase, close }) => (close === null ? phase : <ReasonWord reason={close.reason} />),
  },
  {
    title: 'Idle',
    sort: 'idle',
    isNumber: true,
    rank: 2,
    weight: ({ idleMs }) => idleMs,
    cell: ({ idleMs }) => formatAge(idleMs),
  },
  {
    title: 'Rate',
    sort: 'rate',
    isNumber: true,
    rank: 1,
    weight: ({ bytesPerSec }) => bytesPerSec ?? -1,
    cell: ({ bytesPerSec }) => (bytesPerSec === null ? '–' : formatRate(bytesPerSec)),
  },
  {
    title: 'Queued',
    sort: 'buffered',
    isNumber: true,
    rank: 0,
    weight: queued,
    cell: (row) => <span class={queued(row) > 0 ? 'odd' : 'quiet'}>{formatBytes(queued(row))}</span>,
  },
  {
    title: 'Stalled',
    isNumber: true,
    rank: 3,
    weight: (row) => stalledMs(row) ?? -1,
    cell: (row) => {
      const ms = stalledMs(row)
      return ms === null ? (
        <span class="quiet">–</span>
      ) : (
        <span class={ms >= 1000 ? 'odd' : ''}>{formatAge(ms)}</span>
      )
    },
  },
  {
    title: 'Waits for',
    rank: 3,
    weight: ({ wait }) => wait?.waitsFor ?? '',
    cell: ({ wait }) => wait?.waitsFor ?? '–',
  },
  {
    title: 'Ends in',
    isNumber: true,
    rank: 4,
    weight: ({ wait }) => -(wait?.next?.inMs ?? Number.POSITIVE_INFINITY),
    cell: ({ wait }) =>
      wait?.next == null ? (
        <span class="quiet">–</span>
      ) : (
        <span title={`with ${wait.next.reason} (${wait.next.key}), if nothing moves`}>
          {formatAge(Math.max(0, wait.next.inMs))}
        </span>
      ),
  },
]

/** How long the slower of its peers has taken nothing queued for it; null where nothing is queued. */
function stalledMs({ wait }: ConnectionRow): number | null {
  const longest = Math.max(wait?.stalledMs.client ?? -1, wait?.stalledMs.upstream ?? -1)
  return longest < 0 ? null : longest
}

/**
 * Numbers from the largest down, words from the first up, unless turned around; among equals the oldest
 * first.
 */
export function compare(
  { weight, isNumber }: Column,
  isUp: boolean,
): (a: ConnectionRow, b: ConnectionRow) => number {
  const sign = (isNumber === true) === isUp ? 1 : -1
  return (a, b) => {
    const [one, other] = [weight(a), weight(b)]
    return one === other ? a.id - b.id : sign * (one < other ? -1 : 1)
  }
}
