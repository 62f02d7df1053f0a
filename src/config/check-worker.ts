// The thread that checks a large configuration (source.ts): one task, one verdict, and it ends.

import { parentPort, workerData } from 'node:worker_threads'
import { ConfigError } from '../errors.ts'
import { checkText } from './load.ts'
import type { Task, Verdict } from './source.ts'

function check({ text, file, env }: Task): Verdict {
  try {
    return { checked: checkText(text, file, env) }
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems }
    throw error
  }
}

parentPort?.postMessage(check(workerData as Task), [])
