// `sidegate connections [ID]`: the live connections of a running gate, or all that is known of one.

import type { ConnectionDetail, ConnectionRow, FlowView } from '../../admin/types.ts'
import { systemClock } from '../../core/clock.ts'
import { formatBytes } from '../../core/wait.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { filterOptions, queryOf, sortOf } from './filters.ts'
import { readId } from './kill.ts'
import { formatAge, formatRows } from './rows.ts'
import { OK } from '../exit-codes.ts'
import { parse, printJson, printLine, UsageError } from './usage.ts'

/** For a rate two looks are compared; the gate remembers the first. */
const BETWEEN_LOOKS_MS = 1000

export async function connections(args: string[]): Promise<number> {
  const { values, positionals } = parse({ args, allowPositionals: true, options: { ...adminOptions, ...filterOptions, json: { type: 'boolean', default: false } } })
  const [id, ...others] = positionals
  if (others.length > 0) throw new UsageError('connections takes one ID at the most: sidegate connections [ID]')
  const sort = sortOf(values)
  if (id !== undefined) return printOne(await findGate(values), readId(id), values.json)
  const query = queryOf(values, 100)
  query.set('sort', sort)
  const gate = await findGate(values)
  const rows = await listConnections(gate, query)
  if (values.json) return printJson(rows)
  for (const line of formatRows(rows)) process.stdout.write(`${line}\n`)
  return OK
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

function detailLines(it: ConnectionDetail): string[] {
  const { nextDeadline: next, close } = it
  const pairs: [string, string][] = [
    ['connection', `${it.id}, ${it.protocol} on ${it.listener}`],
    ['client', it.client],
    ['upstream', `${it.upstream ?? 'none yet'}${it.connectMs === null ? '' : `, connected within ${it.connectMs} ms`}`],
    ['phase', it.phase],
    ['open', `for ${formatAge(it.ageMs)}, since ${it.openedAt}`],
    ['idle', formatAge(it.idleMs)],
    ['to upstream', flowText(it.toUpstream, it.queued.upstream, it.paused.toUpstream)],
    ['to client', flowText(it.toClient, it.queued.client, it.paused.toClient)],
    ['rate', it.bytesPerSec === null ? 'not known yet, ask again in a second' : `${formatBytes(it.bytesPerSec)}/s`],
    ['waits for', it.waitsFor ?? 'nothing that it could tell'],
    ['next', next === null ? 'no deadline' : `${next.reason} by the ${next.side} in ${formatAge(Math.max(0, next.inMs))} (${next.key})`],
  ]
  if (close !== null) pairs.push(['ended', `${close.reason} by the ${close.side} in ${close.phase}${close.detail === undefined ? '' : `: ${close.detail}`}`])
  return pairs.map(([name, text]) => `${name.padEnd(13)}${text}`)
}

function flowText({ received, sent, messages, pauses }: FlowView, queued: number, isPaused: boolean): string {
  const parts = [`${formatBytes(received)} received`, `${formatBytes(sent)} sent`, `${formatBytes(queued)} queued`]
  if (messages > 0) parts.push(`${messages} messages`)
  parts.push(`paused ${pauses} times${isPaused ? ', and now' : ''}`)
  return parts.join(', ')
}
