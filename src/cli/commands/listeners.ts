// `sidegate listeners`: the addresses of a running gate's listeners, and how many connections each has.

import type { ListenerRow } from '../../admin/types.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import { formatTable, type Column } from './table.ts'
import { OK } from '../../core/exit-codes.ts'
import { parse, printJson, printLine } from './usage.ts'

const columns: ReadonlyArray<Column<ListenerRow>> = [
  { title: 'LISTENER', cell: ({ name }) => name },
  { title: 'ADDRESS', cell: ({ address }) => address },
  { title: 'PROTO', cell: ({ protocol }) => protocol },
  { title: 'UPSTREAM', cell: ({ upstream }) => upstream },
  { title: 'CONNECTIONS', isNumber: true, cell: ({ connections }) => String(connections) },
]

export async function listeners(args: string[]): Promise<number> {
  const { values } = parse({ args, options: { ...adminOptions, json: { type: 'boolean', default: false } } })
  const rows = await askJson<ListenerRow[]>(await findGate(values), '/listeners')
  if (values.json) return printJson(rows)
  for (const line of formatTable(columns, rows)) printLine(line)
  return OK
}
