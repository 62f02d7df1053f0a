import type { Connection, Direction } from '../../src/core/connection.ts'
import { eventually } from './eventually.ts'

/** Resolves when the gate no longer reads that source because its sink takes too little, or when the connection has ended. */
export async function heldBack(connection: Connection, direction: Direction): Promise<void> {
  await eventually(() => connection.end !== null || connection.owner?.isPaused(direction), {
    withinMs: 20_000,
    what: `${direction} to be held back`,
  })
}
