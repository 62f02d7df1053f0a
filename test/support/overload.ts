// A gate that a test takes past `memory.refuseAt`, and back.

import { eventually } from './eventually.ts'
import type { Gate } from './gate.ts'
import type { TestMemory } from './memory.ts'

export async function overload(gate: Gate, memory: TestMemory): Promise<void> {
  memory.use(0.96)
  await eventually(async () => !(await isReady(gate)), { what: 'it to be overloaded' })
}

export async function recover(gate: Gate, memory: TestMemory): Promise<void> {
  memory.use(0.5)
  await eventually(() => isReady(gate), { what: 'it to recover' })
}

async function isReady({ healthPort }: Gate): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${healthPort}/readyz`, { headers: { connection: 'close' } })
  await answer.text()
  return answer.status === 200
}

/** Bytes in all queues of a gate. */
export const queued = ({ registry }: Gate): number =>
  [...registry].reduce((sum, { owner }) => sum + owner!.queued('client') + owner!.queued('upstream'), 0)
