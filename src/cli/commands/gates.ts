// Several gates at once: `--admin` more than once. Each is asked separately, so that one that does not answer
// delays no other.

import { findGate, nameOf } from './admin-client.ts'
import type { AdminChoice, Gate } from './admin-client.ts'
import { RefusedError } from './usage.ts'

/** `adminOptions` for commands that ask more than one gate. */
export const gatesOptions = {
  admin: { type: 'string', multiple: true },
  'token-file': { type: 'string' },
  config: { type: 'string', short: 'c' },
} as const

export interface GatesChoice extends Omit<AdminChoice, 'admin'> {
  admin?: string[] | undefined
}

export interface NamedGate {
  gate: Gate
  /** The text of its column; null where there is one gate. */
  name: string | null
}

/** Each of the named gates, once; or the default one. All of them get the same token. */
export async function findGates({ admin = [], ...choice }: GatesChoice): Promise<NamedGate[]> {
  const gates = await Promise.all(
    admin.length === 0 ? [findGate(choice)] : admin.map((one) => findGate({ ...choice, admin: one })),
  )
  const byName = new Map(gates.map((gate) => [nameOf(gate), gate]))
  return [...byName].map(([name, gate]) => ({ gate, name: byName.size === 1 ? null : name }))
}

/** A gate's answer, or why there is none. */
export type Heard<T> = { value: T } | { problem: string }

/** Never rejects for a gate that is missing or refuses. */
export async function hear<T>(question: Promise<T>): Promise<Heard<T>> {
  try {
    return { value: await question }
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error
    return { problem: error.message }
  }
}
