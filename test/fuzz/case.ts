// The common parts of cases over real sockets.

import type { Test } from 'tap'
import type { Wire } from '../support/wire.ts'
import type { Chance } from './random.ts'

export type Case = readonly [name: string, run: (chance: Chance) => Promise<void>]

/** What a test would tear down. */
export class Scope {
  readonly #teardowns: Array<() => unknown> = []
  readonly test = { teardown: (down: () => unknown) => void this.#teardowns.push(down) } as unknown as Test

  async end(): Promise<void> {
    for (const down of this.#teardowns.splice(0).toReversed()) await down()
  }
}

/** A case that stands still that long hangs: no deadline of a gate is so short. */
export const HANGS = { withinMs: 15_000 }

export const turns = async (count: number): Promise<void> => {
  for (let left = count; left > 0; left--) await new Promise((resolve) => setImmediate(resolve))
}

export async function send(wire: Wire, parts: string[]): Promise<void> {
  for (const part of parts) {
    if (!(await wire.write(Buffer.from(part, 'latin1')))) return
    await turns(1)
  }
}
