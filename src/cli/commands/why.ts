// `sidegate why CLIENT[:PORT]`: how the last connections of one client ended, in sentences.

import { MOST_ROWS } from '../../admin/types.ts'
import type { ConnectionRow, RecentEnd } from '../../admin/types.ts'
import { whyItEnded } from '../../admin/why.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { configValue } from '../../admin/config-value.ts'
import { OK } from '../../core/exit-codes.ts'
import { printLost } from './recent.ts'
import { timelineLines } from './timeline.ts'
import { countOf, parse, printJson, printLine, UsageError } from './usage.ts'

const DEFAULT_LIMIT = '3'

export async function why(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      ...adminOptions,
      limit: { type: 'string', default: DEFAULT_LIMIT },
      json: { type: 'boolean', default: false },
    },
  })
  const [client, ...others] = positionals
  if (client === undefined || others.length > 0)
    throw new UsageError('why takes one client, with its port or without: sidegate why 10.0.0.7')
  const limit = Number(countOf('--limit', values.limit, MOST_ROWS))
  const gate = await findGate(values)
  const query = new URLSearchParams({ client, limit: String(MOST_ROWS) })
  const all = await askJson<RecentEnd[]>(gate, `/recent?${query.toString()}`)
  const ends = worthTelling(all).slice(0, limit)
  const config = await askJson<unknown>(gate, '/config')
  const explained = ends.map((end) => ({
    ...end,
    why: whyItEnded(end, (key) => configValue(config, end.listener, key)),
  }))
  if (values.json) return printJson(explained)
  if (all.length > ends.length) {
    printLine(summary(client, all, ends.length))
    printLine('')
  }
  for (const { why: sentences, timeline } of explained) {
    for (const sentence of sentences) printLine(sentence)
    printLine('')
    for (const line of timelineLines(timeline)) printLine(`  ${line}`)
    if (timeline.length > 0) printLine('')
  }
  await printOpen(gate, client, ends.length)
  return OK
}

/** Orderly ends are many where each request is one, and nobody complains of them. */
function worthTelling(ends: readonly RecentEnd[]): readonly RecentEnd[] {
  const others = ends.filter(({ reason }) => reason !== 'eof')
  return others.length > 0 ? others : ends
}

function summary(client: string, all: readonly RecentEnd[], shown: number): string {
  const counts = new Map<string, number>()
  for (const { reason, count } of all) counts.set(reason, (counts.get(reason) ?? 0) + count)
  const reasons = [...counts]
    .sort(([, one], [, other]) => other - one)
    .map(([reason, count]) => `${count} ${reason}`)
  const which = counts.has('eof') && counts.size > 1 ? ' that is not eof' : ''
  const these = shown === 1 ? `the last one${which}` : `the last ${shown}${which.replace('is', 'are')}`
  return `Of ${client} the gate remembers ${reasons.join(', ')}. ${shown === 1 ? 'This is' : 'These are'} ${these}; sidegate recent --client ${client} lists all.`
}

/** A client without a recorded end may still be connected. */
async function printOpen(gate: Gate, client: string, ends: number): Promise<void> {
  const query = new URLSearchParams({ client, limit: String(MOST_ROWS) })
  const rows = await askJson<ConnectionRow[]>(gate, `/connections?${query.toString()}`)
  // Of those that close, the ends are told.
  const open = rows.filter(({ close }) => close === null)
  if (ends === 0)
    printLine(
      `None of the connections that ended lately is of ${client}. The log has older ones; of many refusals within a second only one is remembered with its client (sidegate recent).`,
    )
  if (ends === 0) await printLost(gate)
  if (open.length > 0)
    printLine(
      `${open.length === 1 ? `One connection of ${client} is` : `${open.length} connections of ${client} are`} open: sidegate connections --client ${client}`,
    )
}
