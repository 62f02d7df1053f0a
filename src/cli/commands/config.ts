// `sidegate config`: the configuration that a running gate has in force, or why it refused a newer one.

import { stringify } from 'yaml'
import { formatProblem, type ConfigProblem } from '../../core/errors.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import { OK, REFUSED } from '../../core/exit-codes.ts'
import { parse, printJson, printLine, safe } from './usage.ts'

interface ErrorView {
  error: { at: number; file: string; problems: readonly ConfigProblem[] } | null
}

export async function config(args: string[]): Promise<number> {
  const options = {
    error: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  } as const
  const { values } = parse({ args, options: { ...adminOptions, ...options } })
  const gate = await findGate(values)
  if (values.error) return tellError(await askJson<ErrorView>(gate, '/config/error'), values.json)
  const inForce = await askJson<unknown>(gate, '/config')
  if (values.json) return printJson(inForce)
  for (const line of stringify(inForce, { lineWidth: 0 }).trimEnd().split('\n'))
    process.stdout.write(`${safe(line)}\n`)
  return OK
}

function tellError(answer: ErrorView, isJson: boolean): number {
  const { error } = answer
  if (isJson) printJson(answer)
  else if (error === null) printLine('no error: the last configuration that was read is in force')
  else {
    printLine(`refused at ${new Date(error.at).toISOString()}, the one before stays in force:`)
    for (const problem of error.problems) printLine(formatProblem(error.file, problem))
  }
  return error === null ? OK : REFUSED
}
