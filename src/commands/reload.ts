// `sidegate reload`: has a running gate read its configuration again, and tells what is wrong with it if it was refused.

import type { ConfigProblem } from '../errors.ts'
import { formatProblem } from '../errors.ts'
import { ask, adminOptions, findGate, refused } from './admin-client.ts'
import { OK, parse, printJson, printLine, REFUSED, safe } from './usage.ts'

interface Reload {
  result: 'success' | 'failure'
  problems?: Array<ConfigProblem | string>
}

/** Parsing takes long where a file is large, and binding where names are looked up. */
const RELOAD_MS = 30_000

export async function reload(args: string[]): Promise<number> {
  const { values } = parse({ args, options: { ...adminOptions, json: { type: 'boolean', default: false } } })
  const gate = await findGate(values)
  const reply = await ask(gate, '/reload', { method: 'POST', answerMs: RELOAD_MS })
  const answer = readAnswer(reply.body)
  if (answer === null) throw refused(gate, reply)
  if (values.json) printJson(answer)
  if (answer.result === 'success') {
    if (!values.json) printLine('reloaded')
    return OK
  }
  if (!values.json) {
    process.stderr.write('sidegate: the configuration was refused, the last good one stays\n')
    for (const problem of answer.problems ?? []) process.stderr.write(`${safe(typeof problem === 'string' ? problem : formatProblem(values.config ?? 'configuration', problem))}\n`)
  }
  return REFUSED
}

/** A refusal has an answer of its own, whatever its status. */
function readAnswer(body: string): Reload | null {
  try {
    const answer = JSON.parse(body) as Reload
    return answer.result === 'success' || answer.result === 'failure' ? answer : null
  } catch {
    return null
  }
}
