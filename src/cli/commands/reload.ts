// `sidegate reload`: makes a running gate read its configuration again, and prints the problems if it is
// refused.

import type { ReloadResult } from '../../lifecycle/reload.ts'
import { ask, adminOptions, findGate, refused } from './admin-client.ts'
import { OK, REFUSED } from '../../core/exit-codes.ts'
import { parse, printJson, printLine, safe } from './usage.ts'

/** Parsing takes long if a file is large, and binding if names are looked up. */
const RELOAD_MS = 30_000

export async function reload(args: string[]): Promise<number> {
  const { values } = parse({ args, options: { ...adminOptions, json: { type: 'boolean', default: false } } })
  const gate = await findGate(values)
  const reply = await ask(gate, '/reload', { method: 'POST', answerMs: RELOAD_MS })
  const answer = readAnswer(reply.body)
  if (answer === null) throw refused(gate, reply)
  if (values.json) printJson(answer)
  else tell(answer)
  return answer.result === 'success' ? OK : REFUSED
}

function tell(answer: ReloadResult): void {
  if (answer.result === 'success') {
    printLine('reloaded')
    if (answer.restartRequired.length > 0)
      printLine(`waiting for a restart: ${answer.restartRequired.join(', ')}`)
    return
  }
  process.stderr.write(
    answer.result === 'failure'
      ? 'sidegate: the configuration was refused, the last good one stays\n'
      : 'sidegate: nothing was reloaded\n',
  )
  for (const problem of answer.problems) process.stderr.write(`${safe(problem)}\n`)
}

/** A failed reload has an answer in the same form, whatever its status. */
function readAnswer(body: string): ReloadResult | null {
  try {
    const answer = JSON.parse(body) as ReloadResult
    return ['success', 'failure', 'refused'].includes(answer.result) ? answer : null
  } catch {
    return null
  }
}
