// `sidegate kill ID`: ends one connection, with the reason `killed`.

import type { Killed } from '../../admin/types.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import { OK } from '../../core/exit-codes.ts'
import { parse, printJson, printLine, UsageError } from './usage.ts'

export async function kill(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { ...adminOptions, json: { type: 'boolean', default: false } },
  })
  const [id, ...others] = positionals
  if (id === undefined || others.length > 0)
    throw new UsageError('kill needs one ID of sidegate connections: sidegate kill ID')
  const number = readId(id)
  const killed = await askJson<Killed>(await findGate(values), `/connections/${number}`, { method: 'DELETE' })
  if (values.json) return printJson(killed)
  const { protocol, client, upstream, close } = killed
  printLine(
    `${close.reason === 'killed' ? 'killed' : `hastened, it was ending with ${close.reason}`}: connection ${killed.id}, ${protocol}, ${client} to ${upstream ?? 'no upstream yet'}`,
  )
  return OK
}

export function readId(text: string): number {
  if (!/^\d{1,15}$/.test(text))
    throw new UsageError(`${JSON.stringify(text)} is no ID, sidegate connections lists them`)
  return Number(text)
}
