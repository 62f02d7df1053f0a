// The gate as it was built, as a process of its own.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'

/** With the configuration in `file`; it does not outlive this process, however that ends. */
export function runGate(file: string, stdio: 'inherit' | 'ignore' = 'inherit'): ChildProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../dist/cli.js'), 'run', '-c', file], {
    stdio,
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('exit', () => process.off('exit', kill))
  return child
}
