// `npm test`: test files, or those that its arguments match, each in a process of its own and several at a time, and their TAP in one.
// Node loads them as it loads the product. The runner of tap puts hooks for mocks and coverage into every process and thread below a
// test; these took up to two fifths of the processor's time, and their memory counted as that of the gate.

import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import tap from 'tap'
import { inOrder } from './order.ts'
import { bundleThreads } from './support/threads.ts'

/** More than there are cores, since three quarters of a test are waiting. On two cores 6 at a time took 580 s, 4 at a time 673. */
const AT_A_TIME = Math.min(3 * availableParallelism(), 8)
const TIMEOUT_S = 300
/** For a process that has many files: the longest takes 80 s on a quiet machine. */
const PART_TIMEOUT_S = 900

if (process.stdout.isTTY) showFailures()
else await runAll()

async function runAll(): Promise<void> {
  process.env['TAP_TIMEOUT'] ??= String(TIMEOUT_S)
  process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, '../.tap/compiled')
  await bundleThreads()
  tap.setTimeout(0)
  tap.jobs = AT_A_TIME
  const { alone, beside } = inOrder(process.argv.length > 2 ? process.argv.slice(2) : undefined)
  if (alone.length + beside.length === 0) tap.fail('no such test file')
  for (const file of alone) run(file, false)
  for (const file of beside) run(file, true)
}

/** One that is not buffered waits for all before it, and all behind it for that. */
function run(name: string, buffered: boolean): void {
  // tap gives each process that it starts its loader by this variable.
  const own = `NODE_OPTIONS=${process.env['NODE_OPTIONS'] ?? ''}`
  void tap.spawn('env', [own, process.execPath, ...name.split(' ')], {
    name,
    buffered,
    timeout: (name.includes(' ') ? PART_TIMEOUT_S : TIMEOUT_S) * 1000,
  })
}

/** Nobody reads all of it on a terminal. */
function showFailures(): void {
  const whole = spawn(process.execPath, process.argv.slice(1), { stdio: ['inherit', 'pipe', 'inherit'] })
  const filter = join(import.meta.dirname, 'support/failures.ts')
  const shown = spawn(process.execPath, [filter], { stdio: [whole.stdout, 'inherit', 'inherit'] })
  shown.on('close', (code) => (process.exitCode = code ?? 1))
}
