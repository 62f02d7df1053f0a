// The shared parts of the commands: their two errors, and output that is safe for a terminal.

import { parseArgs } from 'node:util'
import { quote, suggest } from '../../config/words.ts'
import { safe } from '../../core/safe.ts'
import { OK } from '../../core/exit-codes.ts'

export { safe } from '../../core/safe.ts'

/** The given words are not a valid command. */
export class UsageError extends Error {}

const unset = 'write a value (is a variable of the shell not set?)'

/** The gate is missing, or refused; the message says what to do. */
export class RefusedError extends Error {}

/** Nobody listens at its address. */
export class MissingError extends RefusedError {}

/** An unknown option; `known` are the valid ones. */
export class UnknownOption extends UsageError {
  readonly known: readonly string[]

  constructor(option: string, known: readonly string[]) {
    const meant = option.startsWith('--') ? suggest(option.slice(2), known) : null
    super(`unknown option '${safe(option)}'${meant === null ? '' : `, did you mean --${meant}?`}`)
    this.known = known
  }
}

/**
 * `parseArgs`, whose errors become usage errors. An option that takes one value may stand once: of two
 * `--admin` the last would get an order that was meant for both, or for the first. An empty word is a
 * variable of the shell that is not set: `--image ""` would reach the cluster.
 */
export const parse: typeof parseArgs = (config) => {
  try {
    refuseTwiceAndEmpty(config)
    return parseArgs(config)
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || !String(error.code).startsWith('ERR_PARSE_ARGS'))
      throw error
    const [, unknown] = /^Unknown option '([^']*)'/.exec(error.message) ?? []
    if (unknown !== undefined) throw new UnknownOption(unknown, Object.keys(config?.options ?? {}))
    throw new UsageError((error.message.split('. ')[0] ?? '').replace(/^./, (first) => first.toLowerCase()))
  }
}

function refuseTwiceAndEmpty(config: Parameters<typeof parseArgs>[0]): void {
  const { tokens } = parseArgs({ ...config, tokens: true })
  const seen = new Set<string>()
  for (const token of tokens) {
    if (token.kind === 'positional' && token.value === '') throw new UsageError(`an empty argument, ${unset}`)
    if (token.kind !== 'option') continue
    const { name } = token
    if (token.value === '') throw new UsageError(`--${name} is empty, ${unset}`)
    if (seen.has(name) && config?.options?.[name]?.multiple !== true)
      throw new UsageError(`--${name} is given twice, and is taken once here`)
    seen.add(name)
  }
}

/** The value of an option, which must be one of a list; undefined where it is absent. */
export function choiceOf<T extends string>(
  option: string,
  value: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (value === undefined) return undefined
  const found = choices.find((one) => one === value)
  if (found !== undefined) return found
  const meant = suggest(value, choices)
  throw new UsageError(
    `${option} must be one of ${choices.join(', ')}, not ${quote(value)}${meant === null ? '' : `; did you mean ${meant}?`}`,
  )
}

/** A whole number from 1 to `most`, as it was written; undefined where it is absent. */
export function countOf(option: string, value: string | undefined, most: number): string | undefined {
  if (value === undefined || (/^\d{1,9}$/.test(value) && Number(value) >= 1 && Number(value) <= most))
    return value
  throw new UsageError(`${option} must be 1 to ${most}, not ${quote(value)}`)
}

export function printLine(text: string): void {
  process.stdout.write(`${safe(text)}\n`)
}

/** JSON on several lines, in which only our own line ends are control characters. */
export function printJson(value: unknown): number {
  const lines = JSON.stringify(value, null, 2).split('\n')
  process.stdout.write(`${lines.map(safe).join('\n')}\n`)
  return OK
}
