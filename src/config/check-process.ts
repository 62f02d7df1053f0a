// The process that checks a configuration (source.ts): one task, one verdict, and it ends.

import { writeFileSync } from 'node:fs'
import { ConfigError } from '../core/errors.ts'
import { nodeCrypto } from '../core/late.ts'
import { checkText } from './load.ts'
import { encode } from './source.ts'
import type { Task, Verdict } from './source.ts'

/** The first ten hex digits of `sha256sum`: enough to distinguish two files, short enough for a label. */
function hashOf(text: string): string {
  return nodeCrypto().createHash('sha256').update(text).digest('hex').slice(0, 10)
}

function check({ text, file, env }: Task): Verdict {
  const hash = hashOf(text)
  try {
    return { hash, checked: checkText(text, file, env) }
  } catch (error) {
    if (error instanceof ConfigError) return { hash, problems: error.problems }
    throw error
  }
}

/** Where both together exceed the container's memory, the kernel should end the check and not the gate. */
function volunteer(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000')
  } catch {
    // No Linux, or no /proc.
  }
}

volunteer()
process.once('message', (task) => {
  process.send!(encode(check(task as Task)), () => process.disconnect?.())
})
