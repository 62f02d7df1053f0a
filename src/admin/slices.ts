// Walks over many connections, a slice at a time: between two slices the event loop turns, so that a listing
// of 50,000 connections never holds up the relay for longer than one slice (about half a millisecond).

import type { Clock } from '../core/clock.ts'

/** Items that are only looked at. */
const SLICE = 500
/** Items that become text and are sent: 35 KB. */
export const ROWS = 100

/** Calls `visit` for each item there is now; later ones are left out. */
export async function visitInSlices<T>(
  clock: Clock,
  items: Iterable<T> & { size: number },
  visit: (item: T) => void,
): Promise<void> {
  let left = items.size
  let inSlice = 0
  for (const item of items) {
    if (left-- === 0) return
    visit(item)
    if (++inSlice < SLICE) continue
    inSlice = 0
    await nextTurn(clock)
  }
}

/** Yields `items` in groups of `ROWS`, each made in its own turn. */
export async function* inSlices<T>(clock: Clock, items: readonly T[]): AsyncGenerator<readonly T[]> {
  for (let start = 0; start < items.length; start += ROWS) {
    if (start > 0) await nextTurn(clock)
    yield items.slice(start, start + ROWS)
  }
}

function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.nextTurn(resolve))
}
