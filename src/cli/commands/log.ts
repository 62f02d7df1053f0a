// `sidegate log [LEVEL]`: shows or changes how much a running gate logs, for good or for a while.

import { parseDuration } from '../../config/units.ts'
import { logLevels } from '../../log/line.ts'
import type { LevelView } from '../../admin/types.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import { OK } from '../../core/exit-codes.ts'
import { choiceOf, parse, printJson, printLine, UsageError } from './usage.ts'

/** The bounds of the admin server. */
const SHORTEST_MS = 1000
const LONGEST_MS = 24 * 3_600_000

export async function log(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { ...adminOptions, for: { type: 'string' }, json: { type: 'boolean', default: false } },
  })
  const [level, ...others] = positionals
  if (others.length > 0) throw new UsageError('log takes one level: sidegate log LEVEL [--for 5m]')
  if (level === undefined && values.for !== undefined)
    throw new UsageError('log --for needs a level: sidegate log LEVEL --for 5m')
  choiceOf('the level', level, logLevels)
  if (values.for !== undefined) {
    const duration = parseDuration(values.for, { min: SHORTEST_MS, max: LONGEST_MS, isOffAllowed: false })
    if ('problem' in duration) throw new UsageError(`--for: ${duration.problem}`)
  }
  const query = new URLSearchParams({
    ...(level !== undefined && { level }),
    ...(values.for !== undefined && { for: values.for }),
  })
  const gate = await findGate(values)
  const now =
    level === undefined
      ? await askJson<LevelView>(gate, '/log')
      : await askJson<LevelView>(gate, `/log?${query.toString()}`, { method: 'POST' })
  if (values.json) return printJson(now)
  printLine(
    `the log level is ${now.level}${now.goesBackTo === null ? '' : `; back to ${now.goesBackTo} at ${now.goesBackAt}`}`,
  )
  return OK
}
