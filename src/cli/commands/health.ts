// `sidegate health`: whether a gate is ready, as an exit code; for health checks of compose files and scripts, where an image
// without a shell has no curl.

import { formatAddress } from '../../config/address.ts'
import { loadConfig } from '../../config/load.ts'
import { defaults } from '../../config/schema.ts'
import { ask, nameOf, readAddress } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { OK, REFUSED } from '../exit-codes.ts'
import { parse, printJson, printLine } from './usage.ts'

/** A probe that hangs is a failed one, before the patience of who runs it is over. */
const ANSWER_MS = 2000

export async function health(args: string[]): Promise<number> {
  const options = { health: { type: 'string' }, config: { type: 'string', short: 'c' }, json: { type: 'boolean', default: false } } as const
  const { values } = parse({ args, options })
  const text = values.health ?? (values.config === undefined ? defaults.healthAddress : formatAddress((await loadConfig(values.config, process.env)).health.address))
  const gate: Gate = { address: readAddress(text, 'health'), token: null, remedy: 'name the address of health.address with --health, or its configuration file with -c' }
  const { status, body } = await ask(gate, '/readyz?verbose', { answerMs: ANSWER_MS })
  const isReady = status === 200
  const checks = [...body.matchAll(/^\[([+-])\](\S+) (?:ok|failed)(?:: (.*))?$/gm)].map(([, sign, name, detail]) => ({ name, ok: sign === '+', detail: detail ?? null }))
  if (values.json) {
    printJson({ ready: isReady, status, checks })
    return isReady ? OK : REFUSED
  }
  printLine(isReady ? 'ready' : `not ready: ${nameOf(gate)} said ${status}`)
  for (const { name, ok, detail } of checks) printLine(`${ok ? '+' : '-'} ${name}${detail === null ? '' : `: ${detail}`}`)
  return isReady ? OK : REFUSED
}
