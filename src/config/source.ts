// The configuration file as it is now: its hash, which tells whether it changed, and what it means.
//
// A running gate reads it again, and must not stand still for it: a small file is checked at once (milliseconds), a larger one in
// a thread of its own, within a time and a memory of its own. A hostile megabyte keeps the YAML parser busy for seconds.

import type { Clock } from '../clock.ts'
import type { ConfigProblem } from '../errors.ts'
import { ConfigError } from '../errors.ts'
import { nodeCrypto, nodeWorkerThreads } from '../node-lazy.ts'
import type { Environment } from './interpolate.ts'
import { checkText, decode, readBounded } from './load.ts'
import type { Checked } from './load.ts'

/** Checked at once: measured at 25 to 75 ms for the worst 16 KiB on one busy core, 5 ms for a usual 2 KiB (Node 26, November 2026). */
const SMALL_BYTES = 16 * 1024
/** 256 listeners take less than a second, on a busy machine too. */
const PATIENCE_MS = 10_000
/** 256 listeners with all their keys take a quarter of it; a hostile megabyte would take all that a pod has. */
const HEAP_MIB = 64

export interface Loaded {
  /** Of the content; of the complaint where it cannot be read. */
  hash: string
  outcome: Checked | ConfigError
}

/** The hash alone, for a look at whether anything changed. Never rejects. */
export async function hashFile(file: string): Promise<string> {
  const bytes = await readBounded(file).catch((error: unknown) => complaint(error))
  return bytes instanceof ConfigError ? hashOf(bytes.message) : hashOf(bytes)
}

/** What the file says. Rejects only with a bug of ours. */
export async function loadFile(file: string, env: Environment, clock: Clock): Promise<Loaded> {
  let hash = ''
  try {
    const bytes = await readBounded(file)
    hash = hashOf(bytes)
    const text = decode(bytes, file)
    return { hash, outcome: bytes.length <= SMALL_BYTES ? checkText(text, file, env) : await checkApart({ text, file, env: { ...env } }, clock) }
  } catch (error) {
    const outcome = complaint(error)
    return { hash: hash === '' ? hashOf(outcome.message) : hash, outcome }
  }
}

function complaint(error: unknown): ConfigError {
  if (error instanceof ConfigError) return error
  throw error
}

/** Ten hex digits: enough to tell two files apart, short enough for a label. */
function hashOf(content: Buffer | string): string {
  return nodeCrypto().createHash('sha256').update(content).digest('hex').slice(0, 10)
}

/** What the thread is given. */
export interface Task {
  text: string
  file: string
  env: Environment
}

/** What it answers. */
export type Verdict = { checked: Checked } | { problems: readonly ConfigProblem[] }

function checkApart(task: Task, clock: Clock): Promise<Checked> {
  const unusable = (message: string): ConfigError => new ConfigError(task.file, [{ line: 0, column: 0, path: '', message }])
  return new Promise((resolve, reject) => {
    const program = new URL(import.meta.url.endsWith('.ts') ? './check-worker.ts' : './check-worker.js', import.meta.url)
    const worker = new (nodeWorkerThreads().Worker)(program, { workerData: task, resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB, maxYoungGenerationSizeMb: 8 } })
    const cancel = clock.after(PATIENCE_MS, () => {
      void worker.terminate()
      reject(unusable(`cannot be checked in ${PATIENCE_MS / 1000}s, write less`))
    })
    worker.once('message', (verdict: Verdict) => {
      if ('checked' in verdict) resolve(verdict.checked)
      else reject(new ConfigError(task.file, verdict.problems))
    })
    worker.once('error', (error: NodeJS.ErrnoException) => {
      // Its memory is bounded for files that would take ours; anything else is a bug.
      reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? unusable(`takes more than ${HEAP_MIB} MiB to be checked, write less`) : error)
    })
    worker.once('exit', () => {
      cancel()
      reject(new Error('the thread that checks the configuration ended without a verdict')) // unless it is settled already
    })
  })
}
