// The command line: words to one command, and its outcome to an exit code. Each command is small, or imported
// only when it runs. Results go to stdout, errors to stderr.
//
// Exit codes: 0 done, 1 a gate that is missing or refused, 2 a remark with --strict, 64 wrong usage, 69
// another Node, 70 our fault, 75 a temporary failure, 78 wrong configuration.

import { reasonNames } from '../core/close.ts'
import { suggest } from '../config/words.ts'
import { CONFIG, INTERNAL, OK, REFUSED, USAGE } from '../core/exit-codes.ts'
import { Signals } from './signals.ts'
import { version } from '../core/version.ts'
import { parse, RefusedError, safe, UsageError } from './commands/usage.ts'
import { ConfigError } from '../core/errors.ts'

type Command = (args: string[]) => number | Promise<number>

const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['run', run],
  ['check', async (args) => (await import('./commands/check.ts')).check(args)],
  ['survey', async (args) => (await import('./commands/survey.ts')).surveyCommand(args)],
  ['explain', explainCommand],
  ['schema', printSchema],
  ['demo', demo],
  ['inject', async (args) => (await import('./commands/inject.ts')).injectCommand(args, version())],
  ['uninject', async (args) => (await import('./commands/inject.ts')).uninjectCommand(args)],
  ['completion', completion],
  ['help', help],
  ['top', async (args) => (await import('./commands/top.ts')).top(args)],
  ['connections', async (args) => (await import('./commands/connections.ts')).connections(args)],
  ['recent', async (args) => (await import('./commands/recent.ts')).recent(args)],
  ['why', async (args) => (await import('./commands/why.ts')).why(args)],
  ['info', async (args) => (await import('./commands/info.ts')).info(args)],
  ['listeners', async (args) => (await import('./commands/listeners.ts')).listeners(args)],
  ['upstreams', async (args) => (await import('./commands/upstreams.ts')).upstreams(args)],
  ['config', async (args) => (await import('./commands/config.ts')).config(args)],
  ['advise', async (args) => (await import('./commands/advise.ts')).advise(args)],
  ['kill', async (args) => (await import('./commands/kill.ts')).kill(args)],
  ['drain', async (args) => (await import('./commands/drain.ts')).drain(args)],
  ['reload', async (args) => (await import('./commands/reload.ts')).reload(args)],
  ['log', async (args) => (await import('./commands/log.ts')).log(args)],
  ['profile', async (args) => (await import('./commands/profile.ts')).profile(args)],
  ['health', async (args) => (await import('./commands/health.ts')).health(args)],
])

async function run(args: string[]): Promise<number> {
  const options = { config: { type: 'string', short: 'c' } } as const
  const { values, positionals } = parse({ args, options, allowPositionals: true })
  if (positionals.length > 0)
    throw new UsageError(
      `unexpected argument '${safe(positionals[0]!)}', a configuration comes after -c: sidegate run -c FILE`,
    )
  if (values.config === undefined) throw new UsageError('run needs a configuration: sidegate run -c FILE')
  const signals = new Signals()
  const gate = await import('./process.ts')
  return gate.run({ configFile: values.config, signals })
}

function print(value: unknown): number {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
  return OK
}

async function explainCommand(args: string[]): Promise<number> {
  const { positionals } = parse({ args, allowPositionals: true, options: {} })
  const [word, ...others] = positionals
  const { explainText, reasonsTable } = await import('../config/explain.ts')
  if (others.length > 0) throw new UsageError('explain takes one reason: sidegate explain [REASON]')
  if (word === undefined) {
    process.stdout.write(`${reasonsTable()}\nsidegate explain REASON tells more\n`)
    return OK
  }
  const reason = reasonNames.find((name) => name === word)
  if (reason === undefined) {
    const meant = suggest(word, reasonNames) ?? reasonNames.find((name) => name.includes(word)) ?? null
    throw new UsageError(
      `unknown reason ${JSON.stringify(word)}${meant === null ? '; sidegate explain lists them' : `, did you mean ${meant}?`}`,
    )
  }
  process.stdout.write(explainText(reason))
  return OK
}

async function printSchema(args: string[]): Promise<number> {
  parse({ args, options: {} })
  const { jsonSchema } = await import('../config/json-schema.ts')
  return print(jsonSchema())
}

async function demo(args: string[]): Promise<number> {
  const { values } = parse({ args, options: { keep: { type: 'boolean', default: false } } })
  const module = await import('../demo/demo.ts')
  return module.demo({ keep: values.keep })
}

async function help(args: string[]): Promise<number> {
  const { pages } = await import('./manual.ts')
  const { helpOf, usage } = await import('./help.ts')
  const [word, ...others] = args
  if (others.length > 0) throw new UsageError('help takes one command: sidegate help [COMMAND]')
  const page = pages.find(({ name }) => name === word)
  if (word !== undefined && page === undefined) throw unknownCommand(word)
  process.stdout.write(page === undefined ? usage() : helpOf(page))
  return OK
}

async function completion(args: string[]): Promise<number> {
  const { positionals } = parse({ args, allowPositionals: true, options: {} })
  const { completionFor, shells } = await import('./completion.ts')
  const shell = shells.find((name) => name === positionals[0])
  if (shell === undefined || positionals.length > 1)
    throw new UsageError(`completion needs one of ${shells.join(', ')}: source <(sidegate completion bash)`)
  process.stdout.write(completionFor(shell))
  return OK
}

/** The words of other programs for ours, which no spelling comes near. */
const otherWords: Readonly<Record<string, string>> = {
  serve: 'run',
  start: 'run',
  validate: 'check',
  test: 'check',
  status: 'info',
  ps: 'connections',
  version: '--version',
}

function unknownCommand(word: string): UsageError {
  const meant = Object.hasOwn(otherWords, word) ? otherWords[word]! : suggest(word, commands.keys())
  return new UsageError(
    `unknown command ${JSON.stringify(word)}${meant === null ? '' : `, did you mean ${meant}?`}`,
  )
}

async function main(argv: readonly string[]): Promise<number> {
  const [word, ...args] = argv
  if (word === '--version' || word === '-v') {
    process.stdout.write(`sidegate ${version()}\n`)
    return OK
  }
  if (word === '--help' || word === '-h') return help([])
  if (word === undefined) throw new UsageError('which command?')
  const command = commands.get(word)
  if (command === undefined) throw unknownCommand(word)
  if (args.includes('--help') || args.includes('-h')) return help(word === 'help' ? [] : [word])
  // The gate itself outlives a reader of its log; every other command ends when its reader does.
  if (word !== 'run') process.stdout.on('error', onPipeError)
  return command(args)
}

/** `sidegate schema | head -1` is no error. */
function onPipeError(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit(OK)
}

function report(error: unknown): number {
  if (error instanceof UsageError) {
    const word = process.argv[2]
    const manual = word !== undefined && commands.has(word) ? `${word} --help` : 'help'
    process.stderr.write(`sidegate: ${error.message}\ntry: sidegate ${manual}\n`)
    return USAGE
  }
  if (error instanceof RefusedError) {
    process.stderr.write(`sidegate: ${safe(error.message)}\n`)
    return REFUSED
  }
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`)
    return CONFIG
  }
  process.stderr.write(`sidegate: internal error: ${error instanceof Error ? error.stack : String(error)}\n`)
  return INTERNAL
}

const code = await main(process.argv.slice(2)).catch(report)
process.exitCode = code
// When these two return they are over; nothing left open may keep the process.
if (process.argv[2] === 'run' || process.argv[2] === 'demo') process.exit(code)
