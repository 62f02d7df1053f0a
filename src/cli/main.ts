// The command line: words to one command, and its outcome to an exit code. Each command is small or imported only when
// it is asked for. Results go to stdout, complaints to stderr.
//
// Exit codes: 0 done, 1 a gate that is not there or said no, 64 wrong usage, 70 our fault, 75 not now, 78 wrong configuration.

import { reasonNames } from '../core/close.ts'
import { suggest } from '../config/words.ts'
import { CONFIG, INTERNAL, OK, REFUSED, USAGE } from './exit-codes.ts'
import { Signals } from './signals.ts'
import { version } from '../core/version.ts'
import { parse, RefusedError, safe, UsageError } from './commands/usage.ts'
import { ConfigError, formatProblem } from '../core/errors.ts'
import type { Checked } from '../config/load.ts'

const usage = `usage: sidegate <command>

  run -c FILE           run the gate with the configuration in FILE
  check FILE [--json]   check a configuration: every error, then what is risky
  explain [REASON]      what a close reason means; all of them without REASON
  schema                print the JSON Schema of the configuration file
  inject [-f FILE]      add the sidecar to a Kubernetes manifest, from FILE or a pipe; stdout has the result, stderr what
                        changed. --port APP:GATE, --config-map NAME, --image IMAGE, --container NAME, --only WORKLOAD,
                        --protocol http|tcp
  demo [--keep]         a legacy service, a gate before it, and clients good and bad
  help                  print this
  --version             print the version

ask a gate that runs:

  top                   its connections, live; q quits. Once, where there is no terminal
  connections [ID]      its connections, or all that is known of one
                        both: --listener --protocol --phase --client --upstream, --limit N,
                        --sort age|idle|buffered|rate
  kill ID               end a connection
  drain [--wait]        let its connections go; drain --undo: let them stay after all
  reload                have it read its configuration again
  log [LEVEL] [--for 5m]
                        its log level; change it, for a while or for good
  profile cpu|heap [--seconds N] [-o FILE]
  profile snapshot [--force] [-o FILE]
                        a file that Chrome's DevTools open
  health                whether it is ready [--health ADDRESS]

  all of these: --json (but profile); --admin ADDRESS (127.0.0.1:17020, unix:/path), or -c FILE for
  the addresses in a configuration; --token-file FILE

exit codes: 0 done, 1 no gate there, or it said no, 64 wrong usage, 70 internal error,
75 the machine was too slow to check the configuration, 78 wrong configuration
`

type Command = (args: string[]) => number | Promise<number>

const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['run', run],
  ['check', check],
  ['explain', explainCommand],
  ['schema', printSchema],
  ['demo', demo],
  ['inject', async (args) => (await import('./commands/inject.ts')).injectCommand(args, version())],
  ['help', help],
  ['top', async (args) => (await import('./commands/top.ts')).top(args)],
  ['connections', async (args) => (await import('./commands/connections.ts')).connections(args)],
  ['kill', async (args) => (await import('./commands/kill.ts')).kill(args)],
  ['drain', async (args) => (await import('./commands/drain.ts')).drain(args)],
  ['reload', async (args) => (await import('./commands/reload.ts')).reload(args)],
  ['log', async (args) => (await import('./commands/log.ts')).log(args)],
  ['profile', async (args) => (await import('./commands/profile.ts')).profile(args)],
  ['health', async (args) => (await import('./commands/health.ts')).health(args)],
])

async function run(args: string[]): Promise<number> {
  const { values } = parse({ args, options: { config: { type: 'string', short: 'c' } } })
  if (values.config === undefined) throw new UsageError('run needs a configuration: sidegate run -c FILE')
  const signals = new Signals()
  const gate = await import('./process.ts')
  return gate.run({ configFile: values.config, signals })
}

async function check(args: string[]): Promise<number> {
  const { values, positionals } = parse({ args, allowPositionals: true, options: { json: { type: 'boolean', default: false } } })
  const [file, ...others] = positionals
  if (file === undefined || others.length > 0) throw new UsageError('check needs one file: sidegate check FILE')
  try {
    const { warnings, notes } = await checkWithFiles(file)
    if (values.json) return print({ file, valid: true, errors: [], warnings, notes })
    for (const note of notes) process.stderr.write(`note: ${formatProblem(file, note)}\n`)
    for (const warning of warnings) process.stderr.write(`warning: ${formatProblem(file, warning)}\n`)
    process.stdout.write(`${file} is valid\n`)
    return OK
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    if (!values.json) throw error
    print({ file, valid: false, errors: error.problems, warnings: [], notes: [] })
    return CONFIG
  }
}

/** What there is to say of a file, and of the files that it names; throws a ConfigError where either cannot be used. */
async function checkWithFiles(file: string): Promise<Omit<Checked, 'config'>> {
  const { checkConfig } = await import('../config/load.ts')
  const { config, warnings, notes } = await checkConfig(file, process.env)
  const { checkTlsFiles } = await import('../gate/tls-parts.ts')
  const { systemClock } = await import('../core/clock.ts')
  const files = await checkTlsFiles(config, systemClock.wall())
  if (files.problems.length > 0) throw new ConfigError(file, files.problems)
  return { warnings: [...warnings, ...files.warnings], notes }
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
    throw new UsageError(`unknown reason ${JSON.stringify(word)}${meant === null ? '; sidegate explain lists them' : `, did you mean ${meant}?`}`)
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

function help(): number {
  process.stdout.write(usage)
  return OK
}

async function main(argv: readonly string[]): Promise<number> {
  const [word, ...args] = argv
  if (word === '--version' || word === '-v') {
    process.stdout.write(`sidegate ${version()}\n`)
    return OK
  }
  if (word === '--help' || word === '-h') return help()
  if (word === undefined) throw new UsageError('which command?')
  const command = commands.get(word)
  if (command === undefined) {
    const meant = suggest(word, commands.keys())
    throw new UsageError(`unknown command ${JSON.stringify(word)}${meant === null ? '' : `, did you mean ${meant}?`}`)
  }
  if (args.includes('--help') || args.includes('-h')) return help()
  // The gate itself outlives a reader of its log; every other command is done when nobody reads on.
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
    process.stderr.write(`sidegate: ${error.message}\ntry: sidegate help\n`)
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
// These two are over when they say so; whatever they might have left open must not keep the process.
if (process.argv[2] === 'run' || process.argv[2] === 'demo') process.exit(code)
