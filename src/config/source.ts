// The configuration file and its meaning. A separate process finds the meaning, and ends with its verdict:
// the code that parses and judges YAML takes 15 MB, which a gate would otherwise hold as long as it runs; and
// a hostile megabyte, which keeps a parser busy for seconds, gets its own time, memory and event loop.

import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Clock } from '../core/clock.ts'
import type { ConfigProblem } from '../core/errors.ts'
import { ConfigError } from '../core/errors.ts'
import { nodeChildProcess } from '../core/late.ts'
import { decode, readConfigFile } from './file.ts'
import type { Environment } from './interpolate.ts'
import type { Checked } from './load.ts'

/** CPU time: 256 listeners take less than one second; only a hostile file takes more. */
const CPU_MS = 5000
/**
 * Wall-clock time: a container with a CPU limit of 20m needs this for a tenth of a second of work elsewhere.
 */
const PATIENCE_MS = 60_000
const LOOK_MS = 500
/** The tick of the kernel's accounts, on every Linux. */
const TICK_MS = 10
/** 256 listeners with all their keys take a quarter of it; a hostile megabyte would take all of a pod's. */
const HEAP_MIB = 64

export interface Loaded {
  /** The hash of the content; empty where it could not be read. */
  hash: string
  outcome: Checked | ConfigError
  /** No verdict: the process was killed, or could not be started. The same content is worth another try. */
  isUndecided: boolean
}

/** No verdict, by no fault of the file. */
class Undecided extends ConfigError {}

/** The task of the process. */
export interface Task {
  text: string
  file: string
  env: Environment
}

/** The answer of the process. */
export type Verdict =
  | { hash: string; checked: Checked }
  | { hash: string; problems: readonly ConfigProblem[] }

/** The content of a file, or why it cannot be read. */
export async function readFile(file: string): Promise<Buffer | ConfigError> {
  return readConfigFile(file).catch(complaint)
}

/** The meaning of the content. Rejects only with a bug of ours. */
export async function loadContent(
  content: Buffer | ConfigError,
  file: string,
  env: Environment,
  clock: Clock,
): Promise<Loaded> {
  try {
    if (content instanceof ConfigError) throw content
    const verdict = await judge({ text: decode(content, file), file, env: { ...env } }, clock)
    return {
      hash: verdict.hash,
      outcome: 'checked' in verdict ? verdict.checked : new ConfigError(file, verdict.problems),
      isUndecided: false,
    }
  } catch (error) {
    return { hash: '', outcome: complaint(error), isUndecided: error instanceof Undecided }
  }
}

function complaint(error: unknown): ConfigError {
  if (error instanceof ConfigError) return error
  throw error
}

const problemsOf = (message: string): ConfigProblem[] => [{ line: 0, column: 0, path: '', message }]
const unusable = ({ file }: Task, message: string): ConfigError => new ConfigError(file, problemsOf(message))
const undecided = ({ file }: Task, message: string): Undecided => new Undecided(file, problemsOf(message))

const notStarted = (task: Task, error: Error): Undecided =>
  undecided(task, `cannot be checked: a process for it cannot be started (${error.message})`)

async function judge(task: Task, clock: Clock): Promise<Verdict> {
  try {
    return await hear(start(), task, clock)
  } catch (error) {
    // Node throws some errors of a start, and tells of others later.
    throw (error as NodeJS.ErrnoException).syscall?.startsWith('spawn') === true
      ? notStarted(task, error as Error)
      : error
  }
}

function hear(child: ChildProcess, task: Task, clock: Clock): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const giveUp = (error: ConfigError): void => {
      child.kill('SIGKILL')
      reject(error)
    }
    const stopLooking = clock.every(LOOK_MS, () => {
      if (cpuMs(child.pid) >= CPU_MS)
        giveUp(unusable(task, `takes more than ${CPU_MS / 1000}s of CPU to be checked, write less`))
    })
    const stopWaiting = clock.after(PATIENCE_MS, () =>
      giveUp(undecided(task, `was not checked in ${PATIENCE_MS / 1000}s: the machine was too slow`)),
    )
    const stop = (): void => [stopLooking, stopWaiting].forEach((each) => each())
    let complaints = ''
    child.stderr
      ?.setEncoding('utf8')
      .on('data', (text: string) => (complaints = (complaints + text).slice(-4096)))
    child.once('message', (verdict) => resolve(decoded(verdict as string)))
    child.once('error', (error) => {
      stop()
      giveUp(notStarted(task, error))
    })
    child.once('close', (code, signal) => {
      stop()
      // Has no effect where the verdict has come.
      if (complaints.includes('heap out of memory'))
        reject(unusable(task, `takes more than ${HEAP_MIB} MiB to be checked, write less`))
      else if (signal !== null)
        reject(undecided(task, `cannot be checked: the process for it was ended by ${signal}`))
      else
        reject(new Error(`the check of the configuration ended with ${code} and no verdict: ${complaints}`))
    })
    // Not where there is no process. If it ended early, its `exit` event says more.
    if (child.connected) child.send(task, () => {})
  })
}

/** The CPU time of the process; 0 where the system does not report it. */
function cpuMs(pid: number | undefined): number {
  try {
    // After the name, which may hold anything, the state is the first field; utime and stime are the twelfth
    // and thirteenth (proc(5)).
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return TICK_MS * (Number(fields[11]) + Number(fields[12]))
  } catch {
    return 0
  }
}

function start(): ChildProcess {
  // By way of its room: this file may be part of another one (deploy/bundle.ts).
  const program = new URL(
    import.meta.url.endsWith('.ts') ? './check-process.ts' : '../config/check-process.js',
    import.meta.url,
  )
  return nodeChildProcess().fork(program, [], {
    execArgv: [`--max-old-space-size=${HEAP_MIB}`],
    // Node's options for the gate (a debugger, a profiler) are not for this process.
    env: { ...process.env, NODE_OPTIONS: '' },
    // None of the gate's own streams: Node, when it ends, makes standard streams as blocking as it found
    // them, for all that share them, and a gate whose stdout blocks stops if nobody reads it. Not `ignore`
    // either: for that the system opens /dev/null, which a bare root lacks.
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
  })
}

/** JSON has no infinity, the value of `off`. No file can hold the character before its name. */
const INFINITY = '\0Infinity'

export function encode(verdict: Verdict): string {
  return JSON.stringify(verdict, (_key, value: unknown) =>
    value === Number.POSITIVE_INFINITY ? INFINITY : value,
  )
}

function decoded(text: string): Verdict {
  return JSON.parse(text, (_key, value: unknown) =>
    value === INFINITY ? Number.POSITIVE_INFINITY : value,
  ) as Verdict
}
