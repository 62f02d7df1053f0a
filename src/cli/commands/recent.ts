// `sidegate recent`: connections that have just ended at a running gate, and why.

import { MOST_ROWS } from '../../admin/types.ts'
import type { Info, RecentEnd } from '../../admin/types.ts'
import { lostInWords } from '../../admin/worker-words.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { formatAge } from '../../core/wait.ts'
import { formatTable, type Column } from './table.ts'
import { formatBytes } from '../../core/wait.ts'
import { reasonNames } from '../../core/close.ts'
import { OK } from '../../core/exit-codes.ts'
import { choiceOf, countOf, parse, printJson, printLine } from './usage.ts'

export const recentColumns: readonly Column<RecentEnd>[] = [
  { title: 'ENDED', cell: ({ ended }) => ended.slice(11, 19) },
  { title: 'ID', isNumber: true, cell: ({ id }) => (id === null ? '-' : String(id)) },
  { title: 'LISTENER', cell: ({ listener }) => listener },
  { title: 'CLIENT', cell: ({ client, count }) => client ?? (count > 1 ? `${count} of them` : '-') },
  { title: 'REASON', cell: ({ reason }) => reason },
  { title: 'SIDE', cell: ({ side }) => side },
  {
    title: 'LASTED',
    isNumber: true,
    cell: ({ id, durationMs }) => (id === null ? 'refused' : formatAge(durationMs)),
  },
  { title: 'IN', isNumber: true, cell: ({ bytesToUpstream }) => formatBytes(bytesToUpstream) },
  { title: 'OUT', isNumber: true, cell: ({ bytesToClient }) => formatBytes(bytesToClient) },
  { title: 'DETAIL', cell: ({ detail }) => detail ?? '' },
]

export async function recent(args: string[]): Promise<number> {
  const { values } = parse({
    args,
    options: {
      ...adminOptions,
      reason: { type: 'string' },
      listener: { type: 'string' },
      client: { type: 'string' },
      limit: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  choiceOf('--reason', values.reason, reasonNames)
  countOf('--limit', values.limit, MOST_ROWS)
  const query = new URLSearchParams()
  for (const name of ['reason', 'listener', 'client', 'limit'] as const)
    if (values[name] !== undefined) query.set(name, values[name])
  const gate = await findGate(values)
  const ends = await askJson<RecentEnd[]>(gate, `/recent?${query.toString()}`)
  if (values.json) return printJson(ends)
  if (ends.length === 0) printLine('nothing that fits has ended lately')
  else for (const line of formatTable(recentColumns, ends)) printLine(line)
  await printLost(gate)
  return OK
}

/** A worker that ended has taken with it what it remembered. */
export async function printLost(gate: Gate): Promise<void> {
  const { workers } = await askJson<Info>(gate, '/info')
  if (workers?.lastEnd != null) printLine(lostInWords(workers.lastEnd))
}
