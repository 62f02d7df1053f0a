// `sidegate health`: whether a gate is ready, as an exit code; for health checks of compose files and
// scripts, where an image without a shell has no curl.

import { formatAddress } from '../../config/address.ts'
import { loadConfig } from '../../config/load.ts'
import { defaults } from '../../config/defaults.ts'
import { adminOptions, ask, askJson, findGate, nameOf, notAGate, readAddress } from './admin-client.ts'
import type { AdminChoice, Gate } from './admin-client.ts'
import { OK, REFUSED } from '../../core/exit-codes.ts'
import { parse, printJson, printLine } from './usage.ts'

/** A probe that hangs must fail before its runner gives up. */
const ANSWER_MS = 2000

/** The address from the option, the gate's configuration in force, a configuration file, or the default. */
async function addressFor(values: AdminChoice & { health?: string | undefined }): Promise<string> {
  if (values.health !== undefined) return values.health
  if (values.admin !== undefined) {
    const inForce = await askJson<{ health: { address: string } }>(await findGate(values), '/config')
    return inForce.health.address
  }
  if (values.config === undefined) return defaults.healthAddress
  return formatAddress((await loadConfig(values.config, process.env)).health.address)
}

export async function health(args: string[]): Promise<number> {
  const options = {
    ...adminOptions,
    health: { type: 'string' },
    json: { type: 'boolean', default: false },
  } as const
  const { values } = parse({ args, options })
  const text = await addressFor(values)
  const gate: Gate = {
    address: readAddress(text, 'health'),
    token: null,
    remedy:
      'name the address of health.address with --health, its configuration file with -c, or its admin server with --admin',
  }
  const { status, body } = await ask(gate, '/readyz?verbose', { answerMs: ANSWER_MS })
  const isReady = status === 200
  const checks = [...body.matchAll(/^\[([+-])\](\S+) (?:ok|failed)(?:: (.*))?$/gm)].map(
    ([, sign, name, detail]) => ({ name, ok: sign === '+', detail: detail ?? null }),
  )
  // A page of another program is neither ready nor not.
  if (checks.length === 0) throw notAGate(gate, status)
  if (values.json) {
    printJson({ ready: isReady, status, checks })
    return isReady ? OK : REFUSED
  }
  printLine(isReady ? 'ready' : `not ready: ${nameOf(gate)} said ${status}`)
  for (const { name, ok, detail } of checks)
    printLine(`${ok ? '+' : '-'} ${name}${detail === null ? '' : `: ${detail}`}`)
  return isReady ? OK : REFUSED
}
