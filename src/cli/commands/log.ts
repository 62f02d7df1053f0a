// `sidegate log [LEVEL]`: how much a running gate logs, looked at or changed, for good or for a while.

import type { LevelView } from '../../admin/types.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import { OK } from '../exit-codes.ts'
import { parse, printJson, printLine, UsageError } from './usage.ts'

export async function log(args: string[]): Promise<number> {
  const { values, positionals } = parse({ args, allowPositionals: true, options: { ...adminOptions, for: { type: 'string' }, json: { type: 'boolean', default: false } } })
  const [level, ...others] = positionals
  if (others.length > 0) throw new UsageError('log takes one level: sidegate log LEVEL [--for 5m]')
  if (level === undefined && values.for !== undefined) throw new UsageError('log --for needs a level: sidegate log LEVEL --for 5m')
  const query = new URLSearchParams({ ...(level !== undefined && { level }), ...(values.for !== undefined && { for: values.for }) })
  const gate = await findGate(values)
  const now = level === undefined ? await askJson<LevelView>(gate, '/log') : await askJson<LevelView>(gate, `/log?${query.toString()}`, { method: 'POST' })
  if (values.json) return printJson(now)
  printLine(`the log level is ${now.level}${now.goesBackTo === null ? '' : `; back to ${now.goesBackTo} at ${now.goesBackAt}`}`)
  return OK
}
