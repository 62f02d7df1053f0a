// `sidegate why CLIENT[:PORT]`: how the last connections of one client ended, in sentences.

import { MOST_ROWS } from '../../admin/types.ts'
import type { ConnectionRow, RecentEnd } from '../../admin/types.ts'
import { whyItEnded } from '../../admin/why.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { configValue } from '../../admin/config-value.ts'
import { OK } from '../../core/exit-codes.ts'
import { timelineLines } from './timeline.ts'
import { parse, printJson, printLine, UsageError } from './usage.ts'

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
  const gate = await findGate(values)
  const query = new URLSearchParams({ client, limit: values.limit })
  const ends = await askJson<RecentEnd[]>(gate, `/recent?${query.toString()}`)
  const config = await askJson<unknown>(gate, '/config')
  const explained = ends.map((end) => ({
    ...end,
    why: whyItEnded(end, (key) => configValue(config, end.listener, key)),
  }))
  if (values.json) return printJson(explained)
  for (const { why: sentences, timeline } of explained) {
    for (const sentence of sentences) printLine(sentence)
    printLine('')
    for (const line of timelineLines(timeline)) printLine(`  ${line}`)
    if (timeline.length > 0) printLine('')
  }
  await printOpen(gate, client, ends.length)
  return OK
}

/** A client without a recorded end may still be connected. */
async function printOpen(gate: Gate, client: string, ends: number): Promise<void> {
  const query = new URLSearchParams({ client, limit: String(MOST_ROWS) })
  const open = await askJson<ConnectionRow[]>(gate, `/connections?${query.toString()}`)
  if (ends === 0)
    printLine(
      `None of the connections that ended lately is of ${client}. The log has older ones; of many refusals within a second only one is remembered with its client (sidegate recent).`,
    )
  if (open.length > 0)
    printLine(
      `${open.length === 1 ? `One connection of ${client} is` : `${open.length} connections of ${client} are`} open: sidegate connections --client ${client}`,
    )
}
