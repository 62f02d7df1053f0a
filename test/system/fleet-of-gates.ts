// Gates that share limits.

import { eventually } from '../support/eventually.ts'
import type { Gate } from '../support/gate.ts'

/** Each of them has seen all others. */
export async function knowEachOther(gates: readonly Pick<Gate, 'metrics'>[]): Promise<void> {
  const told = `\nsidegate_shared_gates ${gates.length}\n`
  for (const gate of gates)
    await eventually(async () => (await gate.metrics()).includes(told), {
      what: 'gates that know each other',
      withinMs: 20_000,
    })
}
