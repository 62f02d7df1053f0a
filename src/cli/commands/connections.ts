// `sidegate connections [ID]`: the live connections of a running gate, or one in full.

import type { ConnectionDetail, ConnectionRow, Sort } from '../../admin/types.ts'
import { systemClock } from '../../core/clock.ts'
import { askJson } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { detailLines } from './connection-detail.ts'
import { filterOptions, queryOf, sortOf } from './filters.ts'
import { readId } from './kill.ts'
import { findGates, gatesOptions } from './gates.ts'
import type { NamedGate } from './gates.ts'
import { formatRows, inOrder } from './rows.ts'
import type { GateRow } from './rows.ts'
import { OK } from '../../core/exit-codes.ts'
import { parse, printJson, printLine, UsageError } from './usage.ts'

/** A rate compares two looks; the gate keeps the first. */
const BETWEEN_LOOKS_MS = 1000

export async function connections(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { ...gatesOptions, ...filterOptions, json: { type: 'boolean', default: false } },
  })
  const [id, ...others] = positionals
  if (others.length > 0)
    throw new UsageError('connections takes one ID at the most: sidegate connections [ID]')
  const sort = sortOf(values)
  const gates = await findGates(values)
  if (id !== undefined) return printOne(onlyOne(gates), readId(id), values.json)
  const query = queryOf(values, 100)
  query.set('sort', sort)
  const rows = await listAll(gates, query, sort)
  if (values.json) return printJson(rows)
  for (const line of formatRows(rows)) process.stdout.write(`${line}\n`)
  return OK
}

/** An ID belongs to one gate. */
function onlyOne(gates: readonly NamedGate[]): Gate {
  const [first, ...others] = gates
  if (first === undefined || others.length > 0)
    throw new UsageError('an ID is of one gate: name only that one with --admin')
  return first.gate
}

/** The connections of all gates, in one order; an incomplete list is an error. */
async function listAll(gates: readonly NamedGate[], query: URLSearchParams, sort: Sort): Promise<GateRow[]> {
  const lists = await Promise.all(
    gates.map(async ({ gate, name }) => {
      const rows = await listConnections(gate, query)
      return name === null ? rows : rows.map((row) => ({ gate: name, ...row }))
    }),
  )
  return lists.length === 1 ? lists[0]! : lists.flat().sort(inOrder(sort))
}

async function listConnections(gate: Gate, query: URLSearchParams): Promise<ConnectionRow[]> {
  const path = `/connections?${query.toString()}`
  const rows = await askJson<ConnectionRow[]>(gate, path)
  if (query.get('sort') !== 'rate' || rows.every(({ bytesPerSec }) => bytesPerSec !== null)) return rows
  await new Promise<void>((resolve) => systemClock.after(BETWEEN_LOOKS_MS, resolve))
  return askJson<ConnectionRow[]>(gate, path)
}

async function printOne(gate: Gate, id: number, isJson: boolean): Promise<number> {
  const it = await askJson<ConnectionDetail>(gate, `/connections/${id}`)
  if (isJson) return printJson(it)
  for (const line of detailLines(it)) printLine(line)
  return OK
}
